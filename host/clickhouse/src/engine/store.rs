//! A store: a folder whose engine is started when it is needed.

use super::EngineError;
use super::endpoint::{Endpoint, Files};
use super::serve::create;
use crate::server::Server;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an engine may take to be ready. Half a second is usual; a store that
/// was killed while large takes longer, and another engine may still be ending.
const READY_TIME: Duration = Duration::from_secs(90);

/// An engine's log is moved aside at its next start when it is larger.
const MAX_LOG_BYTES: u64 = 4 << 20;

/// How much of the log goes into an error.
const LOG_TAIL_BYTES: u64 = 4 << 10;

/// The command that serves a store until nobody uses it: one that ends in
/// [`serve`](fn@super::serve), such as `canopy engine serve --store DIR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineCommand {
    /// The executable.
    pub program: PathBuf,
    /// All its arguments, the store's folder among them.
    pub arguments: Vec<OsString>,
}

/// A folder holding a database, and the command that serves it.
///
/// Cheap to clone. Several processes may open one store; they share one engine,
/// which outlives each of them and ends when all have gone.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    command: EngineCommand,
    /// The engine that answered last.
    known: Mutex<Option<Endpoint>>,
}

impl Store {
    /// Opens the store in `folder`, which is created if it is missing, readable
    /// by its owner alone. No engine is started yet.
    ///
    /// # Errors
    ///
    /// [`EngineError::Io`] when the folder cannot be created.
    pub fn open(folder: &Path, command: EngineCommand) -> Result<Self, EngineError> {
        let folder = create(folder)?;
        Ok(Self(Arc::new(Inner {
            folder,
            command,
            known: Mutex::new(None),
        })))
    }

    /// The store's folder, as a full path.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Returns a server that answers now: the engine that runs, or a new one if
    /// there is none or it has died. The port and the password change with it.
    ///
    /// # Errors
    ///
    /// - [`EngineError::Spawn`] when the command cannot be run,
    /// - [`EngineError::NotReady`] with the end of the engine's log when it ended
    ///   or did not answer within 90 seconds,
    /// - [`EngineError::Io`] when its log cannot be written.
    pub async fn server(&self) -> Result<Server, EngineError> {
        let mut known = self.0.known.lock().await;
        let files = Files::of(&self.0.folder);
        for endpoint in [known.take(), Endpoint::read(&files.endpoint)]
            .into_iter()
            .flatten()
        {
            if endpoint.is_live(&files).await {
                let server = endpoint.server();
                *known = Some(endpoint);
                return Ok(server);
            }
        }
        let endpoint = self.start(&files).await?;
        let server = endpoint.server();
        *known = Some(endpoint);
        Ok(server)
    }

    async fn start(&self, files: &Files) -> Result<Endpoint, EngineError> {
        let mut child = self.spawn(files)?;
        let deadline = Instant::now() + READY_TIME;
        let mut pause = Duration::from_millis(5);
        loop {
            // Another process may have started one at the same time: ours then
            // ends, and theirs will do.
            let ended = child.try_wait().ok().flatten();
            if let Some(endpoint) = Endpoint::read(&files.endpoint)
                && endpoint.is_live(files).await
            {
                reap(child);
                return Ok(endpoint);
            }
            if ended.is_some() || Instant::now() > deadline {
                reap(child);
                return Err(EngineError::NotReady {
                    store: self.0.folder.clone(),
                    status: ended,
                    log: files.log.clone(),
                    tail: log_tail(&files.log),
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    fn spawn(&self, files: &Files) -> Result<Child, EngineError> {
        if std::fs::metadata(&files.log).is_ok_and(|log| log.len() > MAX_LOG_BYTES) {
            // Kept once, for whoever looks for the reason of a crash.
            let _ = std::fs::rename(&files.log, files.log.with_extension("log.1"));
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&files.log)
            .and_then(|log| Ok((log.try_clone()?, log)))
            .map_err(|source| EngineError::io("open", &files.log, source))?;
        let EngineCommand { program, arguments } = &self.0.command;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.0.folder)
            .stdin(Stdio::null())
            .stdout(log.0)
            .stderr(log.1);
        // SAFETY: setsid only makes a system call, which is allowed between fork
        // and exec.
        unsafe {
            command.pre_exec(|| {
                // In a session of its own, so that an interrupt or a hangup of
                // our terminal does not take the engine from the others.
                rustix::process::setsid()?;
                Ok(())
            });
        }
        command.spawn().map_err(|source| EngineError::Spawn {
            program: program.clone(),
            source,
        })
    }
}

/// Waits for a child in the background, so that it does not stay a zombie.
fn reap(mut child: Child) {
    std::thread::spawn(move || child.wait());
}

fn log_tail(log: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut tail = Vec::new();
        file.take(LOG_TAIL_BYTES).read_to_end(&mut tail)?;
        Ok(tail)
    };
    let tail = read().unwrap_or_default();
    String::from_utf8_lossy(&tail).trim().to_owned()
}
