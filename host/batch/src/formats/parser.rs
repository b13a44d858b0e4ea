//! The parser: records in, a batch out.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::{Batch, Records, Rejected};

use super::block::{Block, Progress};
use super::json::JsonLines;
use super::plan::Plan;
use super::table::{Finished, Slots, Table};
use super::w3c::{Header, is_directive};
use super::{Format, Parsed, STAGE};

/// Parses log records of one source into batches.
///
/// Each call returns a batch of its own. What carries over from call to call is
/// the `#Fields:` line last seen, so a file may be given in pieces of whole
/// lines, and files that were concatenated may each have their own header.
#[derive(Debug)]
pub struct Parser {
    source: Source,
    sample_weight: f32,
    stage: Arc<str>,
}

/// What is known about the records to come.
#[derive(Debug)]
enum Source {
    RealTime(Box<Plan>),
    Standard(Header),
    Json(Box<JsonLines>),
}

impl Parser {
    /// Returns a parser of records in `format`, of which CloudFront delivers
    /// `sampling_percent` percent: each row then stands for
    /// `100 / sampling_percent` requests. A percentage that is not above 0 and
    /// at most 100 counts as 100.
    pub fn new(format: Format, sampling_percent: f32) -> Self {
        let sampled = sampling_percent > 0.0 && sampling_percent <= 100.0;
        Parser {
            source: match format {
                Format::RealTime(layout) => Source::RealTime(Box::new(Plan::real_time(&layout))),
                Format::Standard => Source::Standard(Header::none()),
                Format::Json => Source::Json(Box::new(JsonLines::new())),
            },
            sample_weight: if sampled {
                100.0 / sampling_percent
            } else {
                1.0
            },
            stage: STAGE.into(),
        }
    }

    /// Splits whole lines and parses them.
    ///
    /// Lines end in `\n` or `\r\n`; the last may lack its end. `first_line` is
    /// the number of the first line of `data` in its source, from 1, and each
    /// record's [position](Records::position) is its line number. Empty lines
    /// and, in standard logs, directives (lines that start with `#`) are
    /// counted as lines but are not records.
    ///
    /// # Panics
    ///
    /// If `data` is 4 GiB or longer.
    pub fn parse_lines(&mut self, data: Bytes, first_line: u64) -> Parsed {
        let mut run = Run::new(Records::new(data.clone()));
        let mut position = first_line;
        for line in lines(&data) {
            if self.is_directive(&data[line.clone()]) {
                self.obey(&mut run, &data[line]);
            } else if !line.is_empty() {
                let record = run.records.len() as u32;
                run.records.push(line.clone(), position);
                self.parse(&mut run, line, record);
            }
            position = position.wrapping_add(1);
        }
        self.finish(run)
    }

    /// Parses records that are split already, as Kinesis delivers them. A line
    /// end at the end of a record is not part of its last value.
    ///
    /// Every one of them is accounted for: one that is empty is rejected, and
    /// so is a directive in a standard log, which is obeyed nevertheless.
    pub fn parse_records(&mut self, records: Records) -> Parsed {
        let mut run = Run::new(records);
        for record in 0..run.records.len() as u32 {
            let line = without_line_end(&run.data, run.records.range(record));
            if line.is_empty() {
                run.table.reject(record, "the record is empty".into());
            } else if self.is_directive(&run.data[line.clone()]) {
                let data = run.data.clone();
                self.obey(&mut run, &data[line]);
                let reason = "a directive of a W3C file, not a record";
                run.table.reject(record, reason.into());
            } else {
                self.parse(&mut run, line, record);
            }
        }
        self.finish(run)
    }

    /// Obeys the directives in lines that are skipped because they are stored
    /// already. Only standard logs have any.
    pub fn observe(&mut self, data: &[u8]) {
        if let Source::Standard(header) = &mut self.source {
            for line in lines(data).filter(|line| is_directive(&data[line.clone()])) {
                header.obey(&data[line]);
            }
        }
    }

    fn is_directive(&self, line: &[u8]) -> bool {
        matches!(self.source, Source::Standard(_)) && is_directive(line)
    }

    /// Obeys a directive, after the records that came before it.
    fn obey(&mut self, run: &mut Run, line: &[u8]) {
        self.flush(run);
        if let Source::Standard(header) = &mut self.source {
            header.obey(line);
        }
    }

    /// Adds a record to the block, and the block to the table when it is full.
    fn parse(&mut self, run: &mut Run, line: Range<usize>, record: u32) {
        let Run { data, block, .. } = run;
        let pushed = match &mut self.source {
            Source::RealTime(plan) | Source::Standard(Header::Fields(plan)) => {
                if block.len() == 0 {
                    block.reset(plan.width);
                }
                block.push_line(plan, data, line, record)
            }
            Source::Standard(Header::Unusable(reason)) => Err(reason.clone()),
            Source::Json(json) => {
                if block.len() == 0 {
                    json.reset(block);
                }
                json.push_line(block, &data[line], record)
            }
        };
        if let Err(reason) = pushed {
            run.table.reject(record, reason);
        } else if run.block.is_full() {
            self.flush(run);
        }
    }

    /// Adds the block to the table.
    fn flush(&mut self, run: &mut Run) {
        let progress = run.progress();
        let Run {
            data, block, table, ..
        } = run;
        match &mut self.source {
            Source::RealTime(plan) | Source::Standard(Header::Fields(plan)) => {
                table.append(plan, (data, block), Slots::ALL, progress);
                block.reset(plan.width);
            }
            // No record got as far as the block.
            Source::Standard(Header::Unusable(_)) => {}
            Source::Json(json) => {
                let (plan, text, seen) = json.parts();
                table.append(plan, (text, block), seen, progress);
                json.reset(block);
            }
        }
    }

    fn finish(&mut self, mut run: Run) -> Parsed {
        self.flush(&mut run);
        let Finished {
            columns,
            origins,
            rejected,
        } = run.table.finish(self.sample_weight);
        let rejected = rejected.into_iter().map(|(record, reason)| Rejected {
            record,
            stage: Arc::clone(&self.stage),
            reason,
        });
        Parsed {
            rejected: rejected.collect(),
            batch: Batch::new(columns, Arc::new(run.records), origins),
        }
    }
}

/// One call's work.
#[derive(Debug)]
struct Run {
    records: Records,
    /// The records' data.
    data: Bytes,
    block: Block,
    table: Table,
}

impl Run {
    fn new(records: Records) -> Self {
        Run {
            data: records.data().clone(),
            records,
            block: Block::default(),
            table: Table::new(),
        }
    }

    fn progress(&self) -> Progress {
        let last = self.block.records().last();
        Progress {
            done: last.map_or(0, |&record| self.records.range(record).end),
            total: self.data.len(),
        }
    }
}

/// Returns where the lines are, without their ends.
pub(super) fn lines(data: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', data).map(|end| end + 1);
    let unended = (!data.is_empty() && data.last() != Some(&b'\n')).then_some(data.len());
    ends.chain(unended).map(move |end| {
        let line = start..end;
        start = end;
        without_line_end(data, line)
    })
}

/// Takes one `\n`, `\r\n` or `\r` off the end of the range.
fn without_line_end(data: &[u8], line: Range<usize>) -> Range<usize> {
    let bytes = &data[line.clone()];
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    line.start..line.start + bytes.len()
}
