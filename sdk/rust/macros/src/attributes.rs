//! What the attributes of a field and its doc comment say.

use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Expr, ExprLit, Field, Ident, Lit, LitStr, Meta};

/// A field and its attributes.
pub(crate) struct Column<'s> {
    pub(crate) ident: &'s Ident,
    pub(crate) ty: &'s syn::Type,
    /// The field's name, without `r#`.
    pub(crate) field: String,
    /// The column's name: the field's, unless renamed.
    pub(crate) name: String,
    pub(crate) low_cardinality: bool,
    pub(crate) doc: String,
}

/// Returns the columns of a struct with named fields.
pub(crate) fn columns<'s>(item: &'s DeriveInput, derive: &str) -> syn::Result<Vec<Column<'s>>> {
    let fields = match &item.data {
        Data::Struct(data) if matches!(data.fields, syn::Fields::Named(_)) => &data.fields,
        _ => {
            let message = format!("`{derive}` is derived on a struct with named fields");
            return Err(syn::Error::new(item.ident.span(), message));
        }
    };
    fields.iter().filter_map(column).collect()
}

fn column(field: &Field) -> Option<syn::Result<Column<'_>>> {
    let ident = field.ident.as_ref()?;
    let name = ident.unraw().to_string();
    let mut column = Column {
        ident,
        ty: &field.ty,
        name: name.clone(),
        field: name,
        low_cardinality: false,
        doc: doc(&field.attrs),
    };
    let attributes = field.attrs.iter().filter(|a| a.path().is_ident("canopy"));
    for attribute in attributes {
        let parsed = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename") {
                let name: LitStr = meta.value()?.parse()?;
                if !is_column_name(&name.value()) {
                    return Err(syn::Error::new(
                        name.span(),
                        "a column's name is lower-case letters, digits and `_`, does not start with a digit, and has at most 64 bytes",
                    ));
                }
                column.name = name.value();
            } else if meta.path.is_ident("low_cardinality") {
                column.low_cardinality = true;
            } else {
                return Err(meta.error("expected `rename = \"name\"` or `low_cardinality`"));
            }
            Ok(())
        });
        if let Err(error) = parsed {
            return Some(Err(error));
        }
    }
    if !is_column_name(&column.name) {
        return Some(Err(syn::Error::new(
            field.span(),
            format!(
                "`{}` cannot be a column's name: use #[canopy(rename = \"name\")]",
                column.name
            ),
        )));
    }
    Some(Ok(column))
}

fn is_column_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Returns the doc comment as one line.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                }) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        });
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}
