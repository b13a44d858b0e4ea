//! What can be wrong with an output, and what to do about it.

use std::sync::Arc;

use canopy_batch::{ColumnType, Kind};

/// An output that cannot be used, or a value in it that cannot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin `{plugin}` returned {}{problem}; {}", place(column, row), problem.remedy())]
pub struct OutputError {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// The output column at fault, where it is one.
    pub column: Option<String>,
    /// The row of the batch at fault, from 0, where it is one. In a column it
    /// is the input row its output row comes from.
    pub row: Option<u32>,
    /// What is wrong.
    pub problem: Problem,
}

fn place(column: &Option<String>, row: &Option<u32>) -> String {
    match (column, row) {
        (Some(column), Some(row)) => format!("in column `{column}`, row {row}, "),
        (Some(column), None) => format!("in column `{column}` "),
        (None, Some(row)) => format!("for row {row} "),
        (None, None) => String::new(),
    }
}

/// What is wrong with an output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// There are more or fewer columns than declared.
    #[error("{found} columns where it declared {declared}")]
    ColumnCount {
        /// As `configure` returned them.
        declared: usize,
        /// As `transform` returned them.
        found: usize,
    },
    /// A column has another kind than declared.
    #[error("{found} values where it declared {declared}")]
    WrongKind {
        /// As `configure` returned it.
        declared: Kind,
        /// As `transform` returned it.
        found: Kind,
    },
    /// A list has another length than the rows ask for.
    #[error("{what} of length {found} where {expected} belong to {rows} rows")]
    Length {
        /// Which list.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it must have.
        expected: usize,
        /// The output rows.
        rows: usize,
    },
    /// The first offset is not 0.
    #[error("text offsets that start at {found} instead of 0")]
    FirstOffset {
        /// The first offset.
        found: u32,
    },
    /// An offset is less than the one before.
    #[error("text offsets that go back from {from} to {to}")]
    DecreasingOffset {
        /// The offset before.
        from: u32,
        /// The offset at fault.
        to: u32,
    },
    /// The last offset is not the length of the bytes.
    #[error("text offsets that end at {found} while there are {bytes} bytes")]
    LastOffset {
        /// The last offset.
        found: u32,
        /// The bytes there are.
        bytes: usize,
    },
    /// Text is not UTF-8 by itself.
    #[error("text that is not UTF-8")]
    NotUtf8,
    /// A value is null in a column that cannot hold null.
    #[error("null in a column that is not nullable")]
    Null,
    /// A number does not fit the column it replaces.
    #[error("{value}, which does not fit the {column_type:?} column it replaces")]
    OutOfRange {
        /// The number.
        value: String,
        /// What the column holds.
        column_type: ColumnType,
    },
    /// A timestamp is outside of what ClickHouse holds.
    #[error("{millis} ms since the epoch, outside of the years 1900 to 2299")]
    Timestamp {
        /// The timestamp.
        millis: i64,
    },
    /// Text in an address column is neither an address nor empty.
    #[error("`{text}`, which is not an IP address")]
    NotAnAddress {
        /// The text, cut.
        text: String,
    },
    /// A row has more text than it may.
    #[error("{bytes} bytes of text in one row where {limit} are allowed")]
    RowTooLarge {
        /// The row's bytes over all columns.
        bytes: usize,
        /// The limit.
        limit: u32,
    },
    /// The output has more bytes than a batch may.
    #[error("{bytes} bytes where {limit} are allowed for a batch")]
    TooLarge {
        /// The output's bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The rows that the output names again take more bytes than a batch may.
    #[error(
        "rows several times, which with the columns they keep is {bytes} bytes where {limit} are \
         allowed for a batch"
    )]
    CopiesTooLarge {
        /// The output's bytes, and those of the copies.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// There are many more rows than the batch has records.
    #[error("{added} rows more, with which the batch would have over {limit}")]
    TooManyRows {
        /// Rows added.
        added: u64,
        /// Rows that the batch may have: the fan-out for each of its records.
        limit: u64,
    },
    /// There are many more rows than went in.
    #[error("{found} rows for {rows} rows of input, over the fan-out limit of {limit}")]
    FanOut {
        /// Output rows.
        found: usize,
        /// Input rows.
        rows: u32,
        /// Output rows allowed for each input row.
        limit: u32,
    },
    /// A row number is not one of the call's.
    #[error("row number {found} in {what} where there are {rows} rows")]
    NoSuchRow {
        /// Which list.
        what: &'static str,
        /// The row number.
        found: u32,
        /// The input rows.
        rows: u32,
    },
    /// A row is rejected twice.
    #[error("the same row twice in `rejected`")]
    RejectedTwice,
    /// A row is rejected and goes on.
    #[error("a rejected row in `source-rows`")]
    RejectedAndKept,
    /// A per-distinct plugin changed which rows there are.
    #[error("`source-rows` though it calls itself per-distinct")]
    NotPerDistinct,
}

impl Problem {
    /// What the plugin's author or operator can do.
    fn remedy(&self) -> &'static str {
        match self {
            Problem::ColumnCount { .. } | Problem::WrongKind { .. } => {
                "return the columns that `configure` declares, in their order"
            }
            Problem::Length { .. } => {
                "give every column one value for each output row, text one offset more"
            }
            Problem::FirstOffset { .. }
            | Problem::DecreasingOffset { .. }
            | Problem::LastOffset { .. } => {
                "offsets start at 0, never decrease and end at the number of bytes"
            }
            Problem::NotUtf8 => {
                "cut text between characters, and decode bytes before returning them"
            }
            Problem::Null => "declare the column nullable, or return a value",
            Problem::OutOfRange { .. } | Problem::Timestamp { .. } => {
                "reject the row, or write to a new column"
            }
            Problem::NotAnAddress { .. } => {
                "return an IPv4 or IPv6 address or the empty text, or write to a new column"
            }
            Problem::RowTooLarge { .. } => "shorten the text, or raise limits.output-bytes-per-row",
            Problem::TooLarge { .. } => "shorten the text, or raise limits.output-bytes",
            Problem::CopiesTooLarge { .. } => "make fewer rows, or raise limits.output-bytes",
            Problem::FanOut { .. } | Problem::TooManyRows { .. } => {
                "make fewer rows, or raise limits.fan-out"
            }
            Problem::NoSuchRow { .. } => "number the rows of this call from 0",
            Problem::RejectedTwice => "reject a row once",
            Problem::RejectedAndKept => "leave rejected rows out of `source-rows`",
            Problem::NotPerDistinct => "call the plugin per-row, or keep every row",
        }
    }
}
