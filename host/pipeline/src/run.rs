//! A run: sources through parse and plugins into ClickHouse, exactly once.
//!
//! Three things happen at a time: a thread reads (`feed`), a thread cuts,
//! parses and runs the plugins ([`Worker`]), and the caller's task inserts.
//! For each chunk, in this order: the records set aside are on disk, the rows
//! are in ClickHouse under the chunk's token, the ledger says so. Whatever
//! moment the process dies at, the next run repeats the steps not done, and
//! token and file name make the repeats harmless.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use canopy_batch::formats::{self, Format, Layout, Parsed, Parser};
use canopy_batch::{Batch, Records, Rejected, Sink};
use canopy_clickhouse::ledger::{self, LedgerEntry};
use canopy_clickhouse::{ClickHouse, ClickHouseSink, Retries};
use tokio::sync::mpsc;

use crate::chain::Chain;
use crate::chunk::{ChainHash, Chunk, ChunkSettings, Chunker, Cut, KnownEnds};
use crate::feed::{Feed, FeedError};
use crate::quarantine::{Quarantine, QuarantineError};
use crate::report::{Books, Report, SourceReport, StageTimes};
use crate::settings::FormatChoice;

/// The table that rows go into.
pub const TABLE: &str = "cloudfront_logs";

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

    fn kind(&self) -> &'static str {
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
    /// Set to end the run: what was read is stored, then the report comes.
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

/// What goes from the worker to the inserting side.
enum Step {
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
struct Prepared {
    batch: Batch,
    records: Arc<Records>,
    rejected: Vec<Rejected>,
    source_name: String,
    entry: LedgerEntry,
    books: Books,
    first_line: u64,
    early: bool,
}

/// What the worker brings back.
struct Done {
    chain: Chain,
    times: StageTimes,
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
    };
    let working = tokio::task::spawn_blocking(move || worker.run(sources));

    let mut report = Report {
        quarantine: settings.quarantine.clone(),
        ..Report::default()
    };
    let storing = store(&mut inbox, clickhouse, settings, progress, &mut report).await;
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
    report.stopped = progress.stop.load(Ordering::Relaxed);
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
    let sink = clickhouse.sink(TABLE).expect("the table's name is one");
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
                let (books, rows) = store_chunk(*prepared, &quarantine, clickhouse, &sink).await?;
                report.stages.insert += started.elapsed();
                report.rows += rows;
                report.books.add(books);
                if let Some(source) = report.sources.last_mut() {
                    source.books.add(books);
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

/// Stores one chunk: records set aside first, then rows, then the ledger.
async fn store_chunk(
    prepared: Prepared,
    quarantine: &Quarantine,
    clickhouse: &ClickHouse,
    sink: &ClickHouseSink,
) -> Result<(Books, u64), RunError> {
    let Prepared {
        batch,
        records,
        rejected,
        source_name,
        mut entry,
        books,
        first_line,
        early,
    } = prepared;
    // Where a chunk ended early, the next run must know it before the rows are
    // in: it could not cut there again by itself.
    if early {
        entry.state = ledger::State::Planned;
        write_ledger(clickhouse, &entry).await?;
    }
    quarantine.put(&entry.token, &source_name, &records, &rejected)?;
    let rows = if batch.row_count() > 0 {
        sink.insert(&batch, &entry.token)
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
    write_ledger(clickhouse, &entry).await?;
    Ok((books, rows))
}

async fn write_ledger(clickhouse: &ClickHouse, entry: &LedgerEntry) -> Result<(), RunError> {
    ledger::record(clickhouse, std::slice::from_ref(entry), Retries::default())
        .await
        .map_err(RunError::Ledger)
}

/// Milliseconds since the epoch, UTC.
fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_millis() as i64)
}

/// The side that cuts, parses and runs the plugins.
struct Worker {
    chain: Chain,
    clickhouse: ClickHouse,
    settings: RunSettings,
    progress: Arc<Progress>,
    runtime: tokio::runtime::Handle,
    steps: mpsc::Sender<Step>,
    times: StageTimes,
}

impl Worker {
    fn run(mut self, sources: Vec<Source>) -> Result<Done, RunError> {
        // Every file is looked at before the first is read, so that a name that
        // is wrong costs nothing.
        for source in &sources {
            if let Source::File(path) = source {
                Feed::probe(path)?;
            }
        }
        for source in sources {
            let stop = Arc::clone(&self.progress.stop);
            let feed = match &source {
                Source::Stdin => Feed::stdin(stop),
                Source::File(path) => Feed::file(path, self.settings.follow, stop)?,
            };
            let mut chunker = Chunker::new(feed, self.settings.chunks);
            while self.source(&source, &mut chunker)? {}
        }
        Ok(Done {
            chain: self.chain,
            times: self.times,
        })
    }

    /// Takes one source to its end. True where the followed file was replaced
    /// and another source begins under its name.
    fn source(&mut self, source: &Source, chunker: &mut Chunker) -> Result<bool, RunError> {
        let name = source.name();
        let (format, warning) = self.format(&name, chunker.head());
        let identity = chunker.identity();
        let mut earlier = self.earlier(&identity)?;
        let mut parser = Parser::new(format.clone(), self.settings.sampling_rate);
        let begun = SourceReport {
            name: name.clone(),
            format: format_name(&format).to_owned(),
            books: Books::default(),
            already: Books::default(),
            broken: false,
            warning,
        };
        if !self.send(Step::Source(begun)) {
            return Ok(false);
        }
        loop {
            let started = Instant::now();
            let cut = chunker.next(&earlier.ends);
            self.times.read += started.elapsed();
            let chunk = match cut {
                Cut::Chunk(chunk) => chunk,
                Cut::End => return Ok(false),
                Cut::Restarted => return Ok(true),
                Cut::Broken(reason) => {
                    self.send(Step::Broken(format!("{name}: {reason}")));
                    return Ok(false);
                }
            };
            self.progress
                .bytes
                .fetch_add(chunk.data.len() as u64, Ordering::Relaxed);
            let going_on = if let Some(books) = earlier.done(&chunk) {
                parser.observe(&chunk.data);
                self.send(Step::Already(books))
            } else {
                let prepared = self.prepare(source, &identity, &mut parser, chunk)?;
                self.send(Step::Store(Box::new(prepared)))
            };
            if !going_on {
                return Ok(false);
            }
        }
    }

    /// Decides the format by the first lines, where it was not given. What
    /// looks like no log at all is read as real-time lines, each of which is
    /// then set aside: nothing is lost, and the warning says what was seen.
    fn format(&self, name: &str, head: &[u8]) -> (Format, Option<String>) {
        let real_time = || Format::RealTime(self.settings.layout.clone());
        match self.settings.format {
            FormatChoice::RealTime => (real_time(), None),
            FormatChoice::Standard => (Format::Standard, None),
            FormatChoice::Json => (Format::Json, None),
            FormatChoice::Auto if head.trim_ascii().is_empty() => (real_time(), None),
            FormatChoice::Auto => match formats::detect(head, &self.settings.layout) {
                Ok(format) => (format, None),
                Err(error) => (real_time(), Some(format!("{name}: {error}"))),
            },
        }
    }

    fn earlier(&self, identity: &str) -> Result<Earlier, RunError> {
        let entries = self
            .runtime
            .block_on(ledger::for_source(&self.clickhouse, identity))
            .map_err(RunError::Ledger)?;
        Ok(Earlier::new(entries))
    }

    fn prepare(
        &mut self,
        source: &Source,
        identity: &str,
        parser: &mut Parser,
        chunk: Chunk,
    ) -> Result<Prepared, RunError> {
        let source_name = source.name();
        let first_line = chunk.first_line;
        let started = Instant::now();
        let Parsed {
            batch,
            mut rejected,
        } = if chunk.oversize {
            oversize(parser, &chunk)
        } else {
            parser.parse_lines(chunk.data.clone(), first_line)
        };
        self.times.parse += started.elapsed();
        if self.settings.strict {
            strict(&source_name, batch.records(), &rejected)?;
        }
        let records = Arc::clone(batch.records());
        self.progress
            .records
            .fetch_add(records.len() as u64, Ordering::Relaxed);

        let started = Instant::now();
        let outcome = self.chain.apply(batch).map_err(|source| RunError::Plugin {
            source_name: source_name.clone(),
            first_line,
            source,
        })?;
        self.times.plugins += started.elapsed();
        if self.settings.strict {
            strict(&source_name, &records, &outcome.rejected)?;
        }
        rejected.extend(outcome.rejected);

        let books = Books {
            records: records.len() as u64,
            inserted: outcome.batch.record_count() as u64,
            dropped: outcome.dropped,
            quarantined: rejected.len() as u64,
        };
        if !books.balance() {
            return Err(RunError::Books {
                source_name,
                first_line,
                books,
            });
        }
        Ok(Prepared {
            entry: entry(source, identity, &chunk, books),
            batch: outcome.batch,
            records,
            rejected,
            source_name,
            books,
            first_line,
            early: chunk.early,
        })
    }

    /// Hands a step on; false where the inserting side has given up.
    fn send(&self, step: Step) -> bool {
        self.steps.blocking_send(step).is_ok()
    }
}

/// What earlier runs did with a source.
struct Earlier {
    ends: KnownEnds,
    done: std::collections::HashMap<String, Books>,
}

impl Earlier {
    fn new(entries: Vec<LedgerEntry>) -> Earlier {
        let mut earlier = Earlier {
            ends: KnownEnds::default(),
            done: std::collections::HashMap::new(),
        };
        for entry in entries {
            if let (Some(before), Some(after)) =
                (hash(&entry.chain_before), hash(&entry.chain_after))
            {
                earlier
                    .ends
                    .insert(entry.start_offset, before, entry.end_offset, after);
            }
            // A chunk of which nothing could be used is tried again: the
            // settings may have been mended, and nothing can come in twice.
            if entry.state == ledger::State::Done
                && (entry.inserted_records > 0 || entry.quarantined == 0)
            {
                let books = Books {
                    records: entry.records,
                    inserted: entry.inserted_records,
                    dropped: entry.dropped,
                    quarantined: entry.quarantined,
                };
                earlier.done.insert(entry.token, books);
            }
        }
        earlier
    }

    fn done(&mut self, chunk: &Chunk) -> Option<Books> {
        self.done.get(&chunk.token()).copied()
    }
}

fn hash(hex: &str) -> Option<ChainHash> {
    let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?;
    bytes.try_into().ok()
}

fn entry(source: &Source, identity: &str, chunk: &Chunk, books: Books) -> LedgerEntry {
    LedgerEntry {
        at: now_ms(),
        source: identity.to_owned(),
        label: source.name(),
        kind: source.kind().to_owned(),
        start_offset: chunk.start,
        end_offset: chunk.end(),
        chain_before: data_encoding::HEXLOWER.encode(&chunk.chain_before),
        chain_after: data_encoding::HEXLOWER.encode(&chunk.chain_after),
        token: chunk.token(),
        state: ledger::State::Planned,
        records: books.records,
        inserted_records: books.inserted,
        inserted_rows: 0,
        dropped: books.dropped,
        quarantined: books.quarantined,
        tail: chunk.early,
    }
}

/// Sets a piece of an endless line aside without looking for fields in it.
fn oversize(parser: &mut Parser, chunk: &Chunk) -> Parsed {
    let mut records = Records::new(chunk.data.clone());
    records.push(0..chunk.data.len(), chunk.first_line);
    let empty = parser.parse_records(Records::new(chunk.data.clone()));
    Parsed {
        batch: Batch::new(empty.batch.columns().clone(), Arc::new(records), Vec::new()),
        rejected: vec![Rejected {
            record: 0,
            stage: "parse".into(),
            reason: format!(
                "a piece of a line longer than {} MiB, which no log line is",
                crate::chunk::MAX_LINE_BYTES >> 20
            ),
        }],
    }
}

fn strict(source_name: &str, records: &Records, rejected: &[Rejected]) -> Result<(), RunError> {
    match rejected.first() {
        None => Ok(()),
        Some(rejection) => Err(RunError::Strict {
            source_name: source_name.to_owned(),
            position: records.position(rejection.record),
            reason: format!("{} ({})", rejection.reason, rejection.stage),
        }),
    }
}

fn format_name(format: &Format) -> &'static str {
    match format {
        Format::RealTime(_) => "real-time",
        Format::Standard => "standard",
        Format::Json => "json",
    }
}

/// How long a quiet pipe or followed file is waited on before what it gave is
/// stored.
pub const FLUSH_AFTER: Duration = Duration::from_secs(1);
