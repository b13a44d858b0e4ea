//! Runs plugins: WebAssembly components of the contract in `wit/`, each in a
//! sandbox under limits, as a [`Stage`](canopy_batch::Stage) of the pipeline.
//!
//! A [`Host`] holds the engine. It compiles a component, or better takes it
//! out of an [`ArtifactCache`], [`open`](Host::open)s it with
//! [`PluginSettings`] as a [`Plugin`], and [`check_chain`] says whether several
//! fit one after the other. A plugin can slow a batch down; it can never lose a
//! record, stop the pipeline or see what it was not granted: every call has a
//! deadline, every instance a memory limit, and every column that comes back is
//! checked before use ([`OutputError`]). A row that fails gets what
//! [`OnError`] says, and the others go on.
//!
//! Columns cross the boundary in bulk: Arrow buffers are lowered with one copy
//! a list, results are lifted with one copy a list and become Arrow buffers as
//! they are. Nothing is done once per row on the host's side but the checks.
//!
//! The feature `compile` (on by default) carries the Cranelift compiler.
//! Without it only artifacts compiled ahead of time load.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use canopy_runtime::{ArtifactCache, Host, PluginSettings};
//!
//! let host = Host::new()?;
//! let component = std::fs::read("target/plugins/normalize-path.wasm")?;
//! let cached = ArtifactCache::new("cache").get_or_compile(&host, &component, None)?;
//! let plugin = host.open(
//!     &cached.loaded,
//!     PluginSettings {
//!         name: "normalize-path".to_owned(),
//!         ..PluginSettings::default()
//!     },
//! )?;
//! assert_eq!(plugin.inputs()[0].0, "cs_uri_stem");
//! # Ok(())
//! # }
//! ```

mod artifact;
mod assemble;
mod chain;
mod check;
mod clock;
mod config_schema;
mod contract;
mod descriptor;
mod distinct;
mod failure;
mod growth;
mod host;
mod input;
mod instance;
mod isolate;
mod limits;
mod load;
mod metrics;
mod open;
mod plugin;
mod settings;

pub use artifact::{ArtifactCache, CacheWarning, Cached};
pub use chain::{ChainError, check_chain};
pub use check::{OutputError, Problem};
pub use contract::{CONTRACT_VERSIONS, ContractError};
pub use descriptor::{DataFile, DescribeError, Descriptor, Purity};
pub use failure::Failure;
pub use host::{Host, Loaded, RuntimeError};
pub use limits::Limits;
pub use load::{LoadError, sha256_hex};
pub use metrics::{Level, LogLine, Metrics};
pub use open::OpenError;
pub use plugin::{OutputColumn, Plugin};
pub use settings::{OnError, PluginSettings};
