//! `#[plugin]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::visit_mut::{self, VisitMut};
use syn::{
    FnArg, GenericArgument, Ident, ItemFn, Lifetime, Pat, PathArguments, Type, TypeReference,
    parse_quote,
};

use crate::attributes;

pub(crate) fn expand(arguments: &Option<Ident>, function: ItemFn) -> syn::Result<TokenStream> {
    let purity = match arguments {
        None => quote!(PerRow),
        Some(word) if word == "per_distinct" => quote!(PerDistinct),
        Some(word) => {
            return Err(syn::Error::new(
                word.span(),
                "expected `per_distinct`, or nothing",
            ));
        }
    };
    let summary = attributes::doc(&function.attrs);
    if summary.is_empty() {
        return Err(syn::Error::new(
            function.sig.ident.span(),
            "say in a doc comment what the plugin does: it becomes its summary",
        ));
    }

    let mut parameters = Vec::new();
    for argument in &function.sig.inputs {
        match argument {
            FnArg::Typed(argument) => parameters.push(argument),
            FnArg::Receiver(receiver) => {
                return Err(syn::Error::new_spanned(
                    receiver,
                    "a plugin's function has no `self`",
                ));
            }
        }
    }
    let output = parameters
        .pop()
        .and_then(|last| output_type(&last.ty))
        .ok_or_else(|| {
            syn::Error::new_spanned(
                &function.sig,
                "the last parameter is `&mut Row<Output>`, the row to write",
            )
        })?;

    let mut idents = Vec::new();
    let mut types = Vec::new();
    let mut named = NameLifetimes { found: false };
    for parameter in &parameters {
        let Pat::Ident(pattern) = &*parameter.pat else {
            return Err(syn::Error::new_spanned(
                &parameter.pat,
                "a parameter's name is the name of the column it reads",
            ));
        };
        idents.push(&pattern.ident);
        let mut ty = (*parameter.ty).clone();
        named.visit_type_mut(&mut ty);
        types.push(ty);
    }
    let lifetime = named.found.then(|| quote!(<'batch>));

    let name = &function.sig.ident;
    let visibility = &function.vis;
    let plugin = Ident::new(&camel_case(&name.to_string()), name.span());
    let input = format_ident!("{plugin}Input");
    Ok(quote! {
        #function

        #[doc = #summary]
        #[derive(Clone, Copy, Debug, Default)]
        #visibility struct #plugin;

        #[doc(hidden)]
        #[derive(::canopy_sdk::Input)]
        #visibility struct #input #lifetime { #(#idents: #types,)* }

        impl ::canopy_sdk::Plugin for #plugin {
            type Config = ::canopy_sdk::NoConfig;
            type Input<'batch> = #input #lifetime;
            type Output = #output;

            const PURITY: ::canopy_sdk::Purity = ::canopy_sdk::Purity::#purity;

            fn new(
                _: ::canopy_sdk::NoConfig,
                _: &::canopy_sdk::Data,
            ) -> ::std::result::Result<Self, ::canopy_sdk::Error> {
                ::std::result::Result::Ok(#plugin)
            }

            #[inline]
            fn row(
                &mut self,
                input: Self::Input<'_>,
                row: &mut ::canopy_sdk::Row<#output>,
            ) -> ::canopy_sdk::RowResult {
                ::canopy_sdk::IntoRowResult::into_row_result(#name(#(input.#idents,)* row))
            }
        }

        ::canopy_sdk::export!(#plugin, summary = #summary);
    })
}

/// Returns `O` of `&mut Row<O>`.
fn output_type(ty: &Type) -> Option<&Type> {
    let Type::Reference(TypeReference {
        mutability: Some(_),
        elem,
        ..
    }) = ty
    else {
        return None;
    };
    let Type::Path(path) = &**elem else {
        return None;
    };
    let PathArguments::AngleBracketed(arguments) = &path.path.segments.last()?.arguments else {
        return None;
    };
    match arguments.args.first()? {
        GenericArgument::Type(output) => Some(output),
        _ => None,
    }
}

/// Gives every reference and every `'_` the lifetime of the batch, since a
/// struct cannot leave them out as a function can.
struct NameLifetimes {
    found: bool,
}

impl VisitMut for NameLifetimes {
    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        reference.lifetime = Some(parse_quote!('batch));
        self.found = true;
        visit_mut::visit_type_reference_mut(self, reference);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident != "static" {
            *lifetime = parse_quote!('batch);
        }
        self.found = true;
    }
}

/// Turns `tag_tenant` into `TagTenant`.
fn camel_case(name: &str) -> String {
    name.split('_')
        .flat_map(|word| {
            let mut characters = word.chars();
            let first = characters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(characters)
        })
        .collect()
}
