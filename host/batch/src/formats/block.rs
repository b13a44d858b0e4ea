//! A few records at a time, split into their fields.
//!
//! Records are split into blocks small enough to stay in the nearest cache, and
//! a block is then turned into columns one column after the other: the type of
//! a column is decided once a block, and a record that turns out to be bad is
//! taken out of the block before anything of it is kept.

use std::ops::Range;

use super::fault;
use super::mask::{self, WIDTH};
use super::plan::Plan;

/// How many records a block has. 64 records of 1 KB are 64 KB of text and at
/// most 37 KB of cells. Of all 71 fields, 8 at a time took 1,200 ns a record, 32
/// took 1,050 and 64 took 960. [`Failures`](super::columns::Failures) has a bit
/// for each.
pub(super) const BLOCK_ROWS: usize = 64;

/// One field of one record: a range of the block's text. Empty where absent.
pub(super) type Cell = Range<u32>;

/// The cells of one slot: what a column is filled from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cells<'a> {
    /// What the cells are ranges of.
    pub(super) text: &'a [u8],
    /// The records.
    pub(super) block: &'a Block,
    /// Which of their cells.
    pub(super) slot: usize,
    /// What the source calls the slot, for messages.
    pub(super) name: &'a str,
}

impl<'a> Cells<'a> {
    /// Returns where the values are, row after row.
    #[inline]
    pub(super) fn ranges(self) -> impl Iterator<Item = Range<usize>> + use<'a> {
        let Block { width, cells, .. } = self.block;
        // A block without cells has no rows, so any width will do.
        cells
            .chunks_exact((*width).max(1))
            .map(move |row| row[self.slot].start as usize..row[self.slot].end as usize)
    }

    /// Returns the values, row after row.
    #[inline]
    pub(super) fn values(self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.ranges().map(move |range| &self.text[range])
    }
}

/// How much of the input is done, to tell how much is to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// How many bytes are done with this block.
    pub(super) done: usize,
    /// How many there are.
    pub(super) total: usize,
}

impl Progress {
    /// Returns how much there will be at the end of what there is `count` of
    /// now, and a little more. Where the input is uneven the answer is wrong,
    /// which costs a reallocation; it is never more than 16 times `count`, so
    /// that an odd start cannot ask for all memory.
    pub(super) fn expect(self, count: usize) -> usize {
        let scale = self.total as f64 / self.done.max(1) as f64;
        (count as f64 * (scale * 1.05).clamp(1.0, 16.0)) as usize
    }
}

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
        if let Some(problem) = fault::of_length(line.len()) {
            return Err(problem);
        }
        let cells = self.push(record);
        let mut found = 0;
        let mut value_start = line.start;
        let mut odd = 0;
        for block_start in line.clone().step_by(WIDTH) {
            let masks = mask::line_masks(&mask::block(text, block_start));
            let within = mask::first(line.end - block_start);
            odd |= masks.odd & within;
            let mut tabs = masks.tabs & within;
            while tabs != 0 {
                let tab = block_start + tabs.trailing_zeros() as usize;
                tabs &= tabs - 1;
                if let Some(cell) = cells.get_mut(found) {
                    *cell = value_start as u32..tab as u32;
                }
                found += 1;
                value_start = tab + 1;
            }
        }
        let problem = if odd != 0
            && let Some(problem) = fault::of_line(&text[line.clone()], plan)
        {
            Some(problem)
        } else if found + 1 != plan.field_count {
            Some(fault::of_count(found + 1, plan))
        } else {
            None
        };
        if let Some(problem) = problem {
            self.pop();
            return Err(problem);
        }
        cells[found] = value_start as u32..line.end as u32;
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
