//! `#[derive(Output)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use crate::attributes;

pub(crate) fn derive(item: &DeriveInput) -> syn::Result<TokenStream> {
    let columns = attributes::columns(item, "Output")?;
    if !item.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(
            &item.generics,
            "an output has no parameters",
        ));
    }
    if let Some(column) = columns.iter().find(|column| column.doc.is_empty()) {
        return Err(syn::Error::new_spanned(
            column.ident,
            "say in a doc comment what the column is: it becomes the column's comment in ClickHouse",
        ));
    }

    let ident = &item.ident;
    let idents: Vec<_> = columns.iter().map(|column| column.ident).collect();
    let types: Vec<_> = columns.iter().map(|column| column.ty).collect();
    let fields: Vec<_> = columns.iter().map(|column| &column.field).collect();
    let names = columns.iter().map(|column| &column.name);
    let low_cardinality = columns.iter().map(|column| column.low_cardinality);
    let docs = columns.iter().map(|column| &column.doc);

    Ok(quote! {
        #[automatically_derived]
        impl ::canopy_sdk::Output for #ident {
            fn declare() -> ::std::vec::Vec<::canopy_sdk::Field> {
                ::std::vec![#(
                    ::canopy_sdk::macros::output_field::<#types>(#fields, #names, #low_cardinality, #docs),
                )*]
            }

            fn new(fields: &[::canopy_sdk::Field]) -> Self {
                let _ = fields;
                #ident { #(#idents: ::canopy_sdk::macros::writer(fields, #fields),)* }
            }

            fn visit(
                &mut self,
                visit: &mut dyn ::std::ops::FnMut(&mut dyn ::canopy_sdk::Writer),
            ) {
                let _ = &visit;
                #(visit(&mut self.#idents);)*
            }

            #[inline]
            fn finish_row(&mut self) {
                #(::canopy_sdk::Writer::finish_row(&mut self.#idents);)*
            }

            #[inline]
            fn clear_row(&mut self) {
                #(::canopy_sdk::Writer::clear_row(&mut self.#idents);)*
            }
        }
    })
}
