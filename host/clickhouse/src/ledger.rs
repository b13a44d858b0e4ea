//! The ledger: which records of which source went where.
//!
//! Rows are only ever added. A chunk of a source is entered as `planned`
//! before it is inserted and as `done` after, with the numbers that must
//! balance: `records = inserted_records + dropped + quarantined`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::client::ClickHouse;
use crate::error::Error;
use crate::schema::LEDGER;
use crate::sink::{Insert, Retries};
use crate::sql::literal;

/// How far a chunk has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// About to be inserted; whether it was is unknown until `done`.
    Planned,
    /// Inserted; the counts are final.
    Done,
}

/// A chunk of a source, at one point of its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// When it was entered, in milliseconds since the epoch, UTC.
    pub at: i64,
    /// The identity of the source's content, in hex.
    pub source: String,
    /// What to call the source: a file's name.
    pub label: String,
    /// What kind of source: `file`, `stdin` and so on.
    pub kind: String,
    /// Where in the source the chunk begins, in bytes.
    pub start_offset: u64,
    /// Where it ends, in bytes, exclusive.
    pub end_offset: u64,
    /// The hash chain over the source up to `start_offset`, in hex.
    pub chain_before: String,
    /// The hash chain over the source up to `end_offset`, in hex.
    pub chain_after: String,
    /// The token under which the chunk is inserted.
    pub token: String,
    /// How far the chunk has come.
    pub state: State,
    /// How many records the chunk has.
    pub records: u64,
    /// How many of them have rows in ClickHouse.
    pub inserted_records: u64,
    /// How many rows those are.
    pub inserted_rows: u64,
    /// How many records plugins dropped on purpose.
    pub dropped: u64,
    /// How many records were set aside.
    pub quarantined: u64,
    /// Whether the source ended here, perhaps in the middle of a line.
    pub tail: bool,
}

/// The columns of [`LedgerEntry`], in its order.
const COLUMNS: &str = "at, source, label, kind, start_offset, end_offset, chain_before, \
     chain_after, token, state, records, inserted_records, inserted_rows, dropped, quarantined, tail";

/// Adds entries, each once however often it is sent: an entry that was sent
/// but not acknowledged is sent again, and ClickHouse tells it by its content.
///
/// # Errors
///
/// What the insert ended with, after the tries that `retries` allows.
pub async fn record(
    clickhouse: &ClickHouse,
    entries: &[LedgerEntry],
    retries: Retries,
) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut body = Vec::with_capacity(entries.len() * 512);
    for entry in entries {
        serde_json::to_writer(&mut body, entry).map_err(Error::Row)?;
        body.push(b'\n');
    }
    let insert = Insert {
        sql: format!("INSERT INTO {LEDGER} ({COLUMNS}) FORMAT JSONEachRow"),
        token: None,
        body: Bytes::from(body),
    };
    clickhouse
        .sink(LEDGER)?
        .with_retries(retries)
        .send(&insert)
        .await
        .map_err(Error::of_insert)
}

/// Returns all entries of the source with the identity `source`, by start
/// offset, then by time.
///
/// # Errors
///
/// What ClickHouse says.
pub async fn for_source(clickhouse: &ClickHouse, source: &str) -> Result<Vec<LedgerEntry>, Error> {
    clickhouse
        .query_rows(&format!(
            "SELECT toUnixTimestamp64Milli(at) AS at, {} FROM {LEDGER} WHERE source = {} \
             ORDER BY start_offset, ledger.at, state",
            COLUMNS.trim_start_matches("at, "),
            literal(source),
        ))
        .await
}
