//! CloudFront's log formats, parsed straight into columns.
//!
//! | [`Format`] | what a line is | what decides the columns |
//! | --- | --- | --- |
//! | [`Format::RealTime`] | values separated by tabs, as Kinesis delivers them | the [`Layout`] of the real-time log configuration |
//! | [`Format::Standard`] | values separated by tabs, the W3C files of standard logging | the `#Fields:` line above it |
//! | [`Format::Json`] | a JSON object, standard logging v2 | its keys |
//!
//! A column means the same thing from all of them. Two names of standard logs
//! say the opposite of the same names in real-time logs, and are turned:
//!
//! | column | real-time field | standard field |
//! | --- | --- | --- |
//! | `cs_host`, the viewer's Host header | `cs-host` | `x-host-header` |
//! | `x_host_header`, the distribution's domain | `x-host-header` | `cs(Host)` |
//! | `cs_uri_stem`, the path alone | `cs-uri-stem` up to its `?` | `cs-uri-stem` |
//! | `cs_uri_query` | `cs-uri-query`, or `cs-uri-stem` after its `?` | `cs-uri-query` |
//! | `timestamp` | `timestamp` | `timestamp(ms)`, else `date` and `time` |
//! | `cs_user_agent`, `cs_referer`, `cs_cookie` | the same with `-` | `cs(User-Agent)`, `cs(Referer)`, `cs(Cookie)` |
//!
//! # What `-` becomes
//!
//! The rule, once: a value that is exactly `-` as CloudFront wrote it, or has
//! no byte at all, is absent. This is decided **before** percent-decoding, so
//! `%2D` is a hyphen that somebody sent.
//!
//! | column | absent becomes | because |
//! | --- | --- | --- |
//! | text | `""` | no header and an empty header are the same to a reader |
//! | address | `""`, stored as `::` | no viewer has that address |
//! | number CloudFront always sends | `0` | nulls would cost a bitmap and say nothing |
//! | number whose absence says something ([`Column::nullable`](crate::Column::nullable)) | null | no origin was asked, no range was sent |
//! | `timestamp` | the record is rejected | a row at the epoch would be deleted as expired, unseen |
//!
//! A column that a source does not provide at all is not in the batch.
//!
//! # Percent-encoding
//!
//! Fields marked [`encoded`](crate::schema::Field::encoded) are decoded once:
//! CloudFront encodes a `%` that the viewer sent, so a second decoding would
//! turn `%257B` into something nobody sent. `+` stays `+`. A `%` without two
//! hexadecimal digits stays as it is. Where the decoded bytes are not UTF-8,
//! the value stays encoded.
//!
//! # Records that cannot be rows
//!
//! A wrong number of fields, a number, time or address that is none or is out
//! of range, bytes that are not UTF-8, a NUL byte, more than
//! [`MAX_RECORD_BYTES`]: the record is [`Rejected`] whole,
//! with a reason naming the field and the value, and leaves nothing in any
//! column. Records are independent: no bad one changes another.
//!
//! ```
//! use bytes::Bytes;
//! use canopy_batch::formats::{Format, Layout, Parser};
//!
//! let layout = Layout::from_names(["timestamp", "sc-status", "cs-uri-stem"])?;
//! let mut parser = Parser::new(Format::RealTime(layout), 100.0);
//! let lines = "1759687234.191\t200\t/a%20b?c=1\n1759687234.2\tabc\t/\n";
//! let parsed = parser.parse_lines(Bytes::from(lines), 1);
//!
//! assert_eq!(parsed.batch.row_count(), 1);
//! assert!(parsed.batch.column("cs_uri_query").is_some());
//! assert_eq!(
//!     parsed.rejected[0].reason,
//!     "sc-status: `abc` is not a whole number from 0 to 999",
//! );
//! # Ok::<(), canopy_batch::formats::LayoutError>(())
//! ```
//!
//! Sources: CloudFront developer guide, [real-time logs] and [standard logs].
//!
//! [real-time logs]: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/real-time-logs.html
//! [standard logs]: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html

mod block;
mod columns;
mod detect;
mod fault;
mod json;
mod layout;
mod mask;
mod parser;
mod percent;
mod plan;
mod table;
mod value;
mod w3c;

use std::fmt;

use crate::batch::{Batch, Rejected};

pub use detect::{DetectError, detect};
pub use layout::{Layout, LayoutError};
pub use parser::Parser;

/// The stage named in a [`Rejected`] of this module.
pub const STAGE: &str = "parse";

/// The longest record that is parsed, in bytes without its line end: 1 MiB.
///
/// CloudFront's records stay far below: it does not log requests with headers
/// over 20 KB or a URL over 8,192 bytes, and percent-encoding triples a byte at
/// most. A longer line is a file that lost its line ends.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// How log records are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Real-time log lines with the fields of this layout.
    RealTime(Layout),
    /// Standard logs in W3C extended format; `#Fields:` decides.
    Standard,
    /// Standard logging v2 as JSON, one object a line.
    Json,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Format::RealTime(layout) => write!(f, "real-time lines of {} fields", layout.len()),
            Format::Standard => f.write_str("standard log (W3C)"),
            Format::Json => f.write_str("standard log (JSON lines)"),
        }
    }
}

/// What became of the records of one call.
///
/// `batch.records().len() == batch.row_count() + rejected.len()`, and each
/// record is in exactly one of the two. Rows and rejected records are in the
/// order of the records.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// One row for each good record, and the raw bytes of all records.
    ///
    /// Its columns are those that the source provides, in the order of
    /// [`FIELDS`](crate::schema::FIELDS), then
    /// [`SAMPLE_WEIGHT`](crate::schema::SAMPLE_WEIGHT).
    pub batch: Batch,
    /// The other records, each with its reason.
    pub rejected: Vec<Rejected>,
}
