//! The embedded engine: real ClickHouse from `libchdb`, in a process of its own
//! behind ClickHouse's HTTP protocol.
//!
//! [`Store`] is a folder with a database. Whoever needs it asks
//! [`Store::server`], which starts the engine when none runs; [`serve()`] is what
//! that process does. So a folder and a distant server look alike to the rest of
//! Canopy, a store can be queried while it is being filled, and a crash of the
//! engine is an outage like any other.
//!
//! In the folder:
//!
//! | file | what |
//! | --- | --- |
//! | `data/` | the database, in ClickHouse's own layout |
//! | `engine.json` | address, user and password of the running engine; its owner's alone |
//! | `engine.lock` | locked by the engine while it runs; empty after it ended in good order |
//! | `engine.log` | what the engine's process printed |
//!
//! The library is 566 MB and not part of Canopy; [`fetch()`] gets it and
//! [`find_library`] finds it.

mod codec;
mod endpoint;
mod exception;
mod execute;
mod fetch;
mod ffi;
mod http;
mod library;
mod native;
mod repair;
mod reply;
mod request;
mod select;
mod serve;
mod statement;
mod store;

pub use exception::Exception;
pub use fetch::{FetchError, FetchProgress, LIBRARY_VERSION, MissingLibrary, fetch, find_library};
pub use library::{Connection, Library, LibraryError, QueryResult, StatementClass, Statistics};
pub use serve::{Engine, ServeSettings, Stopped, serve};
pub(crate) use statement::only_reads;
pub use store::{EngineCommand, Store};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// Why a store has no engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A file or folder of the store refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The engine must not be reachable from other machines.
    #[error("{address} is not a loopback address; the embedded engine serves this machine only")]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address is taken or not allowed.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The store has an engine already.
    #[error("the store {store} is already served at {address} by process {pid}")]
    Served {
        /// The store's folder.
        store: PathBuf,
        /// The process that serves it.
        pid: u32,
        /// Where it listens.
        address: SocketAddr,
    },
    /// A process holds the store's lock, but no engine answers.
    #[error("another process holds {lock}, but no engine answers")]
    Locked {
        /// The lock file.
        lock: PathBuf,
    },
    /// The library cannot be loaded or cannot open the data.
    #[error(transparent)]
    Library(LibraryError),
    /// The database failed while the engine started.
    #[error("the database does not start")]
    Exception(#[source] Exception),
    /// A thread of the engine panicked; its message is in the log.
    #[error("a thread of the engine panicked")]
    Panicked,
    /// The command that serves the store cannot be run.
    #[error("cannot start the engine with {program}")]
    Spawn {
        /// The executable.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The engine's process ended, or did not answer in time.
    #[error("the engine of {store} {}, log {log}:\n{tail}", ended(.status))]
    NotReady {
        /// The store's folder.
        store: PathBuf,
        /// How its process ended; `None` when it still runs.
        status: Option<ExitStatus>,
        /// The log file.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
}

impl EngineError {
    fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

fn ended(status: &Option<ExitStatus>) -> String {
    match status {
        Some(status) => format!("ended at its start ({status})"),
        None => "did not answer in time".to_owned(),
    }
}

/// Random bits for identifiers, not for secrets.
fn random_u64() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // The standard library seeds a hasher's keys from the system's randomness
    // and changes them with every one.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(0);
    hasher.finish()
}
