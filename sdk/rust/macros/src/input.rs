//! `#[derive(Input)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, GenericParam, Index, Lifetime, parse_quote};

use crate::attributes;

pub(crate) fn derive(item: &DeriveInput) -> syn::Result<TokenStream> {
    let columns = attributes::columns(item, "Input")?;
    let ident = &item.ident;
    let (lifetime, arguments): (Lifetime, TokenStream) =
        match item.generics.params.iter().collect::<Vec<_>>()[..] {
            [] => (parse_quote!('batch), quote!()),
            [GenericParam::Lifetime(parameter)] => {
                let lifetime = &parameter.lifetime;
                (lifetime.clone(), quote!(<#lifetime>))
            }
            _ => {
                return Err(syn::Error::new_spanned(
                    &item.generics,
                    "an input has one lifetime, that of the batch, and no other parameter",
                ));
            }
        };

    let idents: Vec<_> = columns.iter().map(|column| column.ident).collect();
    let types: Vec<_> = columns.iter().map(|column| column.ty).collect();
    let fields = columns.iter().map(|column| &column.field);
    let names = columns.iter().map(|column| &column.name);
    let indices = (0..columns.len()).map(Index::from);

    Ok(quote! {
        #[automatically_derived]
        impl<#lifetime> ::canopy_sdk::Input<#lifetime> for #ident #arguments {
            type Columns = (#(<#types as ::canopy_sdk::Read<#lifetime>>::Column,)*);

            fn declare() -> ::std::vec::Vec<::canopy_sdk::Field> {
                ::std::vec![#(::canopy_sdk::macros::input_field::<#types>(#fields, #names),)*]
            }

            fn bind(
                columns: &mut ::canopy_sdk::macros::Binder<#lifetime>,
            ) -> ::std::result::Result<Self::Columns, ::canopy_sdk::Error> {
                let _ = &columns;
                ::std::result::Result::Ok((#(columns.column::<#types>()?,)*))
            }

            #[inline]
            fn row(columns: &Self::Columns, row: usize) -> Self {
                let _ = (columns, row);
                #ident {
                    #(#idents: <#types as ::canopy_sdk::Read<#lifetime>>::get(&columns.#indices, row),)*
                }
            }
        }
    })
}
