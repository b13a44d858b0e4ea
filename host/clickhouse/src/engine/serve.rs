//! The engine's process: one store, the library, and the HTTP interface.

use super::EngineError;
use super::endpoint::{Endpoint, Files};
use super::http::{self, Interface};
use super::library::Library;
use super::repair::forget_lost_blocks;
use super::request::Credentials;
use crate::server::{DEFAULT_DATABASE, Server};
use rustix::fs::{FlockOperation, Mode, flock};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The user of every engine.
const USER: &str = "canopy";

/// How long a starting engine waits for the one that is just ending; must cover
/// [`GRACE`] and the engine's own shutdown.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// How long running requests may take to end once the engine is told to stop.
const GRACE: Duration = Duration::from_secs(15);

/// What an engine's process needs to know.
#[derive(Debug, Clone)]
pub struct ServeSettings {
    /// The store's folder; created if it is missing.
    pub store: PathBuf,
    /// The loopback address to listen at; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `libchdb.so`; see [`find_library`](super::find_library).
    pub library: PathBuf,
    /// Ends the engine when no client was connected for this long; `None` never.
    pub idle: Option<Duration>,
    /// The password of the user `canopy`; `None` makes up a new one each start.
    pub password: Option<String>,
}

impl ServeSettings {
    /// The defaults: a free port, a made-up password, an end after 30 seconds
    /// without a client.
    pub fn new(store: impl Into<PathBuf>, library: impl Into<PathBuf>) -> Self {
        Self {
            store: store.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            library: library.into(),
            idle: Some(Duration::from_secs(30)),
            password: None,
        }
    }
}

/// Why an engine ended in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Nobody had been connected for the time in [`ServeSettings::idle`].
    Idle,
    /// SIGTERM, SIGINT or SIGHUP.
    Signal,
}

/// A running engine, in this process.
///
/// There is at most one per process and at most one per store.
#[derive(Debug)]
pub struct Engine {
    server: Server,
    endpoint: Endpoint,
    files: Files,
    interface: Arc<Interface>,
    idle: Option<Duration>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    /// Holds the process's number, until the end in good order. Released when the
    /// process or this value ends.
    lock: File,
    forgotten_blocks: usize,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Files").field(&self.data).finish()
    }
}

impl std::fmt::Debug for Interface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Interface").field(&self.version).finish()
    }
}

/// Serves a store until it is unused or told to end by a signal.
///
/// # Errors
///
/// As [`Engine::start`] and [`Engine::run`].
pub async fn serve(settings: ServeSettings) -> Result<Stopped, EngineError> {
    Engine::start(settings).await?.run().await
}

impl Engine {
    /// Locks the store, loads the library, opens the data and listens. Files
    /// that this process makes from now on are its owner's alone (umask 077).
    ///
    /// # Errors
    ///
    /// - [`EngineError::Served`] when another engine serves the store,
    /// - [`EngineError::NotLoopback`] for an address others can reach,
    /// - [`EngineError::Library`] when the library cannot be loaded or the data
    ///   cannot be opened,
    /// - [`EngineError::Io`] for files and the port.
    pub async fn start(settings: ServeSettings) -> Result<Self, EngineError> {
        if !settings.listen.ip().is_loopback() {
            return Err(EngineError::NotLoopback {
                address: settings.listen,
            });
        }
        // What the database writes is for the owner of the store alone, whatever
        // the mode of a folder that was there before.
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
        let store = create(&settings.store)?;
        let files = Files::of(&store);
        let lock = lock(&files).await?;
        // The address of an engine that was killed: whoever waits for this one
        // must not take what listens there now for it.
        let _ = std::fs::remove_file(&files.endpoint);
        let forgotten_blocks = recover(&files, &lock)?;
        let library = tokio::task::spawn_blocking({
            let (path, data) = (settings.library.clone(), files.data.clone());
            move || Library::open(&path, &data)
        });
        let library = library
            .await
            .map_err(|_| EngineError::Panicked)?
            .map_err(EngineError::Library)?;
        let (version, timezone) = prepare(&library)?;
        let listener =
            TcpListener::bind(settings.listen)
                .await
                .map_err(|source| EngineError::Listen {
                    address: settings.listen,
                    source,
                })?;
        let address = listener
            .local_addr()
            .map_err(|source| EngineError::Listen {
                address: settings.listen,
                source,
            })?;
        let password = match settings.password {
            Some(password) => password,
            None => secret()?,
        };
        let endpoint = Endpoint {
            address,
            user: USER.to_owned(),
            password: password.clone(),
            pid: std::process::id(),
            version: version.clone(),
            started: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |time| time.as_secs()),
        };
        let credentials = Credentials {
            user: USER.to_owned(),
            password,
        };
        let interface = Arc::new(Interface::new(library, credentials, version, timezone));
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(http::accept(listener, Arc::clone(&interface), stopped));
        endpoint.write(&files.endpoint)?;
        Ok(Self {
            server: endpoint.server(),
            endpoint,
            files,
            interface,
            idle: settings.idle,
            stop,
            accepting,
            lock,
            forgotten_blocks,
        })
    }

    /// Where the engine listens and how to sign in.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// ClickHouse's version, such as `26.7.2.1 (libchdb 26.7.3)`.
    pub fn version(&self) -> &str {
        &self.interface.version
    }

    /// How many blocks an engine that was killed had noted for deduplication
    /// without storing them; their tokens were forgotten, so that the inserts can
    /// be sent again.
    pub fn forgotten_blocks(&self) -> usize {
        self.forgotten_blocks
    }

    /// Runs until nobody uses the engine any more or a signal comes, then lets
    /// the running requests finish and shuts the database down.
    ///
    /// # Errors
    ///
    /// [`EngineError::Io`] when signals cannot be watched.
    pub async fn run(self) -> Result<Stopped, EngineError> {
        let stopped = tokio::select! {
            () = unused(&self.interface, self.idle) => Stopped::Idle,
            signalled = signalled() => {
                signalled.map_err(|source| EngineError::io("watch signals for", &self.files.lock, source))?;
                Stopped::Signal
            }
        };
        // Before the last client is served, so that none comes after it.
        self.endpoint.remove(&self.files.endpoint);
        self.stop.send_replace(true);
        let _ = self.accepting.await;
        let drained = tokio::time::timeout(GRACE, self.interface.drained()).await;
        let library = Arc::clone(&self.interface.library);
        tokio::task::spawn_blocking(move || library.shutdown())
            .await
            .map_err(|_| EngineError::Panicked)?;
        if drained.is_ok() {
            // No insert can be halfway: the next engine has nothing to repair. If
            // this fails, it looks in vain.
            let _ = self.lock.set_len(0);
        }
        Ok(stopped)
    }
}

/// Creates a store's folder for its owner alone, and returns its full path.
pub(super) fn create(store: &Path) -> Result<PathBuf, EngineError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(store)
        .and_then(|()| std::fs::canonicalize(store))
        .map_err(|source| EngineError::io("create", store, source))
}

async fn lock(files: &Files) -> Result<File, EngineError> {
    let lock = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&files.lock)
        .map_err(|source| EngineError::io("open", &files.lock, source))?;
    let deadline = tokio::time::Instant::now() + LOCK_WAIT;
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(EngineError::io("lock", &files.lock, errno.into())),
        }
        let endpoint = Endpoint::read(&files.endpoint);
        if let Some(endpoint) = endpoint
            && (endpoint.is_live(files).await || tokio::time::Instant::now() > deadline)
        {
            return Err(EngineError::Served {
                store: files.lock.with_file_name(""),
                pid: endpoint.pid,
                address: endpoint.address,
            });
        }
        if tokio::time::Instant::now() > deadline {
            return Err(EngineError::Locked {
                lock: files.lock.clone(),
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Repairs the data if the last engine did not end in good order, and notes that
/// this one runs.
fn recover(files: &Files, mut lock: &File) -> Result<usize, EngineError> {
    let noted = |source| EngineError::io("write", &files.lock, source);
    let killed = lock.metadata().map_err(noted)?.len() > 0;
    let forgotten = if killed {
        forget_lost_blocks(&files.data)
            .map_err(|source| EngineError::io("repair", &files.data, source))?
    } else {
        0
    };
    // Opened for appending. On the disk before any insert is, or a power cut
    // would look like an end in good order.
    writeln!(lock, "{}", std::process::id())
        .and_then(|()| lock.sync_all())
        .map_err(noted)?;
    Ok(forgotten)
}

/// Makes sure that the database of [`Engine::server`] exists, and asks for the
/// version and the time zone.
fn prepare(library: &Arc<Library>) -> Result<(String, String), EngineError> {
    let mut connection = library.connect().map_err(EngineError::Library)?;
    let create = format!("CREATE DATABASE IF NOT EXISTS `{DEFAULT_DATABASE}`");
    connection
        .query(&create, "Null", &[])
        .map_err(EngineError::Exception)?;
    let mut ask = |expression| {
        let answer = connection.query(&format!("SELECT {expression}"), "TSVRaw", &[]);
        answer
            .map(|answer| String::from_utf8_lossy(answer.as_ref()).trim().to_owned())
            .map_err(EngineError::Exception)
    };
    let version = format!("{} (libchdb {})", ask("version()")?, library.version());
    Ok((version, ask("timezone()")?))
}

/// 256 random bits in hexadecimal.
fn secret() -> Result<String, EngineError> {
    let path = Path::new("/dev/urandom");
    let mut bits = [0; 32];
    File::open(path)
        .and_then(|mut source| source.read_exact(&mut bits))
        .map_err(|source| EngineError::io("read", path, source))?;
    Ok(data_encoding::HEXLOWER.encode(&bits))
}

async fn unused(interface: &Interface, idle: Option<Duration>) {
    let Some(idle) = idle else {
        return std::future::pending().await;
    };
    loop {
        let unused = interface.unused_for();
        match idle.checked_sub(unused) {
            None | Some(Duration::ZERO) => return,
            // A client may come and go meanwhile, so what is left is asked anew.
            Some(left) => tokio::time::sleep(left.max(Duration::from_millis(5))).await,
        }
    }
}

async fn signalled() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
