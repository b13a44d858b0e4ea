//! The working side of a run: reads, cuts, parses, runs the plugins.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use canopy_batch::formats::{self, Format, Parsed, Parser};
use canopy_batch::{Batch, Records, Rejected};
use canopy_clickhouse::ClickHouse;
use canopy_clickhouse::ledger::{self, LedgerEntry};
use tokio::sync::mpsc;

use crate::chain::Chain;
use crate::chunk::{Chunk, Chunker, Cut, Piece};
use crate::claim::{Claims, Taken};
use crate::earlier::Earlier;
use crate::feed::Feed;
use crate::report::{Books, SourceReport, StageTimes};
use crate::run::{Prepared, Progress, RunError, RunSettings, Source, Step, now_ms};
use crate::settings::FormatChoice;

/// The side that cuts, parses and runs the plugins.
pub(crate) struct Worker {
    pub(crate) chain: Chain,
    pub(crate) clickhouse: ClickHouse,
    pub(crate) settings: RunSettings,
    pub(crate) progress: Arc<Progress>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) steps: mpsc::Sender<Step>,
    pub(crate) times: StageTimes,
    pub(crate) claims: Claims,
}

/// What the worker brings back.
pub(crate) struct Done {
    pub(crate) chain: Chain,
    pub(crate) times: StageTimes,
    /// Whether a stop came before the end of the sources.
    pub(crate) stopped: bool,
    /// Held until the last chunk is stored.
    pub(crate) _claims: Claims,
}

/// How a source ended.
enum Ended {
    /// Where it ends, or where it broke off.
    AtItsEnd,
    /// Another source begins under its name.
    Replaced,
    /// A stop was asked for, or the inserting side has given up.
    Stopped,
}

impl Worker {
    /// Takes the sources one after the other.
    pub(crate) fn run(mut self, sources: Vec<Source>) -> Result<Done, RunError> {
        let mut stopped = false;
        for source in sources {
            let stop = Arc::clone(&self.progress.stop);
            let feed = match &source {
                Source::Stdin => Feed::stdin(stop),
                Source::File(path) => Feed::file(path, self.settings.follow, stop)?,
            };
            let mut chunker = Chunker::new(feed, self.settings.chunks);
            let ended = loop {
                match self.source(&source, &mut chunker)? {
                    Ended::Replaced => {}
                    ended => break ended,
                }
            };
            stopped = matches!(ended, Ended::Stopped);
            if stopped {
                break;
            }
        }
        Ok(Done {
            chain: self.chain,
            times: self.times,
            stopped,
            _claims: self.claims,
        })
    }

    /// Takes one source to its end.
    fn source(&mut self, source: &Source, chunker: &mut Chunker) -> Result<Ended, RunError> {
        let name = source.name();
        let (format, warning) = self.format(&name, chunker)?;
        let identity = chunker.identity();
        self.claims
            .take(&identity)
            .map_err(|Taken| RunError::Taken {
                source_name: name.clone(),
            })?;
        let earlier = self.earlier(&identity)?;
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
            return Ok(Ended::Stopped);
        }
        loop {
            let started = Instant::now();
            let cut = chunker.next(&earlier.ends);
            self.times.read += started.elapsed();
            let chunk = match cut {
                Cut::Chunk(chunk) => chunk,
                Cut::End => return Ok(Ended::AtItsEnd),
                Cut::Restarted => return Ok(Ended::Replaced),
                Cut::Stopped => return Ok(Ended::Stopped),
                Cut::Broken(reason) => {
                    self.send(Step::Broken(format!("{name}: {reason}")));
                    return Ok(Ended::AtItsEnd);
                }
            };
            self.progress
                .bytes
                .fetch_add(chunk.data.len() as u64, Ordering::Relaxed);
            let going_on = if let Some(books) = earlier.done(&chunk) {
                parser.observe(&chunk.data);
                self.send(Step::Already(books))
            } else {
                let superseded = earlier.superseded(&chunk);
                let uncertain = earlier.is_uncertain(&chunk);
                let mut prepared = self.prepare(source, &identity, &mut parser, chunk)?;
                prepared.superseded = superseded;
                prepared.uncertain = uncertain;
                self.send(Step::Store(Box::new(prepared)))
            };
            if !going_on {
                return Ok(Ended::Stopped);
            }
        }
    }

    /// Decides the format by the first lines, where it was not given. What
    /// looks like no log at all is read as real-time lines, each of which is
    /// then set aside: nothing is lost, and the warning says what was seen.
    fn format(
        &self,
        name: &str,
        chunker: &mut Chunker,
    ) -> Result<(Format, Option<String>), RunError> {
        let layout = &self.settings.layout;
        let real_time = || Format::RealTime(layout.clone());
        let mut warning = None;
        let format = match self.settings.format {
            FormatChoice::RealTime => real_time(),
            FormatChoice::Standard => Format::Standard,
            FormatChoice::Json => Format::Json,
            FormatChoice::Auto => loop {
                let head = chunker.head();
                if head.trim_ascii().is_empty() {
                    break real_time();
                }
                match formats::detect(head, layout) {
                    Ok(format) => break format,
                    Err(_) if chunker.look_further() => {}
                    Err(error) => {
                        warning = Some(format!("{name}: {error}"));
                        break real_time();
                    }
                }
            },
        };
        if matches!(format, Format::RealTime(_))
            && let Some(found) = misfit(chunker.head(), layout.len())
        {
            return Err(RunError::Layout {
                source_name: name.to_owned(),
                found,
                expected: layout.len(),
            });
        }
        Ok((format, warning))
    }

    fn earlier(&self, identity: &str) -> Result<Earlier, RunError> {
        let patience = self.settings.patience(&self.progress);
        let entries = self
            .runtime
            .block_on(patience.read(|| ledger::for_source(&self.clickhouse, identity)))
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
        } = match chunk.piece {
            Some(piece) => unparsed(parser, &chunk, piece),
            None => parser.parse_lines(chunk.data.clone(), first_line),
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
            superseded: Vec::new(),
            uncertain: false,
        })
    }

    /// Hands a step on; false where the inserting side has given up.
    fn send(&self, step: Step) -> bool {
        self.steps.blocking_send(step).is_ok()
    }
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

/// Sets a piece of a line aside without looking for fields in it.
fn unparsed(parser: &mut Parser, chunk: &Chunk, piece: Piece) -> Parsed {
    let reason = match piece {
        Piece::TooLong => format!(
            "a piece of a line longer than {} MiB, which no log line is",
            crate::chunk::MAX_LINE_BYTES >> 20
        ),
        Piece::BrokenOff => "the source broke off in this line".to_owned(),
        Piece::Stopped => "the run was stopped in the middle of this line".to_owned(),
    };
    let mut records = Records::new(chunk.data.clone());
    records.push(0..chunk.data.len(), chunk.first_line);
    let empty = parser.parse_records(Records::new(chunk.data.clone()));
    Parsed {
        batch: Batch::new(empty.batch.columns().clone(), Arc::new(records), Vec::new()),
        rejected: vec![Rejected {
            record: 0,
            stage: "parse".into(),
            reason,
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

/// How many lines are looked at for their number of fields.
const FITTED_LINES: usize = 100;

/// Returns the number of fields that real-time lines have where it is plain
/// that the layout is of others: several of the first lines agree on another
/// number, and none has the layout's.
fn misfit(head: &[u8], expected: usize) -> Option<usize> {
    let whole = &head[..memchr::memrchr(b'\n', head)?];
    let mut lines_by_fields = std::collections::BTreeMap::<usize, usize>::new();
    for line in whole
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .take(FITTED_LINES)
    {
        let fields = memchr::memchr_iter(b'\t', line).count() + 1;
        *lines_by_fields.entry(fields).or_default() += 1;
    }
    if lines_by_fields.contains_key(&expected) {
        return None;
    }
    let (fields, lines) = lines_by_fields
        .into_iter()
        .max_by_key(|&(_, lines)| lines)?;
    (fields > 1 && lines > 1).then_some(fields)
}

fn format_name(format: &Format) -> &'static str {
    match format {
        Format::RealTime(_) => "real-time",
        Format::Standard => "standard",
        Format::Json => "json",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_does_not_fit_where_the_lines_agree_on_another_number_of_fields() {
        assert_eq!(misfit(b"1\ta\tb\n2\ta\tb\n", 2), Some(3));
        assert_eq!(misfit(b"1\ta\tb\n2\n\n2\ta\tb\n", 2), Some(3));
    }

    #[test]
    fn damaged_lines_do_not_make_a_layout_wrong() {
        assert_eq!(misfit(b"1\ta\tb\n2\ta\tb\n2\ta\n", 2), None, "one fits");
        assert_eq!(misfit(b"1\ta\tb\n2\ta\tb\tc\n", 2), None, "no two agree");
        assert_eq!(misfit(b"1\ta\tb\n", 2), None, "a single line");
        assert_eq!(misfit(b"junk\njunk\n", 2), None, "no fields at all");
        assert_eq!(misfit(b"1\ta\tb", 2), None, "no whole line");
    }
}
