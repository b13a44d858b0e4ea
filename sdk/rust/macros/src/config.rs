//! `#[config]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, parse::Nothing};

pub(crate) fn expand(_: &Nothing, item: &DeriveInput) -> syn::Result<TokenStream> {
    let rules = match &item.data {
        Data::Struct(_) => quote!(deny_unknown_fields, rename_all = "kebab-case"),
        Data::Enum(_) => quote!(
            deny_unknown_fields,
            rename_all = "kebab-case",
            rename_all_fields = "kebab-case"
        ),
        Data::Union(_) => {
            return Err(syn::Error::new(
                item.ident.span(),
                "a configuration is a struct or an enum",
            ));
        }
    };
    Ok(quote! {
        #[derive(::canopy_sdk::serde::Deserialize, ::canopy_sdk::schemars::JsonSchema)]
        #[serde(crate = "::canopy_sdk::serde", #rules)]
        #[schemars(crate = "::canopy_sdk::schemars")]
        #item
    })
}
