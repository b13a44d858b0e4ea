//! A run: sources through parse and plugins into ClickHouse, exactly once.
//!
//! Three things happen at a time: a thread reads ([`crate::feed`]), a thread
//! cuts, parses and runs the plugins (`Worker`), and the caller's task inserts.
//! For each chunk, in this order: the ledger says where it ends, the records set
//! aside are on disk, the rows are in ClickHouse under the chunk's token, the
//! ledger says so. Whatever
//! moment the process dies at, the next run repeats the steps not done, and
//! token and file name make the repeats harmless.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use canopy_batch::formats::Layout;
use canopy_batch::{Batch, Records, Rejected, Sink};
use canopy_clickhouse::ledger::{self, LedgerEntry};
use canopy_clickhouse::schema;
use canopy_clickhouse::{ClickHouse, ClickHouseSink, Retries};
use tokio::sync::mpsc;

use crate::chain::Chain;
use crate::chunk::ChunkSettings;
use crate::claim::Claims;
use crate::feed::{Feed, FeedError};
use crate::patience::Patience;
use crate::quarantine::{Quarantine, QuarantineError};
use crate::report::{Books, Report, SourceReport, StageTimes};
use crate::settings::FormatChoice;
use crate::worker::Worker;

/// Where records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard input.
    Stdin,
    /// A file, gzipped or not.
    File(PathBuf),
}

impl Source {
    /// Returns the name shown and kept in ledger and quarantine.
    pub fn name(&self) -> String {
        match self {
            Source::Stdin => "stdin".to_owned(),
            Source::File(path) => path.display().to_string(),
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Source::Stdin => "stdin",
            Source::File(_) => "file",
        }
    }
}

/// How a run is done.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// The format of the sources.
    pub format: FormatChoice,
    /// The fields of real-time lines.
    pub layout: Layout,
    /// The sampling rate in percent.
    pub sampling_rate: f32,
    /// How sources are cut.
    pub chunks: ChunkSettings,
    /// Whether files are waited on at their end.
    pub follow: bool,
    /// Whether the first record that cannot be used ends the run.
    pub strict: bool,
    /// Where records set aside go.
    pub quarantine: PathBuf,
    /// Where runs that share a store lock the sources they read; absent:
    /// nothing keeps two runs from reading one growing file at once.
    pub locks: Option<PathBuf>,
}

impl RunSettings {
    /// Returns how long ClickHouse is waited for. Sources whose lines may wait
    /// only so long are live ones.
    pub(crate) fn patience(&self, progress: &Progress) -> Patience {
        Patience {
            live: self.chunks.flush_after.is_some(),
            stop: Arc::clone(&progress.stop),
        }
    }
}

/// A run as seen from outside while it goes on, and the way to stop it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of log cut into chunks so far, uncompressed.
    pub bytes: AtomicU64,
    /// Records parsed so far.
    pub records: AtomicU64,
    /// Records stored so far.
    pub inserted: AtomicU64,
    /// Records set aside so far.
    pub quarantined: AtomicU64,
    /// Set to end the run: what was read is stored, then the report comes. A
    /// run that fails sets it itself.
    pub stop: Arc<AtomicBool>,
}

/// The run could not go on. What it stored before is stored; running again
/// with the same sources adds the rest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A source cannot be opened.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// ClickHouse did not take a batch or did not answer.
    #[error("ClickHouse did not take the records from {source_name} line {first_line} on")]
    Insert {
        /// The source.
        source_name: String,
        /// The chunk's first line.
        first_line: u64,
        /// Why.
        #[source]
        source: canopy_clickhouse::Error,
    },
    /// The ledger cannot be read or written.
    #[error("cannot read or write the ledger")]
    Ledger(#[source] canopy_clickhouse::Error),
    /// Records could not be set aside.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// A plugin with `on-error = "fail"` failed.
    #[error("{source_name} from line {first_line} on")]
    Plugin {
        /// The source.
        source_name: String,
        /// The chunk's first line.
        first_line: u64,
        /// Why.
        #[source]
        source: canopy_batch::StageError,
    },
    /// The lines of a source are real-time lines of another layout.
    #[error(
        "{source_name}: its lines have {found} fields, but the layout of real-time lines has \
         {expected}"
    )]
    Layout {
        /// The source.
        source_name: String,
        /// How many fields its lines have.
        found: usize,
        /// How many the settings say.
        expected: usize,
    },
    /// A record cannot be used, and the run is strict.
    #[error("{source_name} line {position}: {reason}")]
    Strict {
        /// The source.
        source_name: String,
        /// The line.
        position: u64,
        /// Why.
        reason: String,
    },
    /// Another run is reading the same source into the same store.
    #[error("another canopy run is reading {source_name} into the same database")]
    Taken {
        /// The source.
        source_name: String,
    },
    /// The numbers of a chunk do not add up: a fault in canopy itself.
    #[error(
        "the books of {source_name} from line {first_line} on do not balance: {books:?}; nothing of it was stored; please report this"
    )]
    Books {
        /// The source.
        source_name: String,
        /// The chunk's first line.
        first_line: u64,
        /// The numbers.
        books: Books,
    },
}

impl RunError {
    /// Returns what to do about it, where that is not plain from what it says.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            RunError::Layout { .. } => {
                "list the fields of your real-time log configuration as `logs.fields` in canopy.toml"
            }
            RunError::Insert { .. } | RunError::Ledger(_) => {
                "run it again with the same input and settings when ClickHouse is well: nothing is \
                 stored twice"
            }
            RunError::Strict { .. } => {
                "mend the line, or run without --strict to have such lines set aside"
            }
            RunError::Plugin { .. } => {
                "mend the plugin, or set its `on-error` to \"quarantine\"; then run it again with \
                 the same input"
            }
            RunError::Taken { .. } => {
                "wait until it has ended (one with --follow ends with Ctrl-C), then run it again: \
                 what that one stored is not stored twice"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// What goes from the worker to the inserting side.
pub(crate) enum Step {
    /// A source begins; its report is the next one.
    Source(SourceReport),
    /// A chunk that an earlier run had stored.
    Already(Books),
    /// A chunk ready to be stored.
    Store(Box<Prepared>),
    /// A source ended before its end: why.
    Broken(String),
}

/// A chunk parsed, changed and checked.
pub(crate) struct Prepared {
    pub(crate) batch: Batch,
    pub(crate) records: Arc<Records>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) source_name: String,
    pub(crate) entry: LedgerEntry,
    pub(crate) books: Books,
    pub(crate) first_line: u64,
    /// Unused chunks of earlier runs whose records are in this one.
    pub(crate) superseded: Vec<LedgerEntry>,
    /// Whether an earlier run may have inserted it already, perhaps with other
    /// settings.
    pub(crate) uncertain: bool,
}

/// Checks that every file among the sources can be read, before anything is
/// done with any of them.
///
/// # Errors
///
/// [`FeedError`] of the first that cannot.
pub fn probe(sources: &[Source]) -> Result<(), FeedError> {
    for source in sources {
        if let Source::File(path) = source {
            Feed::probe(path)?;
        }
    }
    Ok(())
}

/// Takes `sources` through `chain` into `clickhouse`. The table and the
/// plugins' columns must be there. The chain comes back with its metrics in
/// the report.
///
/// # Errors
///
/// [`RunError`]. The run may be repeated whenever the cause is mended.
pub async fn run(
    sources: Vec<Source>,
    chain: Chain,
    clickhouse: &ClickHouse,
    settings: &RunSettings,
    progress: &Arc<Progress>,
) -> Result<Report, RunError> {
    let started = Instant::now();
    probe(&sources)?;
    // One batch may wait while another is being inserted: enough to keep both
    // sides busy, little enough to bound memory.
    let (steps, mut inbox) = mpsc::channel(1);
    let worker = Worker {
        chain,
        clickhouse: clickhouse.clone(),
        settings: settings.clone(),
        progress: Arc::clone(progress),
        runtime: tokio::runtime::Handle::current(),
        steps,
        times: StageTimes::default(),
        claims: Claims::new(settings.locks.clone(), Arc::clone(&progress.stop)),
    };
    let working = tokio::task::spawn_blocking(move || worker.run(sources));

    let mut report = Report {
        quarantine: settings.quarantine.clone(),
        ..Report::default()
    };
    let storing = store(&mut inbox, clickhouse, settings, progress, &mut report).await;
    if storing.is_err() {
        // The worker may be waiting for a source that stays silent.
        progress.stop.store(true, Ordering::Relaxed);
    }
    // A worker that finds nobody listening ends.
    drop(inbox);
    let worked = working.await.expect("the worker does not panic");
    storing?;
    let mut done = worked?;

    report.stages.read = done.times.read;
    report.stages.parse = done.times.parse;
    report.stages.plugins = done.times.plugins;
    report.plugins = done.chain.report();
    report.elapsed = started.elapsed();
    report.bytes = progress.bytes.load(Ordering::Relaxed);
    report.stopped = done.stopped;
    Ok(report)
}

/// The inserting side: stores what comes in and keeps the books.
async fn store(
    inbox: &mut mpsc::Receiver<Step>,
    clickhouse: &ClickHouse,
    settings: &RunSettings,
    progress: &Progress,
    report: &mut Report,
) -> Result<(), RunError> {
    let quarantine = Quarantine::new(settings.quarantine.clone());
    let patience = settings.patience(progress);
    let sink = clickhouse
        .sink(schema::LOGS)
        .expect("the table's name is one");
    while let Some(step) = inbox.recv().await {
        match step {
            Step::Source(source) => report.sources.push(source),
            Step::Already(books) => {
                report.already.add(books);
                if let Some(source) = report.sources.last_mut() {
                    source.already.add(books);
                }
            }
            Step::Broken(warning) => {
                if let Some(source) = report.sources.last_mut() {
                    source.broken = true;
                    source.warning = Some(warning);
                }
            }
            Step::Store(prepared) => {
                let started = Instant::now();
                report.quote(&prepared.source_name, &prepared.records, &prepared.rejected);
                let Stored {
                    books,
                    rows,
                    warning,
                } = store_chunk(*prepared, &quarantine, clickhouse, &sink, &patience).await?;
                report.stages.insert += started.elapsed();
                report.rows += rows;
                report.books.add(books);
                if let Some(source) = report.sources.last_mut() {
                    source.books.add(books);
                    source.warning = warning.or(source.warning.take());
                }
                progress
                    .inserted
                    .fetch_add(books.inserted, Ordering::Relaxed);
                progress
                    .quarantined
                    .fetch_add(books.quarantined, Ordering::Relaxed);
            }
        }
    }
    Ok(())
}

/// Stores one chunk, in the order that lets the next run repeat any step.
async fn store_chunk(
    prepared: Prepared,
    quarantine: &Quarantine,
    clickhouse: &ClickHouse,
    sink: &ClickHouseSink,
    patience: &Patience,
) -> Result<Stored, RunError> {
    let Prepared {
        batch,
        records,
        rejected,
        source_name,
        mut entry,
        books,
        first_line,
        superseded,
        uncertain,
    } = prepared;
    // Before the rows are in, the next run must know where the chunk ended: a
    // slower source, or a later version, might not cut there by itself, and the
    // rows would have another token.
    write_ledger(clickhouse, std::slice::from_ref(&entry), patience).await?;
    let kept = if uncertain {
        quarantine.keep_others(&entry.token, &records, &rejected)?
    } else {
        None
    };
    quarantine.put(&entry.token, &source_name, &records, &rejected)?;
    let warning = kept.map(|file| kept_warning(&source_name, first_line, &file));
    let rows = if batch.row_count() > 0 {
        patience
            .write(|| sink.insert(&batch, &entry.token))
            .await
            .map_err(|source| RunError::Insert {
                source_name,
                first_line,
                source,
            })?
    } else {
        0
    };
    entry.state = ledger::State::Done;
    entry.inserted_rows = rows;
    entry.at = now_ms();
    let mut entries = vec![entry];
    for mut other in superseded {
        quarantine.supersede(&other.token)?;
        (other.records, other.quarantined) = (0, 0);
        (other.state, other.at) = (ledger::State::Done, now_ms());
        entries.push(other);
    }
    write_ledger(clickhouse, &entries, patience).await?;
    Ok(Stored {
        books,
        rows,
        warning,
    })
}

/// What became of a chunk.
struct Stored {
    books: Books,
    rows: u64,
    /// What the operator should know of it.
    warning: Option<String>,
}

fn kept_warning(source_name: &str, first_line: u64, file: &Path) -> String {
    format!(
        "{source_name} from line {first_line} on: a run that ended here had set other records \
         aside, and may have stored the rest before it ended; then this run, with other settings, \
         stored nothing more. What it had set aside is kept in {}",
        file.display()
    )
}

async fn write_ledger(
    clickhouse: &ClickHouse,
    entries: &[LedgerEntry],
    patience: &Patience,
) -> Result<(), RunError> {
    patience
        .write(|| ledger::record(clickhouse, entries, Retries::default()))
        .await
        .map_err(RunError::Ledger)
}

/// Milliseconds since the epoch, UTC.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_millis() as i64)
}

/// How long a line of a pipe or of a followed file waits for others before it is
/// stored.
pub const FLUSH_AFTER: Duration = Duration::from_secs(1);
