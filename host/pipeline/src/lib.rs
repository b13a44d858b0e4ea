//! The pipeline: settings, the chain of plugins, sources, quarantine, ledger.
//!
//! Every front end calls this crate and nothing below it decides anything:
//! [`Settings`] and [`Lock`] say what to run, [`Chain`] is the plugins in
//! order, [`run()`] takes sources through parse, plugins and insert and
//! returns a [`Report`] whose books balance.
//!
//! The crate never prints, never reads the environment and knows nothing of
//! AWS or the terminal.

pub mod chain;
pub mod chunk;
mod claim;
mod earlier;
pub mod feed;
pub mod lock;
mod patience;
pub mod quarantine;
pub mod report;
pub mod run;
pub mod settings;
pub mod units;
mod worker;

pub use chain::{Chain, ChainError};
pub use lock::Lock;
pub use report::Report;
pub use run::{Progress, RunError, RunSettings, Source, run};
pub use settings::Settings;
