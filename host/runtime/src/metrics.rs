//! What a plugin did: counts, times, memory and its own counters and log.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How many of the latest batches the percentiles are taken over.
const SAMPLES: usize = 1024;

/// How many distinct counter names a plugin may have; further ones are ignored.
pub(crate) const MAX_COUNTERS: usize = 64;

/// How many log lines wait to be fetched with
/// [`Plugin::take_log`](crate::Plugin::take_log); older ones are given up.
const MAX_WAITING_LINES: usize = 1000;

/// How loud a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}

/// A line a plugin wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How loud it is.
    pub level: Level,
    /// The text, as the plugin wrote it.
    pub message: String,
}

/// What a plugin did since it was opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Calls of `transform`, those made to find the rows at fault included.
    pub calls: u64,
    /// Rows given to the plugin, each counted once however often it was tried.
    pub rows_in: u64,
    /// Rows that went on.
    pub rows_out: u64,
    /// Records set aside because of a row that failed.
    pub rejected: u64,
    /// Records the plugin dropped on purpose.
    pub dropped: u64,
    /// Rows that failed and went on with nulls for the plugin's columns.
    pub nulled: u64,
    /// Where the first of them was, and why it failed: `on-error = "null"`
    /// leaves no other trace of it.
    pub nulled_example: Option<String>,
    /// Calls that ended in a trap, a passed limit or an unusable answer.
    pub traps: u64,
    /// Instances made, the first included.
    pub instances: u64,
    /// Wall time spent in the guest, copies in and out included.
    pub busy: Duration,
    /// Nanoseconds a row, median over the latest 1,024 batches.
    pub ns_per_row_p50: f64,
    /// Nanoseconds a row, 99th percentile over the latest 1,024 batches.
    pub ns_per_row_p99: f64,
    /// The most memory any instance had, in bytes.
    pub peak_memory_bytes: u64,
    /// The plugin's own counters. Calls that failed do not count.
    pub counters: BTreeMap<String, u64>,
    /// Additions to counters that were ignored: a bad name, or one too many.
    pub counters_ignored: u64,
    /// Log lines kept.
    pub log_lines: u64,
    /// Log lines over the cap, counted and not kept.
    pub log_lines_skipped: u64,
}

/// Collects [`Metrics`].
#[derive(Debug, Default)]
pub(crate) struct Meter {
    totals: Metrics,
    samples: VecDeque<f64>,
    waiting: VecDeque<LogLine>,
}

impl Meter {
    pub(crate) fn totals(&mut self) -> &mut Metrics {
        &mut self.totals
    }

    /// Records that a batch of `rows` rows took `time` in the guest.
    pub(crate) fn batch(&mut self, rows: usize, time: Duration) {
        self.totals.rows_in += rows as u64;
        self.totals.busy += time;
        if rows == 0 {
            return;
        }
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(time.as_nanos() as f64 / rows as f64);
    }

    /// Adds the counters of a call that succeeded.
    pub(crate) fn count(&mut self, counters: BTreeMap<String, u64>) {
        for (name, delta) in counters {
            if let Some(total) = self.totals.counters.get_mut(&name) {
                *total = total.saturating_add(delta);
            } else if self.totals.counters.len() < MAX_COUNTERS {
                self.totals.counters.insert(name, delta);
            } else {
                self.totals.counters_ignored += 1;
            }
        }
    }

    /// Keeps log lines for [`Meter::take_log`].
    pub(crate) fn log(&mut self, lines: Vec<LogLine>) {
        self.totals.log_lines += lines.len() as u64;
        self.waiting.extend(lines);
        let over = self.waiting.len().saturating_sub(MAX_WAITING_LINES);
        self.waiting.drain(..over);
    }

    pub(crate) fn take_log(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.waiting).into()
    }

    pub(crate) fn snapshot(&self) -> Metrics {
        let mut sorted: Vec<f64> = self.samples.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        Metrics {
            ns_per_row_p50: percentile(&sorted, 50),
            ns_per_row_p99: percentile(&sorted, 99),
            ..self.totals.clone()
        }
    }
}

/// Returns the nearest-rank percentile; 0 where there is no sample.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let mut meter = Meter::default();
        assert_eq!(meter.snapshot().ns_per_row_p50, 0.0);
        for nanos in 1..=100 {
            meter.batch(10, Duration::from_nanos(nanos * 10));
        }
        let metrics = meter.snapshot();
        assert_eq!(metrics.ns_per_row_p50, 50.0);
        assert_eq!(metrics.ns_per_row_p99, 99.0);
        assert_eq!(metrics.rows_in, 1000);
    }

    #[test]
    fn a_65th_counter_is_ignored_and_that_is_counted() {
        let mut meter = Meter::default();
        for index in 0..70 {
            meter.count(BTreeMap::from([(format!("c{index}"), 1)]));
        }
        meter.count(BTreeMap::from([("c0".to_owned(), 2)]));
        let metrics = meter.snapshot();
        assert_eq!(metrics.counters.len(), MAX_COUNTERS);
        assert_eq!(metrics.counters["c0"], 3);
        assert_eq!(metrics.counters_ignored, 6);
    }

    #[test]
    fn a_log_nobody_fetches_stays_small() {
        let mut meter = Meter::default();
        for _ in 0..30 {
            let line = LogLine {
                level: Level::Info,
                message: "x".to_owned(),
            };
            meter.log(vec![line; 100]);
        }
        assert_eq!(meter.take_log().len(), MAX_WAITING_LINES);
        assert_eq!(meter.snapshot().log_lines, 3000);
    }
}
