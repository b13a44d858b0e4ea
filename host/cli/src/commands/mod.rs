//! One file for each command: its arguments, whose comments are its help, and
//! the function that does it. `summary` and `signals` are what several print.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod engine;
pub(crate) mod generate;
pub(crate) mod plugin;
pub(crate) mod query;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod signals;
pub(crate) mod summary;
