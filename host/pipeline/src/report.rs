//! What a run did, in numbers that add up.

use std::path::PathBuf;
use std::time::Duration;

use canopy_batch::{Records, Rejected, Stage};
use canopy_runtime::Plugin;
use serde::Serialize;

/// How many rejected records a report quotes.
const MAX_SAMPLES: usize = 5;

/// How many bytes of a rejected record a report quotes.
const MAX_SAMPLE_BYTES: usize = 120;

/// The books of a run. [`Books::balance`] says whether they add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Records read (lines that are neither blank nor directives).
    pub records: u64,
    /// Records that went into ClickHouse.
    pub inserted: u64,
    /// Records that a plugin dropped on purpose.
    pub dropped: u64,
    /// Records set aside with their reason.
    pub quarantined: u64,
}

impl Books {
    /// Whether every record ended in exactly one place.
    pub fn balance(&self) -> bool {
        self.records == self.inserted + self.dropped + self.quarantined
    }

    /// Adds another account to this one.
    pub fn add(&mut self, other: Books) {
        self.records += other.records;
        self.inserted += other.inserted;
        self.dropped += other.dropped;
        self.quarantined += other.quarantined;
    }
}

/// Time spent by stage. Stages overlap, so they sum to more than the run took.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct StageTimes {
    /// Waiting for the source, cutting chunks and hashing them.
    #[serde(serialize_with = "seconds")]
    pub read: Duration,
    /// From lines to columns.
    #[serde(serialize_with = "seconds")]
    pub parse: Duration,
    /// All plugins together.
    #[serde(serialize_with = "seconds")]
    pub plugins: Duration,
    /// Encoding, compressing, sending, and ClickHouse's own work.
    #[serde(serialize_with = "seconds")]
    pub insert: Duration,
}

fn seconds<S: serde::Serializer>(duration: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64(duration.as_secs_f64())
}

/// One plugin's account.
#[derive(Clone, Debug, Serialize)]
pub struct PluginReport {
    /// Its name in the chain.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// Calls made, those included that sought the rows at fault.
    pub calls: u64,
    /// Rows given to it.
    pub rows_in: u64,
    /// Rows that went on.
    pub rows_out: u64,
    /// Records it dropped on purpose.
    pub dropped: u64,
    /// Records set aside because of it.
    pub rejected: u64,
    /// Rows that it failed on and that went on with nulls.
    pub nulled: u64,
    /// Where the first of them was, and why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nulled_example: Option<String>,
    /// Calls that ended in a trap, a passed limit or an unusable answer.
    pub traps: u64,
    /// Time spent in it, copies in and out included.
    #[serde(serialize_with = "seconds")]
    pub busy: Duration,
    /// Nanoseconds a row, median over its latest batches.
    pub ns_per_row_p50: f64,
    /// Nanoseconds a row, 99th percentile over its latest batches.
    pub ns_per_row_p99: f64,
    /// The most memory an instance had, in bytes.
    pub peak_memory_bytes: u64,
    /// Its own counters.
    pub counters: std::collections::BTreeMap<String, u64>,
    /// The latest lines it logged, with their level.
    pub log: Vec<String>,
    /// Lines it logged beyond the cap, which are lost.
    pub log_skipped: u64,
}

impl PluginReport {
    pub(crate) fn new(plugin: &mut Plugin) -> PluginReport {
        let log = plugin
            .take_log()
            .into_iter()
            .map(|line| {
                let level = format!("{:?}", line.level).to_lowercase();
                format!("{level}: {}", line.message)
            })
            .collect();
        let metrics = plugin.metrics();
        PluginReport {
            name: plugin.name().to_owned(),
            version: plugin.descriptor().version.clone(),
            calls: metrics.calls,
            rows_in: metrics.rows_in,
            rows_out: metrics.rows_out,
            dropped: metrics.dropped,
            rejected: metrics.rejected,
            nulled: metrics.nulled,
            nulled_example: metrics.nulled_example,
            traps: metrics.traps,
            busy: metrics.busy,
            ns_per_row_p50: metrics.ns_per_row_p50,
            ns_per_row_p99: metrics.ns_per_row_p99,
            peak_memory_bytes: metrics.peak_memory_bytes,
            counters: metrics.counters,
            log,
            log_skipped: metrics.log_lines_skipped,
        }
    }
}

/// A record set aside, shortened for reading.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// The source.
    pub source: String,
    /// The record's place in it.
    pub position: u64,
    /// What refused it.
    pub stage: String,
    /// Why.
    pub reason: String,
    /// The beginning of the record, with what is not printable escaped.
    pub raw: String,
}

/// What became of one source.
#[derive(Clone, Debug, Serialize)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// The format its lines were read as.
    pub format: String,
    /// What this run read and stored of it.
    pub books: Books,
    /// What earlier runs had stored of it, by the ledger.
    pub already: Books,
    /// Whether it broke off before its end, such as truncated gzip data.
    pub broken: bool,
    /// What the operator should know of it: why it broke off, or that it was
    /// not recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// What a run did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Each source.
    pub sources: Vec<SourceReport>,
    /// The sum over the sources of what this run did.
    pub books: Books,
    /// The sum over the sources of what earlier runs had done.
    pub already: Books,
    /// Rows inserted: more than records where a plugin makes several of one.
    pub rows: u64,
    /// Bytes of log read, uncompressed.
    pub bytes: u64,
    /// How long the run took.
    #[serde(serialize_with = "seconds")]
    pub elapsed: Duration,
    /// Where the time went.
    pub stages: StageTimes,
    /// Each plugin in the chain's order.
    pub plugins: Vec<PluginReport>,
    /// Some of the records set aside.
    pub samples: Vec<Sample>,
    /// The folder of the records set aside.
    pub quarantine: PathBuf,
    /// Whether the run was stopped before the end of its sources.
    pub stopped: bool,
}

impl Report {
    /// Quotes rejected records, as long as there are few quotes.
    pub(crate) fn quote(&mut self, source: &str, records: &Records, rejected: &[Rejected]) {
        let room = MAX_SAMPLES.saturating_sub(self.samples.len());
        for rejection in rejected.iter().take(room) {
            let raw = records.raw(rejection.record);
            let mut quoted = raw[..raw.len().min(MAX_SAMPLE_BYTES)]
                .escape_ascii()
                .to_string();
            if raw.len() > MAX_SAMPLE_BYTES {
                quoted.push('…');
            }
            self.samples.push(Sample {
                source: source.to_owned(),
                position: records.position(rejection.record),
                stage: rejection.stage.to_string(),
                reason: rejection.reason.clone(),
                raw: quoted,
            });
        }
    }

    /// Records read per second of the run.
    pub fn records_per_second(&self) -> f64 {
        self.books.records as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_balance_only_when_every_record_ended_once() {
        let mut books = Books {
            records: 10,
            inserted: 7,
            dropped: 2,
            quarantined: 1,
        };
        assert!(books.balance());
        books.add(Books {
            records: 1,
            ..Books::default()
        });
        assert!(!books.balance());
    }
}
