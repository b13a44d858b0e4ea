//! A few records at a time, split into their fields.
//!
//! Records are split into blocks small enough to stay in the nearest cache, and
//! a block is then turned into columns one column after the other: the type of
//! a column is decided once a block, and a record that turns out to be bad is
//! taken out of the block before anything of it is kept.

use std::ops::Range;

use super::MAX_RECORD_BYTES;
use super::plan::Plan;
use super::value::shown;

/// How many records a block has. 64 records of 1 KB are 64 KB of text and at
/// most 37 KB of cells; 32 and 128 measured no faster.
pub(super) const BLOCK_ROWS: usize = 64;

/// One field of one record: a range of the block's text. Empty where absent.
pub(super) type Cell = Range<u32>;

/// Records split into cells, one row of cells for each record.
#[derive(Debug, Default)]
pub(super) struct Block {
    width: usize,
    cells: Vec<Cell>,
    records: Vec<u32>,
}

impl Block {
    /// Empties the block for rows of `width` cells.
    pub(super) fn reset(&mut self, width: usize) {
        self.width = width;
        self.cells.clear();
        self.records.clear();
    }

    /// How many rows the block has.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether another row would be too many.
    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= BLOCK_ROWS
    }

    /// Adds a row of empty cells for `record` and returns its cells.
    pub(super) fn push(&mut self, record: u32) -> &mut [Cell] {
        let start = self.cells.len();
        self.cells.resize(start + self.width, 0..0);
        self.records.push(record);
        &mut self.cells[start..]
    }

    /// Takes the last row back.
    pub(super) fn pop(&mut self) {
        self.records.pop();
        self.cells.truncate(self.records.len() * self.width);
    }

    /// The record of each row.
    pub(super) fn records(&self) -> &[u32] {
        &self.records
    }

    /// Returns one value.
    pub(super) fn value<'a>(&self, text: &'a [u8], row: usize, slot: usize) -> &'a [u8] {
        let cell = &self.cells[row * self.width + slot];
        &text[cell.start as usize..cell.end as usize]
    }

    /// Returns the values of one slot, row after row.
    #[inline]
    pub(super) fn values<'a>(
        &'a self,
        text: &'a [u8],
        slot: usize,
    ) -> impl Iterator<Item = &'a [u8]> {
        self.ranges(slot).map(|range| &text[range])
    }

    /// Returns where the values of one slot are, row after row.
    #[inline]
    pub(super) fn ranges(&self, slot: usize) -> impl Iterator<Item = Range<usize>> {
        // A block without cells has no rows, so any width will do.
        self.cells
            .chunks_exact(self.width.max(1))
            .map(move |row| row[slot].start as usize..row[slot].end as usize)
    }

    /// Keeps the rows for which `keep` holds.
    pub(super) fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        let kept: Vec<usize> = (0..self.len()).filter(|&row| keep(row)).collect();
        let cells = kept
            .iter()
            .flat_map(|&row| self.cells[row * self.width..(row + 1) * self.width].iter())
            .cloned()
            .collect();
        self.records = kept.iter().map(|&row| self.records[row]).collect();
        self.cells = cells;
    }

    /// Splits the line at `line` of `text` at its tabs and adds it as a row.
    ///
    /// # Errors
    ///
    /// A phrase saying why the line is no record of this plan.
    pub(super) fn push_line(
        &mut self,
        plan: &Plan,
        text: &[u8],
        line: Range<usize>,
        record: u32,
    ) -> Result<(), String> {
        let bytes = &text[line.clone()];
        if is_unsound(bytes) {
            return Err(soundness(bytes, plan).unwrap_or_default());
        }
        let cells = self.push(record);
        let mut start = line.start as u32;
        let mut found = 0;
        for tab in memchr::memchr_iter(b'\t', bytes) {
            let tab = (line.start + tab) as u32;
            if found + 1 >= plan.field_count {
                found = plan.field_count;
                break;
            }
            cells[found] = start..tab;
            start = tab + 1;
            found += 1;
        }
        if found + 1 != plan.field_count {
            self.pop();
            return Err(wrong_count(bytes, plan));
        }
        cells[found] = start..line.end as u32;
        if let Some(url) = plan.url {
            let stem = cells[url.stem].clone();
            let value = &text[stem.start as usize..stem.end as usize];
            if let Some(mark) = memchr::memchr(b'?', value) {
                let mark = stem.start + mark as u32;
                cells[url.stem].end = mark;
                if let Some(query) = url.query {
                    cells[query] = mark + 1..stem.end;
                }
            }
        }
        Ok(())
    }
}

/// Whether no record can look like this, whatever its format.
#[inline]
pub(super) fn is_unsound(bytes: &[u8]) -> bool {
    bytes.len() > MAX_RECORD_BYTES
        || memchr::memchr(0, bytes).is_some()
        || (!bytes.is_ascii() && std::str::from_utf8(bytes).is_err())
}

/// Says what [`is_unsound`] found in a line of fields.
fn soundness(bytes: &[u8], plan: &Plan) -> Option<String> {
    let (problem, place) = unsoundness(bytes)?;
    let Some(place) = place else {
        return Some(problem);
    };
    let slot = memchr::memchr_iter(b'\t', &bytes[..place]).count();
    let start = memchr::memrchr(b'\t', &bytes[..place]).map_or(0, |tab| tab + 1);
    let end = memchr::memchr(b'\t', &bytes[place..]).map_or(bytes.len(), |tab| place + tab);
    // The value is shown from a little before the byte in question.
    let value = shown(&bytes[start.max(place.saturating_sub(16))..end]);
    Some(
        match plan.names.get(slot).filter(|_| slot < plan.field_count) {
            Some(name) => format!("{name}: {value} has {problem}"),
            None => format!("field {}: {value} has {problem}", slot + 1),
        },
    )
}

/// Says what [`is_unsound`] found, and at which byte if it is one.
pub(super) fn unsoundness(bytes: &[u8]) -> Option<(String, Option<usize>)> {
    if bytes.len() > MAX_RECORD_BYTES {
        let problem = format!(
            "the record has {} bytes, more than the {MAX_RECORD_BYTES} a record may have",
            bytes.len()
        );
        return Some((problem, None));
    }
    if let Some(place) = memchr::memchr(0, bytes) {
        return Some(("a NUL byte".into(), Some(place)));
    }
    let place = std::str::from_utf8(bytes).err()?.valid_up_to();
    let problem = format!("the byte 0x{:02x}, which is not UTF-8", bytes[place]);
    Some((problem, Some(place)))
}

/// Says that a line has another number of fields than its plan.
fn wrong_count(bytes: &[u8], plan: &Plan) -> String {
    let found = memchr::memchr_iter(b'\t', bytes).count() + 1;
    let expected = plan.field_count;
    let fields = if found == 1 { "field" } else { "fields" };
    let hint = if found == 1 && expected > 1 {
        "; fields are separated by tabs"
    } else {
        ""
    };
    let source = match plan.clock {
        Some(super::plan::Clock::Standard { .. }) => "the `#Fields:` line names",
        _ => "the layout of the real-time log configuration has",
    };
    format!("{found} {fields} found, {expected} expected: {source} {expected}{hint}")
}
