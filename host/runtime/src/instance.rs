//! One instance of a plugin: its store, what the host keeps for it, its calls.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Store, Trap};

use crate::clock::ticks;
use crate::contract::v0_1::{self, ColumnIn, Descriptor, Guest, Output, ReadError, Schema};
use crate::descriptor::shorten;
use crate::failure::Failure;
use crate::host::Loaded;
use crate::limits::{Limits, MemoryLimiter};
use crate::metrics::{Level, LogLine, MAX_COUNTERS};

/// Bytes that `describe` and `configure` may return: a JSON Schema and lists of
/// columns are far below.
const DESCRIPTION_BYTES: usize = 4 << 20;

/// What the host keeps for one instance; what the host functions act on.
#[derive(Debug)]
pub(crate) struct GuestState {
    limiter: MemoryLimiter,
    data: Arc<BTreeMap<String, PathBuf>>,
    configuring: bool,
    log: LogBuffer,
    counters: BTreeMap<String, u64>,
    counters_ignored: u64,
}

/// The log of one batch, capped.
#[derive(Debug, Default)]
struct LogBuffer {
    lines: Vec<LogLine>,
    lines_left: u32,
    bytes_left: u32,
    skipped: u64,
}

impl GuestState {
    /// Whether a further log line of so many bytes would be kept.
    pub(crate) fn log_has_room_for(&self, bytes: usize) -> bool {
        self.log.lines_left > 0 && bytes <= self.log.bytes_left as usize
    }

    /// Counts a log line that is not kept.
    pub(crate) fn skip_log_line(&mut self) {
        self.log.skipped += 1;
    }

    /// Keeps a log line that [`GuestState::log_has_room_for`].
    pub(crate) fn log(&mut self, level: Level, message: String) {
        self.log.lines_left -= 1;
        self.log.bytes_left -= message.len() as u32;
        self.log.lines.push(LogLine { level, message });
    }

    /// Adds to a counter, or counts that it was ignored: for a bad name, which
    /// is none here, or for being one too many.
    pub(crate) fn count(&mut self, metric: Option<String>, delta: u64) {
        let Some(metric) = metric else {
            self.counters_ignored += 1;
            return;
        };
        if let Some(total) = self.counters.get_mut(&metric) {
            *total = total.saturating_add(delta);
        } else if self.counters.len() < MAX_COUNTERS {
            self.counters.insert(metric, delta);
        } else {
            self.counters_ignored += 1;
        }
    }

    /// Reads a granted file. Only `configure` may: a file read for every batch
    /// would cost more than the batch, and data that changes under a running
    /// instance would break "same inputs, same outputs".
    pub(crate) fn read_data(&self, name: &str) -> Result<Arc<[u8]>, ReadError> {
        if !self.configuring {
            return Err(ReadError::NotGranted);
        }
        let path = self.data.get(name).ok_or(ReadError::NotGranted)?;
        std::fs::read(path)
            .map(Arc::from)
            .map_err(|_| ReadError::Unreadable)
    }
}

/// Whether `name` is 1 to 64 lower-case letters, digits and `_`, and does not
/// start with a digit.
pub(crate) fn is_lower_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next();
    name.len() <= 64
        && first.is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// An instance of a plugin, alive until it fails or is replaced.
pub(crate) struct Instance {
    store: Store<GuestState>,
    guest: Guest,
    loaded: Loaded,
    /// Batches done, for [`Limits::batches_per_instance`].
    pub(crate) batches: u32,
    /// Memory in use once configured; growth is judged against it.
    baseline: u64,
}

impl Instance {
    /// Instantiates the component. Nothing of the guest's has run but its
    /// start functions, under the same limits.
    pub(crate) fn new(
        loaded: &Loaded,
        limits: &Limits,
        data: Arc<BTreeMap<String, PathBuf>>,
    ) -> Result<Self, Failure> {
        let state = GuestState {
            limiter: MemoryLimiter::new(limits.memory_bytes),
            data,
            configuring: false,
            log: LogBuffer::default(),
            counters: BTreeMap::new(),
            counters_ignored: 0,
        };
        let mut store = Store::new(loaded.engine(), state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(DESCRIPTION_BYTES);
        let _running = loaded.host().clock().running();
        store.set_epoch_deadline(ticks(limits.configure_deadline));
        let instance = loaded.instantiate(&mut store);
        let guest = instance
            .and_then(|instance| Guest::find(&mut store, &instance, loaded.guest_interface()));
        match guest {
            Ok(guest) => Ok(Instance {
                store,
                guest,
                loaded: loaded.clone(),
                batches: 0,
                baseline: 0,
            }),
            Err(error) => Err(failure(&error, store.data(), limits.configure_deadline)),
        }
    }

    /// Calls `describe`.
    pub(crate) fn describe(&mut self, limits: &Limits) -> Result<Descriptor, Failure> {
        self.call(
            limits.configure_deadline,
            DESCRIPTION_BYTES,
            |guest, store| guest.describe(store),
        )
    }

    /// Calls `configure`; data files can be read meanwhile.
    pub(crate) fn configure(
        &mut self,
        limits: &Limits,
        config_json: &str,
    ) -> Result<Schema, Failure> {
        self.store.data_mut().configuring = true;
        let answer = self.call(
            limits.configure_deadline,
            DESCRIPTION_BYTES,
            |guest, store| guest.configure(store, config_json),
        );
        self.store.data_mut().configuring = false;
        self.baseline = self.memory_bytes();
        answer?.map_err(Failure::from)
    }

    /// Calls `transform` on `rows` rows. Counters start from nothing.
    pub(crate) fn transform(
        &mut self,
        deadline: Duration,
        output_bytes: usize,
        rows: u32,
        inputs: &[ColumnIn<'_>],
    ) -> Result<Output, Failure> {
        self.store.data_mut().counters.clear();
        self.call(deadline, output_bytes, |guest, store| {
            guest.transform(store, rows, inputs)
        })?
        .map_err(Failure::from)
    }

    fn call<R>(
        &mut self,
        deadline: Duration,
        returned_bytes: usize,
        call: impl FnOnce(&Guest, &mut Store<GuestState>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        let _running = self.loaded.host().clock().running();
        self.store.data_mut().limiter.forget_refusal();
        self.store.set_hostcall_fuel(returned_bytes);
        self.store.set_epoch_deadline(ticks(deadline));
        call(&self.guest, &mut self.store)
            .map_err(|error| failure(&error, self.store.data(), deadline))
    }

    /// Lets the log take as much as a batch may write, less the `lines` that
    /// earlier instances wrote for it.
    pub(crate) fn refill_log(&mut self, limits: &Limits, lines: &[LogLine]) {
        let bytes: usize = lines.iter().map(|line| line.message.len()).sum();
        let left =
            |limit: u32, used: usize| limit.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX));
        let log = &mut self.store.data_mut().log;
        log.lines_left = left(limits.log_lines, lines.len());
        log.bytes_left = left(limits.log_bytes, bytes);
    }

    /// Takes the log lines so far, and how many more there were.
    pub(crate) fn take_log(&mut self) -> (Vec<LogLine>, u64) {
        let log = &mut self.store.data_mut().log;
        (
            std::mem::take(&mut log.lines),
            std::mem::take(&mut log.skipped),
        )
    }

    /// Takes the counters of the last call, and how many additions were
    /// ignored.
    pub(crate) fn take_counters(&mut self) -> (BTreeMap<String, u64>, u64) {
        let state = self.store.data_mut();
        (
            std::mem::take(&mut state.counters),
            std::mem::take(&mut state.counters_ignored),
        )
    }

    /// Bytes of memories and tables in use.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.store.data().limiter.used()
    }

    /// Whether the instance has grown by half of what it had left to grow
    /// after `configure`, or has done its share of batches.
    pub(crate) fn is_worn(&self, limits: &Limits) -> bool {
        let room = limits.memory_bytes.saturating_sub(self.baseline);
        self.batches >= limits.batches_per_instance
            || self.memory_bytes().saturating_sub(self.baseline) > room / 2
    }
}

/// Says why a call ended. The guest's last error line, usually its panic
/// message, goes into the reason of a trap.
fn failure(error: &wasmtime::Error, state: &GuestState, deadline: Duration) -> Failure {
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Failure::Deadline { deadline },
        _ if state.limiter.refused() => Failure::Memory {
            limit_bytes: state.limiter.limit(),
        },
        Some(trap) => Failure::Trap {
            trap: trap.to_string(),
            said: state
                .log
                .lines
                .iter()
                .rev()
                .find(|line| line.level == Level::Error)
                .map(|line| shorten(&line.message)),
        },
        // wasmtime keeps the type of this error to itself; its text is stable
        // within the exact version the workspace pins, and a test watches it.
        None if format!("{error:#}").contains("fuel allocated for hostcalls") => {
            Failure::TooMuchReturned
        }
        None => Failure::Abi {
            message: shorten(&format!("{error:#}")),
        },
    }
}

impl From<v0_1::Error> for Failure {
    fn from(error: v0_1::Error) -> Self {
        match error {
            v0_1::Error::Config(error) => Failure::Config {
                key: shorten(&error.key),
                message: shorten(&error.message),
            },
            v0_1::Error::Data(error) => Failure::Data {
                name: shorten(&error.name),
                message: shorten(&error.message),
            },
            v0_1::Error::Input(error) => Failure::Input {
                row: error.row,
                message: shorten(&error.message),
            },
            v0_1::Error::Other(message) => Failure::Other {
                message: shorten(&message),
            },
        }
    }
}
