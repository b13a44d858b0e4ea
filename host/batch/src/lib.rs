//! The batch: columns, their schema, and log formats parsed straight into them.
//!
//! Pure: no I/O, no clock, no async runtime. Lines go in as bytes
//! ([`Records`]), come out as Arrow columns ([`Batch`]), pass through
//! [`Stage`]s and end in a [`Sink`]. A bad record is data, not an error: it is
//! returned as [`Rejected`] with its reason, and the others go on.
//!
//! The types to know are [`Batch`], [`formats::Parser`] which makes batches,
//! and [`schema`], which says what the columns are.
//!
//! ```
//! use arrow_array::cast::AsArray;
//! use bytes::Bytes;
//! use canopy_batch::formats::{Format, Parser};
//!
//! let log = "#Fields: date time x-host-header cs-uri-stem sc-status\n\
//!            2025-10-05\t01:06:21\twww.example.com\t/a%20b\t200\n";
//! let parsed = Parser::new(Format::Standard, 100.0).parse_lines(Bytes::from(log), 1);
//!
//! let path = parsed.batch.column("cs_uri_stem").expect("the log has it");
//! assert_eq!(path.as_string::<i32>().value(0), "/a b");
//! // The viewer's Host header, which standard logs call `x-host-header`.
//! assert!(parsed.batch.column("cs_host").is_some());
//! ```

#![deny(missing_docs)]

pub mod batch;
pub mod formats;
pub mod schema;
pub mod stage;

pub use batch::{Batch, Records, Rejected};
pub use schema::{Column, ColumnType, Kind};
pub use stage::{Outcome, Sink, Stage, StageError};
