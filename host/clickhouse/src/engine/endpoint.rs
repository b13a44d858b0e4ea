//! `engine.json`: where the engine of a store listens, for its owner alone.

use super::EngineError;
use crate::server::{DEFAULT_DATABASE, Server};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long an engine may take to accept and to answer a ping. It answers
/// without touching the database, so only a starved machine comes near.
const PING_TIME: Duration = Duration::from_secs(5);

/// The files of a store's folder.
pub(super) struct Files {
    /// The database's own folder.
    pub(super) data: PathBuf,
    /// Where the engine listens.
    pub(super) endpoint: PathBuf,
    /// Locked by the engine while it runs.
    pub(super) lock: PathBuf,
    /// What the engine's process prints.
    pub(super) log: PathBuf,
}

impl Files {
    pub(super) fn of(store: &Path) -> Self {
        Self {
            data: store.join("data"),
            endpoint: store.join("engine.json"),
            lock: store.join("engine.lock"),
            log: store.join("engine.log"),
        }
    }

    /// Whether an engine holds the store.
    fn is_locked(&self) -> bool {
        let Ok(lock) = std::fs::File::open(&self.lock) else {
            return false;
        };
        // Shared, so that those who look do not take each other for an engine;
        // one that starts at this moment tries again. Closing releases it.
        let taken = flock(&lock, FlockOperation::NonBlockingLockShared);
        taken == Err(Errno::WOULDBLOCK)
    }
}

/// The contents of `engine.json`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) pid: u32,
    pub(super) version: String,
    /// Seconds since 1970.
    pub(super) started: u64,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.address)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Writes the file whole or not at all, readable by its owner alone.
    pub(super) fn write(&self, file: &Path) -> Result<(), EngineError> {
        let temporary = file.with_extension("json.new");
        let written = || -> std::io::Result<()> {
            let _ = std::fs::remove_file(&temporary);
            let mut out = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            out.write_all(&serde_json::to_vec_pretty(self)?)?;
            out.write_all(b"\n")?;
            std::fs::rename(&temporary, file)
        };
        written().map_err(|source| EngineError::io("write", file, source))
    }

    /// Reads the file; `None` when it is missing or of another version's making.
    pub(super) fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(file).ok()?).ok()
    }

    /// Removes the file if it still is this engine's.
    pub(super) fn remove(&self, file: &Path) {
        if Self::read(file).as_ref() == Some(self) {
            // Left behind, it is recognised as stale by the next reader.
            let _ = std::fs::remove_file(file);
        }
    }

    /// Whether the engine that wrote this answers. The file of one that was
    /// killed stays behind, and its port may be another process's by now: that
    /// one is not asked, since no engine holds the store's lock.
    pub(super) async fn is_live(&self, files: &Files) -> bool {
        if !files.is_locked() {
            return false;
        }
        let ping = async {
            let mut stream = TcpStream::connect(self.address).await?;
            let request = format!(
                "GET /engine HTTP/1.1\r\nHost: {}\r\nX-ClickHouse-User: {}\r\nX-ClickHouse-Key: {}\r\nConnection: close\r\n\r\n",
                self.address, self.user, self.password
            );
            stream.write_all(request.as_bytes()).await?;
            let mut status = [0; 12];
            stream.read_exact(&mut status).await?;
            Ok::<_, std::io::Error>(status == *b"HTTP/1.1 200")
        };
        matches!(tokio::time::timeout(PING_TIME, ping).await, Ok(Ok(true)))
    }

    pub(super) fn server(&self) -> Server {
        Server {
            url: format!("http://{}", self.address),
            user: self.user.clone(),
            password: self.password.clone(),
            database: DEFAULT_DATABASE.to_owned(),
        }
    }
}
