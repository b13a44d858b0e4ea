//! Write a Canopy plugin in Rust.
//!
//! A plugin reads some columns of each log line and makes others. You write
//! what happens to one row; the SDK turns that into the contract of
//! `wit/plugin.wit`, in which whole batches cross the boundary as columns.
//!
//! A complete plugin with its test:
//!
//! ```ignore
#![doc = include_str!("../examples/tenant.rs")]
//! ```
//!
//! With configuration, state or data files it is a type that implements
//! [`Plugin`]:
//!
//! ```
//! use canopy_sdk::prelude::*;
//!
//! /// What canopy.toml may say under `config`.
//! #[config]
//! #[derive(Default)]
//! #[serde(default)]
//! struct Config {
//!     /// Responses that took longer than this many seconds are slow.
//!     slow_after: f64,
//! }
//!
//! #[derive(Input)]
//! struct Request<'a> {
//!     cs_uri_stem: &'a str,
//!     time_taken: f64,
//!     sc_status: Option<i64>,
//! }
//!
//! #[derive(Output)]
//! struct Tags {
//!     /// Whether the response was slow.
//!     slow: Boolean,
//!     /// The first segment of the path.
//!     #[canopy(low_cardinality)]
//!     area: Nullable<Text>,
//! }
//!
//! struct Slow(Config);
//!
//! impl Plugin for Slow {
//!     type Config = Config;
//!     type Input<'a> = Request<'a>;
//!     type Output = Tags;
//!
//!     fn new(config: Config, _: &Data) -> Result<Self, Error> {
//!         if config.slow_after < 0.0 {
//!             return Err(Error::config("slow-after", "must not be negative"));
//!         }
//!         Ok(Slow(config))
//!     }
//!
//!     fn row(&mut self, request: Request<'_>, tags: &mut Row<Tags>) -> RowResult {
//!         if request.sc_status.is_none() {
//!             return Ok(Verdict::Drop);
//!         }
//!         tags.slow.set(request.time_taken > self.0.slow_after);
//!         tags.area.set(request.cs_uri_stem.split('/').nth(1));
//!         Ok(Verdict::Keep)
//!     }
//! }
//!
//! canopy_sdk::export!(Slow);
//!
//! let mut slow = Harness::<Slow>::new(json!({ "slow-after": 1.5 }));
//! let made = slow.run(json!([{ "cs_uri_stem": "/shop/1", "time_taken": 2.0, "sc_status": 200 }]));
//! assert_eq!(made.rows, json!([{ "slow": true, "area": "shop" }]));
//! ```
//!
//! # The package
//!
//! `crate-type = ["cdylib", "rlib"]` and one dependency, `canopy-sdk`. The
//! plugin's name, version and summary are the package's name, version and
//! description. `cargo test` runs the tests natively, with no WebAssembly;
//! `canopy plugin build` makes the component.
//!
//! # What it costs
//!
//! Reading borrows from the batch and writing appends to the columns that the
//! host reads, so a row costs no allocation on either side. A panic is a trap:
//! the host finds the row and goes on without it, but return a [`Reject`] for
//! rows that can be expected.

#![deny(missing_docs)]

extern crate self as canopy_sdk;

pub mod columns;
mod config;
mod error;
mod host;
mod input;
mod output;
mod plugin;
mod row;
mod schema;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;

#[doc(hidden)]
pub use schemars;
#[doc(hidden)]
pub use serde;
/// JSON, for configurations and rows in tests.
pub use serde_json;

pub use canopy_sdk_macros::{Input, Output, config, plugin};

pub use columns::Millis;
pub use config::NoConfig;
pub use error::Error;
pub use host::{Data, Level, count, log};
pub use input::{Input, Read, TextList};
pub use output::{Boolean, Float, Int, NoOutput, Nullable, Output, Text, Texts, Timestamp, Writer};
pub use plugin::{Instance, Package, Plugin};
pub use row::{IntoRowResult, Reject, Row, RowResult, Transformed, Verdict};
pub use schema::{DataFile, Field, Purity, Schema};

/// What a plugin needs in scope: `use canopy_sdk::prelude::*;`.
pub mod prelude {
    #[cfg(not(target_family = "wasm"))]
    pub use crate::testing::Harness;
    pub use crate::{
        Boolean, Data, DataFile, Error, Float, Input, Int, Level, Millis, NoConfig, NoOutput,
        Nullable, Output, Plugin, Purity, Reject, Row, RowResult, Schema, Text, TextList, Texts,
        Timestamp, Verdict, config, count, log, plugin,
    };
    pub use serde_json::json;
}

/// What the derive macros refer to.
#[doc(hidden)]
pub mod macros {
    pub use crate::input::{Binder, field as input_field};
    pub use crate::output::{Declared, Writer, field as output_field, writer};
}

/// Registers the package's plugin: `canopy_sdk::export!(MyPlugin);`, once.
///
/// Name, version and summary are the package's name, version and description;
/// `export!(MyPlugin, name = "my-plugin", summary = "Does this.")` says others.
#[macro_export]
macro_rules! export {
    ($plugin:ident) => {
        $crate::export!(
            $plugin,
            name = ::core::env!("CARGO_PKG_NAME"),
            summary = ::core::env!("CARGO_PKG_DESCRIPTION")
        );
    };
    ($plugin:ident, name = $name:expr) => {
        $crate::export!(
            $plugin,
            name = $name,
            summary = ::core::env!("CARGO_PKG_DESCRIPTION")
        );
    };
    ($plugin:ident, summary = $summary:expr) => {
        $crate::export!($plugin, name = ::core::env!("CARGO_PKG_NAME"), summary = $summary);
    };
    ($plugin:ident, name = $name:expr, summary = $summary:expr) => {
        impl $crate::Package for $plugin {
            const NAME: &'static str = $name;
            const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
            const SUMMARY: &'static str = $summary;
        }

        // Natively nothing is exported; this keeps the plugin from being dead
        // code and checks that it can be configured.
        #[cfg(not(target_family = "wasm"))]
        const _: fn(
            &str,
            &$crate::Data,
        ) -> ::std::result::Result<$crate::Instance<$plugin>, $crate::Error> =
            $crate::Instance::<$plugin>::new;

        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::{self, canopy::plugin::types};

            ::std::thread_local! {
                static STATE: bindings::State<$plugin> = const { bindings::State::new(::core::option::Option::None) };
            }

            struct Component;

            impl bindings::Guest for Component {
                fn describe() -> types::Descriptor {
                    bindings::describe::<$plugin>()
                }

                fn configure(config: ::std::string::String) -> ::core::result::Result<types::Schema, types::Error> {
                    STATE.with(|state| bindings::configure(state, &config))
                }

                fn transform(
                    rows: u32,
                    inputs: ::std::vec::Vec<types::Column>,
                ) -> ::core::result::Result<types::Output, types::Error> {
                    STATE.with(|state| bindings::transform(state, rows, inputs))
                }
            }

    bindings::export_component!(Component with_types_in bindings);
        };
    };
}
