//! The macros of `canopy-sdk`, which re-exports and documents them in use.

mod attributes;
mod config;
mod function;
mod input;
mod output;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Makes a struct the row of columns that a plugin reads; see the trait
/// `Input` for the types its fields can have and their attributes.
#[proc_macro_derive(Input, attributes(canopy))]
pub fn input(item: TokenStream) -> TokenStream {
    finish(input::derive(&parse_macro_input!(item)))
}

/// Makes a struct the row of columns that a plugin writes; see the trait
/// `Output` for the types its fields can have and their attributes.
#[proc_macro_derive(Output, attributes(canopy))]
pub fn output(item: TokenStream) -> TokenStream {
    finish(output::derive(&parse_macro_input!(item)))
}

/// Makes a struct or enum a configuration, or a part of one.
///
/// It derives `serde::Deserialize` and `schemars::JsonSchema` without the
/// plugin having to depend on either, spells keys in kebab case
/// (`max-segments`) and makes unknown keys an error. Attributes of serde and
/// schemars may follow it: `#[serde(default)]` on a struct that implements
/// `Default` makes every key optional.
#[proc_macro_attribute]
pub fn config(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = parse_macro_input!(arguments);
    finish(config::expand(&arguments, &parse_macro_input!(item)))
}

/// Makes a function a plugin, for one that has no configuration and no state.
///
/// The function's parameters are the columns it reads, by name, with the types
/// of the fields of an `Input`; the last is `row: &mut Row<Output>`. It returns
/// nothing, a `Verdict`, or a `Result` of either with any error that can be
/// displayed. Its doc comment is the plugin's summary. The plugin is a type
/// that has the function's name in camel case (`fn tag_tenant` makes
/// `TagTenant`), and is registered, so `export!` must not be called.
///
/// `#[plugin(per_distinct)]` says that equal parameters always give equal
/// rows, so that the host may call it once for each distinct tuple of them.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = parse_macro_input!(arguments);
    finish(function::expand(&arguments, parse_macro_input!(item)))
}

fn finish(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(syn::Error::into_compile_error).into()
}
