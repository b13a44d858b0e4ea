//! A safe wrapper over the C interface of `libchdb`, ClickHouse in a library.
//!
//! Every call of the C interface is in this file.

use super::exception::Exception;
use super::ffi::{Analysis, Api, Handle, RawResult};
use std::ffi::{CStr, CString, c_char};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;

/// What went wrong between Canopy and the library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// The file could not be loaded as a shared library.
    #[error("cannot load the ClickHouse engine {path}")]
    Load {
        /// The file.
        path: PathBuf,
        /// What the dynamic linker said.
        #[source]
        source: libloading::Error,
    },
    /// The library lacks a function of the interface: another library, or a
    /// version before 26.7.
    #[error("{path} is not a usable libchdb: it lacks {symbol}")]
    Symbol {
        /// The file.
        path: PathBuf,
        /// The missing function.
        symbol: &'static str,
        /// What the dynamic linker said.
        #[source]
        source: libloading::Error,
    },
    /// The engine refused to open the folder or one more connection.
    #[error("the ClickHouse engine cannot open {path}")]
    Connect {
        /// The data folder.
        path: PathBuf,
    },
    /// The data folder cannot be passed on: its name holds a NUL byte.
    #[error("the data folder {path} has a NUL byte in its name")]
    Path {
        /// The data folder.
        path: PathBuf,
    },
}

/// What a statement does to state that outlives it: `chdb_query_class`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementClass {
    /// Leaves no trace: `SELECT`, `SHOW`, `DESCRIBE`, `EXPLAIN`.
    ReadOnly,
    /// Changes a database or something beside the databases.
    Mutating,
    /// Changes the session or leaves the engine (`SET`, `SYSTEM`, `INTO OUTFILE`).
    Control,
    /// The engine could not tell.
    Unknown,
}

/// Rows and bytes a statement went through.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Statistics {
    /// Rows read from tables.
    pub read_rows: u64,
    /// Bytes read from tables, uncompressed.
    pub read_bytes: u64,
    /// Rows written, those of materialized views included.
    pub written_rows: u64,
    /// Bytes written, uncompressed, those of materialized views included.
    pub written_bytes: u64,
    /// Rows of the result.
    pub result_rows: u64,
    /// Bytes of the result in memory.
    pub result_bytes: u64,
    /// Time the statement took.
    pub elapsed: std::time::Duration,
}

/// The loaded library with its engine running over one data folder.
///
/// A process has at most one: libchdb keeps one engine and one data folder per
/// process, and cannot be started again after [`Library::shutdown`].
pub struct Library {
    api: Api,
    data: PathBuf,
    /// `--path=` as the first connection passed it: the engine compares the
    /// text, so every connection passes the same.
    path_argument: CString,
    /// Held so that the engine does not stop between two statements.
    base: std::sync::Mutex<Option<NonNull<Handle>>>,
}

// SAFETY: chdb.h declares connecting, closing and shutting down thread-safe; the
// base connection is only opened and closed, behind a mutex.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library")
            .field("version", &self.version())
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

impl Library {
    /// Loads libchdb from `library` and opens or creates the data folder `data`,
    /// with its signal handlers off: they would replace those of the process.
    ///
    /// # Errors
    ///
    /// [`LibraryError`] when the file is missing or is not libchdb 26.7 or newer,
    /// or the engine cannot use the folder.
    pub fn open(library: &Path, data: &Path) -> Result<Arc<Self>, LibraryError> {
        let mut argument = b"--path=".to_vec();
        argument.extend_from_slice(data.as_os_str().as_encoded_bytes());
        let path_argument = CString::new(argument).map_err(|_| LibraryError::Path {
            path: data.to_owned(),
        })?;
        // SAFETY: the initialisers of libchdb are those of ClickHouse; they touch
        // nothing of ours.
        let loaded =
            unsafe { libloading::Library::new(library) }.map_err(|source| LibraryError::Load {
                path: library.to_owned(),
                source,
            })?;
        // SAFETY: the symbols are those of chdb.h, and the library is never
        // unloaded (below).
        let api = unsafe { Api::resolve(&loaded, library) }?;
        // Threads of the engine may outlive every value here.
        std::mem::forget(loaded);
        // SAFETY: before the first connect, as chdb.h asks.
        unsafe { (api.set_signal_handlers_enabled)(0) };
        let mut this = Self {
            api,
            data: data.to_owned(),
            path_argument,
            base: std::sync::Mutex::new(None),
        };
        let base = this.connect_raw()?;
        this.base = std::sync::Mutex::new(Some(base));
        Ok(Arc::new(this))
    }

    /// The version of libchdb, such as `26.7.3`.
    pub fn version(&self) -> String {
        // SAFETY: returns a static string.
        unsafe { text((self.api.version)()) }.unwrap_or_default()
    }

    /// Opens one more connection: a session of its own, with default settings,
    /// in the database `default`. Measured at 0.1 ms.
    ///
    /// # Errors
    ///
    /// [`LibraryError::Connect`] after a shutdown or when the engine refuses.
    pub fn connect(self: &Arc<Self>) -> Result<Connection, LibraryError> {
        Ok(Connection {
            handle: self.connect_raw()?,
            library: Arc::clone(self),
        })
    }

    fn connect_raw(&self) -> Result<NonNull<Handle>, LibraryError> {
        let arguments = [c"clickhouse".as_ptr(), self.path_argument.as_ptr()];
        // SAFETY: two NUL-terminated strings that outlive the call.
        let handle = unsafe { (self.api.connect)(2, arguments.as_ptr()) };
        NonNull::new(handle).ok_or_else(|| LibraryError::Connect {
            path: self.data.clone(),
        })
    }

    /// Stops the engine as far as it lets itself be stopped, and returns whether
    /// all its threads have ended. Afterwards no connection can be opened in this
    /// process.
    ///
    /// Measured with 26.7.3: once a `MergeTree` table was used, threads of the
    /// background pools remain and the answer is `false`. Nothing is lost by
    /// that: an insert is acknowledged when its part is written, and the process
    /// ends the threads.
    pub fn shutdown(&self) -> bool {
        let base = self
            .base
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        if let Some(base) = base {
            // SAFETY: the handle came from connect and is closed once.
            unsafe { (self.api.close)(base.as_ptr()) };
        }
        // SAFETY: callable from any thread at any time.
        unsafe { (self.api.shutdown)() == 0 }
    }
}

/// A query parameter: name without `param_`, and value as ClickHouse escapes it
/// in `param_` URL parameters.
pub(crate) type Parameter = (String, String);

/// A session with the engine; it runs one statement at a time and blocks the
/// thread that calls it.
#[derive(Debug)]
pub struct Connection {
    handle: NonNull<Handle>,
    library: Arc<Library>,
}

// SAFETY: a connection may be used from any thread, by one at a time; every
// method takes `&mut self`.
unsafe impl Send for Connection {}

/// Pointers and lengths of a list of strings, as the `_n` functions take them.
struct Strings {
    pointers: Vec<*const c_char>,
    lengths: Vec<usize>,
}

impl Strings {
    fn new<'a>(strings: impl Iterator<Item = &'a String>) -> Self {
        let (pointers, lengths) = strings.map(|s| (s.as_ptr().cast(), s.len())).unzip();
        Self { pointers, lengths }
    }
}

impl Connection {
    fn raw(&self) -> Handle {
        // SAFETY: points to the handle until the connection is closed.
        unsafe { *self.handle.as_ptr() }
    }

    /// Runs one statement and returns its whole result in `format`, which a
    /// `FORMAT` clause overrides.
    ///
    /// # Errors
    ///
    /// The exception of the engine.
    pub fn query(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[Parameter],
    ) -> Result<QueryResult, Exception> {
        let names = Strings::new(parameters.iter().map(|p| &p.0));
        let values = Strings::new(parameters.iter().map(|p| &p.1));
        // SAFETY: every pointer is valid for its length during the call, and the
        // four arrays have as many elements as there are parameters.
        let raw = unsafe {
            (self.library.api.query)(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.pointers.as_ptr(),
                names.lengths.as_ptr(),
                values.pointers.as_ptr(),
                values.lengths.as_ptr(),
                parameters.len(),
            )
        };
        QueryResult::new(&self.library, raw)
    }

    /// Tells how many statements a text holds and what the strongest of them
    /// does, without running it. Text that does not parse counts none.
    pub fn classify(&mut self, sql: &str) -> (u32, StatementClass) {
        let mut analysis = Analysis {
            struct_size: size_of::<Analysis>() as u32,
            ..Analysis::default()
        };
        // SAFETY: the text is valid for its length, the database may be null, and
        // the struct has the size it says.
        let state = unsafe {
            (self.library.api.classify)(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                std::ptr::null(),
                0,
                &raw mut analysis,
            )
        };
        let class = match (state, analysis.query_class) {
            (0, 0) => StatementClass::ReadOnly,
            (0, 1 | 2) => StatementClass::Mutating,
            (0, 3) => StatementClass::Control,
            _ => StatementClass::Unknown,
        };
        (analysis.statement_count, class)
    }

    /// Begins an insert: `sql` is the `INSERT` up to and without its `FORMAT`
    /// clause, `format` that of the data. Nothing is committed before
    /// [`InsertStream::finish`], except full blocks of a long insert.
    ///
    /// # Errors
    ///
    /// The exception of the engine, such as an unknown table.
    pub(crate) fn insert(
        self,
        sql: &str,
        format: &str,
        parameters: &[Parameter],
    ) -> Result<InsertStream, Exception> {
        let names = Strings::new(parameters.iter().map(|p| &p.0));
        let values = Strings::new(parameters.iter().map(|p| &p.1));
        // SAFETY: as in `query`.
        let handle = unsafe {
            (self.library.api.insert)(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.pointers.as_ptr(),
                names.lengths.as_ptr(),
                values.pointers.as_ptr(),
                values.lengths.as_ptr(),
                parameters.len(),
            )
        };
        let stream = InsertStream {
            handle,
            connection: self,
        };
        match stream.error() {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle came from connect and is closed once.
        unsafe { (self.library.api.close)(self.handle.as_ptr()) };
    }
}

/// An insert that is receiving data; dropping it cancels it.
pub(crate) struct InsertStream {
    handle: Handle,
    connection: Connection,
}

// SAFETY: as for the connection it owns.
unsafe impl Send for InsertStream {}

impl InsertStream {
    /// Passes on bytes in the insert's format; they need not end with a row.
    /// Blocks while the engine is behind.
    pub(crate) fn append(&mut self, data: &[u8]) -> Result<(), Exception> {
        // SAFETY: valid for its length; the engine copies it.
        let state = unsafe {
            (self.connection.library.api.insert_append)(
                self.handle,
                data.as_ptr().cast(),
                data.len(),
            )
        };
        if state == 0 {
            return Ok(());
        }
        Err(self
            .error()
            .unwrap_or_else(|| Exception::parse("the engine closed the insert without a reason")))
    }

    /// Ends the data and commits.
    pub(crate) fn finish(self) -> Result<QueryResult, Exception> {
        // SAFETY: the stream is open.
        let raw = unsafe { (self.connection.library.api.insert_done)(self.handle) };
        QueryResult::new(&self.connection.library, raw)
    }

    /// Gives the insert up without committing what is not committed yet.
    pub(crate) fn cancel(self) {
        // SAFETY: the stream is open; `drop` destroys it.
        unsafe { (self.connection.library.api.insert_cancel)(self.handle) };
    }

    fn error(&self) -> Option<Exception> {
        // SAFETY: a NUL-terminated string owned by the stream, or null.
        unsafe { text((self.connection.library.api.insert_error)(self.handle)) }
            .map(|message| Exception::parse(&message))
    }
}

impl Drop for InsertStream {
    fn drop(&mut self) {
        // SAFETY: destroyed once; cancels an unfinished insert.
        unsafe { (self.connection.library.api.destroy_insert)(self.handle) };
    }
}

/// The result of a statement: its formatted bytes and statistics.
pub struct QueryResult {
    raw: NonNull<RawResult>,
    library: Arc<Library>,
}

// SAFETY: the result owns its buffer and is not tied to a thread.
unsafe impl Send for QueryResult {}
// SAFETY: shared access only reads.
unsafe impl Sync for QueryResult {}

impl std::fmt::Debug for QueryResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryResult")
            .field("length", &self.as_ref().len())
            .field("statistics", &self.statistics())
            .finish()
    }
}

impl QueryResult {
    fn new(library: &Arc<Library>, raw: *mut RawResult) -> Result<Self, Exception> {
        let raw =
            NonNull::new(raw).ok_or_else(|| Exception::parse("the engine returned no result"))?;
        let result = Self {
            raw,
            library: Arc::clone(library),
        };
        // SAFETY: a NUL-terminated string owned by the result, or null.
        match unsafe { text((library.api.result_error)(raw.as_ptr())) } {
            Some(message) => Err(Exception::parse(&message)),
            None => Ok(result),
        }
    }

    /// What the statement went through.
    pub fn statistics(&self) -> Statistics {
        let raw = self.raw.as_ptr();
        let api = &self.library.api;
        // SAFETY: the result is alive.
        unsafe {
            Statistics {
                read_rows: (api.storage_rows)(raw),
                read_bytes: (api.storage_bytes)(raw),
                written_rows: (api.written_rows)(raw),
                written_bytes: (api.written_bytes)(raw),
                result_rows: (api.result_rows)(raw),
                result_bytes: (api.result_bytes)(raw),
                elapsed: std::time::Duration::try_from_secs_f64((api.result_elapsed)(raw))
                    .unwrap_or_default(),
            }
        }
    }
}

impl AsRef<[u8]> for QueryResult {
    fn as_ref(&self) -> &[u8] {
        let raw = self.raw.as_ptr();
        // SAFETY: the buffer is valid for its length as long as the result lives.
        unsafe {
            let buffer = (self.library.api.result_buffer)(raw);
            let length = (self.library.api.result_length)(raw);
            if buffer.is_null() || length == 0 {
                return &[];
            }
            std::slice::from_raw_parts(buffer.cast(), length)
        }
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        // SAFETY: destroyed once.
        unsafe { (self.library.api.destroy_result)(self.raw.as_ptr()) };
    }
}

/// # Safety
///
/// `pointer` is null or a NUL-terminated string.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the caller vouches for it.
    let text = unsafe { CStr::from_ptr(pointer) };
    Some(text.to_string_lossy().into_owned())
}
