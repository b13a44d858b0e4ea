//! The batch: columns, their schema, and log formats parsed straight into them.
//!
//! Pure: no I/O, no clock, no async runtime. Lines go in as bytes
//! ([`Records`]), come out as Arrow columns ([`Batch`]), pass through
//! [`Stage`]s and end in a [`Sink`]. A bad record is data, not an error: it is
//! returned as [`Rejected`] with its reason, and the others go on.

#![deny(missing_docs)]

pub mod batch;
pub mod formats;
pub mod schema;
pub mod stage;

pub use batch::{Batch, Records, Rejected};
pub use schema::{Column, ColumnType, Kind};
pub use stage::{Outcome, Sink, Stage, StageError};
