//! What a plugin can reach: the log, counters, and the data files granted to
//! it. Nothing else: no files, no network, no clock, no environment.
//!
//! Outside a component (in unit tests) log lines and counters are collected
//! for [`testing`](crate::testing), and data files are what the test gives.

use std::fmt;

use crate::error::Error;

/// How loud a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something does not work.
    Error,
}

/// Writes a line to Canopy's log, marked with the plugin's name.
///
/// Lines and bytes per batch are capped by the host; what is over the cap is
/// counted, not kept. Pass [`format_args!`] to format.
pub fn log(level: Level, message: impl fmt::Display) {
    imp::log(level, &message.to_string());
}

/// Adds to a counter shown with the plugin's metrics.
///
/// `metric` is lower-case letters, digits and `_`; the host keeps 64 names
/// per plugin and ignores further ones.
pub fn count(metric: &str, delta: u64) {
    imp::count(metric, delta);
}

/// Has panics logged, since a component has no standard error: the host takes
/// the last error that was logged for the reason of the trap.
#[cfg(target_family = "wasm")]
pub(crate) fn log_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(log_panic)));
}

/// Logs message and place of a panic in one line.
#[cfg_attr(
    not(target_family = "wasm"),
    cfg_attr(not(test), expect(dead_code, reason = "natively tests see panics"))
)]
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("a value that is no text");
    match panic.location() {
        Some(place) => log(Level::Error, format_args!("panic at {place}: {message}")),
        None => log(Level::Error, format_args!("panic: {message}")),
    }
}

/// Why [`Data`] gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    NotGranted,
    /// Only a real host finds a granted file unreadable.
    #[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "see above"))]
    Unreadable,
}

/// The data files granted to the plugin; see [`DataFile`](crate::DataFile).
#[derive(Debug)]
pub struct Data {
    #[cfg(not(target_family = "wasm"))]
    files: std::collections::BTreeMap<String, Vec<u8>>,
    #[cfg(target_family = "wasm")]
    _host: (),
}

impl Data {
    /// Returns the bytes of the file granted as `name`: a copy of the whole.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where none was granted or it cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        self.fetch(name).map_err(|error| match error {
            ReadError::NotGranted => Error::data(name, "no file is given for it"),
            ReadError::Unreadable => unreadable(name),
        })
    }

    /// Returns the bytes of the file granted as `name`, or nothing where none
    /// was granted.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where it was granted but cannot be read.
    pub fn read_optional(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.fetch(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(ReadError::NotGranted) => Ok(None),
            Err(ReadError::Unreadable) => Err(unreadable(name)),
        }
    }
}

fn unreadable(name: &str) -> Error {
    Error::data(name, "the file cannot be read")
}

#[cfg(target_family = "wasm")]
mod imp {
    use super::{Data, Level, ReadError};
    use crate::bindings::canopy::plugin::{host, types};

    impl Data {
        pub(crate) const fn of_host() -> Self {
            Data { _host: () }
        }

        pub(super) fn fetch(&self, name: &str) -> Result<Vec<u8>, ReadError> {
            host::read_data(name).map_err(|error| match error {
                types::ReadError::NotGranted => ReadError::NotGranted,
                types::ReadError::Unreadable => ReadError::Unreadable,
            })
        }
    }

    pub(super) fn log(level: Level, message: &str) {
        let level = match level {
            Level::Debug => types::Level::Debug,
            Level::Info => types::Level::Info,
            Level::Warn => types::Level::Warn,
            Level::Error => types::Level::Error,
        };
        host::log(level, message);
    }

    pub(super) fn count(metric: &str, delta: u64) {
        host::count(metric, delta);
    }
}

#[cfg(not(target_family = "wasm"))]
mod imp {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::{Data, Level, ReadError};

    impl Data {
        pub(crate) const fn of_files(files: BTreeMap<String, Vec<u8>>) -> Self {
            Data { files }
        }

        pub(super) fn fetch(&self, name: &str) -> Result<Vec<u8>, ReadError> {
            self.files.get(name).cloned().ok_or(ReadError::NotGranted)
        }
    }

    /// What a plugin told the host since it was last asked.
    #[derive(Default)]
    pub(crate) struct Told {
        pub(crate) log: Vec<(Level, String)>,
        pub(crate) counters: BTreeMap<String, u64>,
    }

    thread_local! {
        /// Of the thread, because each test has a thread of its own.
        static TOLD: RefCell<Told> = RefCell::default();
    }

    pub(crate) fn told() -> Told {
        TOLD.take()
    }

    pub(super) fn log(level: Level, message: &str) {
        TOLD.with_borrow_mut(|told| told.log.push((level, message.to_owned())));
    }

    pub(super) fn count(metric: &str, delta: u64) {
        TOLD.with_borrow_mut(|told| *told.counters.entry(metric.to_owned()).or_default() += delta);
    }
}

#[cfg(not(target_family = "wasm"))]
pub(crate) use imp::{Told, told};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_logged_as_an_error_with_its_place() {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(log_panic));
        let outcome = std::panic::catch_unwind(|| panic!("no {}", "luck"));
        std::panic::set_hook(before);
        assert!(outcome.is_err());
        let (level, message) = told().log.pop().unwrap();
        assert_eq!(level, Level::Error);
        assert!(message.starts_with("panic at "), "{message}");
        assert!(message.contains("host.rs:"), "{message}");
        assert!(message.ends_with(": no luck"), "{message}");
    }
}
