//! The row being written, and what becomes of it.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::columns::Column;
use crate::output::Output;
use crate::schema::Field;

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Keep,
    /// It is dropped on purpose. Rows made of it with [`Row::emit`] go on.
    Drop,
}

/// Why a row cannot be handled: a phrase a person understands. The host does
/// with the row what `on-error` in canopy.toml says.
///
/// Anything that can be displayed turns into one, so `?` works on any error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    pub(crate) reason: String,
}

impl Reject {
    /// Returns the rejection for `reason`.
    pub fn new(reason: impl Into<String>) -> Self {
        Reject {
            reason: reason.into(),
        }
    }
}

// `Reject` itself must not implement `Display`, or this would overlap with
// the conversion of a type into itself.
impl<E: fmt::Display> From<E> for Reject {
    fn from(error: E) -> Self {
        Reject::new(error.to_string())
    }
}

/// What [`Plugin::row`](crate::Plugin::row) returns.
pub type RowResult = Result<Verdict, Reject>;

/// What a function marked `#[plugin]` may return.
pub trait IntoRowResult {
    /// Converts it.
    fn into_row_result(self) -> RowResult;
}

impl IntoRowResult for () {
    fn into_row_result(self) -> RowResult {
        Ok(Verdict::Keep)
    }
}

impl IntoRowResult for Verdict {
    fn into_row_result(self) -> RowResult {
        Ok(self)
    }
}

impl<T: IntoRowResult, E: Into<Reject>> IntoRowResult for Result<T, E> {
    fn into_row_result(self) -> RowResult {
        self.map_err(Into::into)?.into_row_result()
    }
}

/// The row being written: the fields of the output struct, which it derefs to.
#[derive(Debug)]
pub struct Row<O> {
    output: O,
    /// The input row at hand.
    source: u32,
    /// How many rows are finished.
    finished: u32,
    /// For each finished row the input row it comes from; absent as long as
    /// they are the same rows in the same order.
    sources: Option<Vec<u32>>,
    /// How many of `rejected`, the first, keep their place among the finished
    /// rows because there were no `sources` yet.
    in_place: usize,
    rejected: Vec<(u32, String)>,
}

impl<O> Deref for Row<O> {
    type Target = O;

    #[inline]
    fn deref(&self) -> &O {
        &self.output
    }
}

impl<O> DerefMut for Row<O> {
    #[inline]
    fn deref_mut(&mut self) -> &mut O {
        &mut self.output
    }
}

impl<O: Output> Row<O> {
    /// Finishes a row and starts another one of the same input row. Return
    /// [`Verdict::Drop`] after the last, or [`Verdict::Keep`] if what was
    /// written since is one more.
    ///
    /// A plugin that declares [`Purity::PerDistinct`](crate::Purity) must not
    /// call it.
    pub fn emit(&mut self) {
        let (source, finished) = (self.source, self.finished);
        self.sources
            .get_or_insert_with(|| (0..finished).collect())
            .push(source);
        self.finish();
    }

    pub(crate) fn new(output: O) -> Self {
        Row {
            output,
            source: 0,
            finished: 0,
            sources: None,
            in_place: 0,
            rejected: Vec::new(),
        }
    }

    /// Starts a batch of `rows` rows.
    pub(crate) fn start(&mut self, rows: u32) {
        self.output
            .visit(&mut |writer| writer.reserve(rows as usize));
    }

    /// Works on one input row.
    #[inline]
    pub(crate) fn work(&mut self, source: u32, work: impl FnOnce(&mut Self) -> RowResult) {
        self.source = source;
        let finished = self.finished;
        match work(self) {
            Ok(Verdict::Keep) => {
                if let Some(sources) = &mut self.sources {
                    sources.push(source);
                }
                self.finish();
            }
            Ok(Verdict::Drop) => {
                self.output.clear_row();
                self.sources.get_or_insert_with(|| (0..finished).collect());
            }
            Err(reject) => self.reject(finished, reject),
        }
    }

    #[inline]
    fn finish(&mut self) {
        self.output.finish_row();
        self.finished += 1;
    }

    /// Takes back what was made of the current input row.
    #[cold]
    fn reject(&mut self, finished: u32, reject: Reject) {
        self.output.clear_row();
        self.rejected.push((self.source, reject.reason));
        if self.finished > finished {
            self.output
                .visit(&mut |writer| writer.truncate(finished as usize));
            self.finished = finished;
        }
        match &mut self.sources {
            Some(sources) => sources.truncate(finished as usize),
            // Without sources a rejected row keeps its place.
            None => {
                self.finish();
                self.in_place = self.rejected.len();
            }
        }
    }

    /// Returns what was made of a batch and starts over.
    pub(crate) fn take(&mut self, fields: &[Field]) -> Transformed {
        let mut columns = Vec::with_capacity(fields.len());
        let mut declared = fields.iter();
        self.output.visit(&mut |writer| {
            let first = columns.len();
            writer.take(&mut columns);
            // A field that was left out has a writer but no column.
            let names = declared.next().map_or(0, |field| field.columns.len());
            columns.truncate(first + names);
        });
        let in_place = std::mem::take(&mut self.in_place);
        if let Some(sources) = &mut self.sources
            && in_place > 0
        {
            // With sources a rejected row has no place. Those rows came before
            // the sources, where each row is its own source.
            let rejected = &self.rejected[..in_place];
            let gone = |row: u32| rejected.binary_search_by_key(&row, |(row, _)| *row).is_ok();
            let kept: Vec<usize> = (0..self.finished)
                .filter(|row| !gone(*row))
                .map(|row| row as usize)
                .collect();
            *sources = kept.iter().map(|row| sources[*row]).collect();
            for column in &mut columns {
                column.keep_rows(&kept);
            }
        }
        self.finished = 0;
        Transformed {
            columns,
            source_rows: self.sources.take(),
            rejected: std::mem::take(&mut self.rejected),
        }
    }
}

/// What a plugin made of a batch; `output` of the contract.
#[derive(Clone, Debug, PartialEq)]
pub struct Transformed {
    /// The declared columns, each with as many rows as `source_rows` has, or
    /// as the batch had where it is absent.
    pub columns: Vec<Column>,
    /// For each row the input row it comes from. Absent: the same rows.
    pub source_rows: Option<Vec<u32>>,
    /// Input rows that could not be handled, and why.
    pub rejected: Vec<(u32, String)>,
}
