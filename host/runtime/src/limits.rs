//! What a plugin may use, and the counting that holds it to that.

use std::time::Duration;

use wasmtime::ResourceLimiter;

/// The limits of one plugin. All of them are hard: a call that passes one is
/// ended, and the rows that made it so get the plugin's `on-error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memories and tables of one instance, summed, in bytes.
    /// Default: 128 MiB.
    pub memory_bytes: u64,
    /// Wall time of one `transform` of a whole batch. Default: 1 s. While the
    /// rows at fault are sought, parts of the batch get their share of it;
    /// the search ends after [`Limits::SEARCH_DEADLINES`] of them, and every
    /// call after [`Limits::BATCH_DEADLINES`].
    pub deadline: Duration,
    /// Wall time of `describe`, and of `configure`, which may load data files
    /// of many megabytes. The new instances that one batch needs share it.
    /// Default: 10 s.
    pub configure_deadline: Duration,
    /// Bytes of text that one output row may hold over all its columns.
    /// Default: 64 KiB, eight times the longest URL CloudFront takes.
    pub output_bytes_per_row: u32,
    /// Bytes that a plugin may return for one batch, and may make the host
    /// hold: an answer spread over equal rows counts once for each, a row named
    /// again counts with all its columns. Default: 64 MiB; at most 1 GiB,
    /// because Arrow's text columns end at 2 GiB.
    pub output_bytes: u32,
    /// Output rows per input row, on average over a call, and per record of the
    /// batch. Default: 16.
    pub fan_out: u32,
    /// Log lines kept per batch; what is over is counted. Default: 100.
    pub log_lines: u32,
    /// Bytes of log messages kept per batch; what is over is counted.
    /// Default: 16 KiB.
    pub log_bytes: u32,
    /// An instance is replaced after so many batches, so that state cannot
    /// pile up. Default: 1,000.
    pub batches_per_instance: u32,
}

impl Limits {
    /// How many deadlines the search for the rows at fault in one batch may
    /// take, the first call and new instances included. One endless row among
    /// 10,000 takes about two and a half. When they have passed, or the plugin
    /// has failed 256 times and on most of the rows tried, parts are not divided
    /// any more: those that wait are called as they are, until
    /// [`Limits::BATCH_DEADLINES`] have passed.
    pub const SEARCH_DEADLINES: u32 = 4;

    /// How many deadlines after the start of a batch no call begins any more;
    /// rows not tried by then fail. What is under way then, one call or one
    /// new instance, ends at its own deadline.
    pub const BATCH_DEADLINES: u32 = Self::SEARCH_DEADLINES + 2;

    /// The most that [`Limits::output_bytes`] counts for.
    pub const MAX_OUTPUT_BYTES: u32 = 1 << 30;

    /// The bytes a plugin may return for one batch.
    pub(crate) fn output_bytes(&self) -> usize {
        self.output_bytes.min(Self::MAX_OUTPUT_BYTES) as usize
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory_bytes: 128 << 20,
            deadline: Duration::from_secs(1),
            configure_deadline: Duration::from_secs(10),
            output_bytes_per_row: 64 << 10,
            output_bytes: 64 << 20,
            fan_out: 16,
            log_lines: 100,
            log_bytes: 16 << 10,
            batches_per_instance: 1000,
        }
    }
}

/// Core instances, memories and tables of one component. A component made by a
/// language runtime has about a dozen; a bomb of empty ones is stopped here.
const MAX_PARTS: usize = 256;

/// Bytes of a table element, by wasmtime's own account of it.
const TABLE_ELEMENT_BYTES: u64 = size_of::<usize>() as u64;

/// Counts the memories and tables of one instance together. wasmtime's own
/// `StoreLimits` holds each memory to the limit, not their sum.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    limit: u64,
    used: u64,
    /// What the growth just permitted would add, taken back if it fails.
    pending: u64,
    /// Whether a growth was refused since [`MemoryLimiter::forget_refusal`].
    refused: bool,
}

impl MemoryLimiter {
    pub(crate) fn new(limit: u64) -> Self {
        MemoryLimiter {
            limit,
            used: 0,
            pending: 0,
            refused: false,
        }
    }

    /// Bytes in use. Memories never shrink, so this is the peak as well.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    pub(crate) fn forget_refusal(&mut self) {
        self.refused = false;
    }

    fn grow(&mut self, by: u64) -> bool {
        match self.used.checked_add(by) {
            Some(used) if used <= self.limit => {
                self.used = used;
                self.pending = by;
                true
            }
            _ => {
                self.refused = true;
                false
            }
        }
    }

    fn undo(&mut self) {
        self.used -= std::mem::take(&mut self.pending);
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Refusing makes `memory.grow` return -1: a runtime that can collect
        // garbage instead gets the chance to.
        Ok(self.grow(desired.saturating_sub(current) as u64))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = desired.saturating_sub(current) as u64;
        Ok(self.grow(elements.saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_are_counted_together() {
        let mut limiter = MemoryLimiter::new(100_000);
        assert!(limiter.memory_growing(0, 65_536, None).unwrap());
        assert!(limiter.table_growing(0, 1000, None).unwrap());
        assert_eq!(limiter.used(), 65_536 + 8000);
        assert!(!limiter.refused());
        assert!(!limiter.memory_growing(0, 65_536, None).unwrap());
        assert!(limiter.refused());
    }

    #[test]
    fn a_growth_that_fails_is_given_back() {
        let mut limiter = MemoryLimiter::new(200_000);
        assert!(limiter.memory_growing(65_536, 131_072, None).unwrap());
        limiter
            .memory_grow_failed(wasmtime::format_err!("no memory"))
            .unwrap();
        assert_eq!(limiter.used(), 0);
    }

    #[test]
    fn a_growth_past_every_number_is_refused() {
        let mut limiter = MemoryLimiter::new(u64::MAX);
        assert!(limiter.memory_growing(0, 1, None).unwrap());
        assert!(!limiter.memory_growing(0, usize::MAX, None).unwrap());
    }
}
