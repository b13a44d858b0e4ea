//! The batch: columns of equal length, each row tied to the record it came from.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{Field as ArrowField, Schema, SchemaRef};
use bytes::Bytes;

use crate::schema::Column;

/// The raw records a batch was parsed from, kept so that a record that cannot
/// go on is set aside byte for byte.
#[derive(Clone, Debug, Default)]
pub struct Records {
    data: Bytes,
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    len: u32,
    position: u64,
}

impl Records {
    /// Returns an empty collection over `data`, at most 4 GiB; records are
    /// added with [`Records::push`].
    pub fn new(data: Bytes) -> Self {
        assert!(u32::try_from(data.len()).is_ok(), "a batch is under 4 GiB");
        Records {
            data,
            spans: Vec::new(),
        }
    }

    /// Adds the record at `range` of the data (line end excluded). `position`
    /// is its place in its source: the line number from 1 for a file, the
    /// index in the event for Kinesis.
    ///
    /// # Panics
    ///
    /// If `range` is not within the data.
    pub fn push(&mut self, range: Range<usize>, position: u64) {
        assert!(range.start <= range.end && range.end <= self.data.len());
        self.spans.push(Span {
            start: range.start as u32,
            len: (range.end - range.start) as u32,
            position,
        });
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Returns the bytes of record `index`, without its line end.
    ///
    /// # Panics
    ///
    /// If there is no such record.
    pub fn raw(&self, index: u32) -> &[u8] {
        &self.data[self.range(index)]
    }

    /// Returns where record `index` is in the data, without its line end.
    pub(crate) fn range(&self, index: u32) -> Range<usize> {
        let span = self.spans[index as usize];
        span.start as usize..span.start as usize + span.len as usize
    }

    /// Returns the place of record `index` in its source; see [`Records::push`].
    ///
    /// # Panics
    ///
    /// If there is no such record.
    pub fn position(&self, index: u32) -> u64 {
        self.spans[index as usize].position
    }

    /// Returns the bytes of the records with whatever lies between them.
    pub fn data(&self) -> &Bytes {
        &self.data
    }
}

/// A record set aside, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Index into the batch's [`Records`].
    pub record: u32,
    /// What set it aside: `parse`, or the name of a plugin.
    pub stage: Arc<str>,
    /// Why, in a phrase.
    pub reason: String,
}

/// Columns of equal length with one schema, the unit that stages handle.
///
/// Invariants: every column has [`Batch::row_count`] rows; `origins` has as
/// many entries, each a valid index into the records.
#[derive(Clone, Debug)]
pub struct Batch {
    columns: RecordBatch,
    records: Arc<Records>,
    origins: Vec<u32>,
}

impl Batch {
    /// Ties columns to the records they were parsed from: row `i` comes from
    /// record `origins[i]`.
    ///
    /// # Panics
    ///
    /// If `origins.len() != columns.num_rows()` or an origin is out of range.
    pub fn new(columns: RecordBatch, records: Arc<Records>, origins: Vec<u32>) -> Self {
        assert_eq!(origins.len(), columns.num_rows());
        assert!(
            origins
                .iter()
                .all(|&record| (record as usize) < records.len())
        );
        Batch {
            columns,
            records,
            origins,
        }
    }

    /// How many rows each column has.
    pub fn row_count(&self) -> usize {
        self.columns.num_rows()
    }

    /// Returns the columns.
    pub fn columns(&self) -> &RecordBatch {
        &self.columns
    }

    /// Returns the column called `name`.
    pub fn column(&self, name: &str) -> Option<&ArrayRef> {
        self.columns.column_by_name(name)
    }

    /// Returns the raw records the batch was parsed from.
    pub fn records(&self) -> &Arc<Records> {
        &self.records
    }

    /// Returns, for each row, the index of the record it came from.
    pub fn origins(&self) -> &[u32] {
        &self.origins
    }

    /// How many distinct records have at least one row here.
    pub fn record_count(&self) -> usize {
        let mut seen = vec![false; self.records.len()];
        self.origins
            .iter()
            .filter(|&&record| !std::mem::replace(&mut seen[record as usize], true))
            .count()
    }

    /// Replaces the column called `column.name`, or adds it at the end.
    ///
    /// # Panics
    ///
    /// If the array's length or type is not the batch's and the column's.
    pub fn set_column(&mut self, column: &Column, values: ArrayRef) {
        assert_eq!(values.len(), self.row_count());
        assert_eq!(values.data_type(), &column.column_type.arrow());
        let schema = self.columns.schema();
        let mut fields: Vec<Arc<ArrowField>> = schema.fields().iter().cloned().collect();
        let mut arrays = self.columns.columns().to_vec();
        match schema.index_of(&column.name) {
            Ok(index) => {
                fields[index] = Arc::new(column.arrow());
                arrays[index] = values;
            }
            Err(_) => {
                fields.push(Arc::new(column.arrow()));
                arrays.push(values);
            }
        }
        self.columns = record_batch(Arc::new(Schema::new(fields)), arrays, self.origins.len());
    }

    /// Returns the batch whose row `i` is this batch's row `rows[i]`. Rows left
    /// out are gone, rows named twice are doubled.
    ///
    /// # Panics
    ///
    /// If a row is out of range.
    pub fn select(&self, rows: &[u32]) -> Batch {
        // Most selections leave out everything or nothing; copying every
        // column to get the same batch would cost more than most plugins.
        if rows.len() == self.row_count() && rows.iter().zip(0..).all(|(&row, same)| row == same) {
            return self.clone();
        }
        let origins = rows.iter().map(|&row| self.origins[row as usize]).collect();
        let indices = UInt32Array::from(rows.to_vec());
        let arrays = self
            .columns
            .columns()
            .iter()
            .map(|array| {
                arrow_select::take::take(array, &indices, None)
                    .expect("rows are in range and every type can be taken")
            })
            .collect();
        Batch {
            columns: record_batch(self.columns.schema(), arrays, rows.len()),
            records: Arc::clone(&self.records),
            origins,
        }
    }

    /// Returns the batch without any row of the given records. A record goes
    /// on whole or not at all, so a plugin that made several rows of one
    /// record loses all of them when one is set aside.
    pub fn without_records(&self, records: &[u32]) -> Batch {
        let mut gone = vec![false; self.records.len()];
        for &record in records {
            gone[record as usize] = true;
        }
        let rows: Vec<u32> = (0..self.row_count() as u32)
            .filter(|&row| !gone[self.origins[row as usize] as usize])
            .collect();
        if rows.len() == self.row_count() {
            return self.clone();
        }
        self.select(&rows)
    }
}

/// Builds a [`RecordBatch`] from parts known to agree, also with no columns.
pub(crate) fn record_batch(
    schema: SchemaRef,
    arrays: Vec<ArrayRef>,
    row_count: usize,
) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(row_count));
    RecordBatch::try_new_with_options(schema, arrays, &options)
        .expect("columns have the schema's types and one length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{ColumnType, base_column};
    use arrow_array::{Array, StringArray, UInt16Array};

    fn batch() -> Batch {
        let mut records = Records::new(Bytes::from_static(b"a\nbb\nccc\n"));
        records.push(0..1, 1);
        records.push(2..4, 2);
        records.push(5..8, 3);
        let schema = Schema::new(vec![base_column("sc_status").unwrap().arrow()]);
        let status: ArrayRef = Arc::new(UInt16Array::from(vec![200, 404, 500]));
        Batch::new(
            RecordBatch::try_new(Arc::new(schema), vec![status]).unwrap(),
            Arc::new(records),
            vec![0, 1, 2],
        )
    }

    #[test]
    fn selecting_keeps_each_row_tied_to_its_record() {
        let selected = batch().select(&[2, 0, 2]);
        assert_eq!(selected.origins(), [2, 0, 2]);
        assert_eq!(selected.record_count(), 2);
        assert_eq!(selected.records().raw(selected.origins()[0]), b"ccc");
    }

    #[test]
    fn selecting_all_rows_in_order_copies_nothing() {
        let batch = batch();
        let selected = batch.select(&[0, 1, 2]);
        let status = |batch: &Batch| Arc::clone(batch.column("sc_status").unwrap());
        assert!(Arc::ptr_eq(&status(&batch), &status(&selected)));
        assert_eq!(selected.origins(), [0, 1, 2]);
    }

    #[test]
    fn a_record_set_aside_takes_all_its_rows_with_it() {
        let left = batch().select(&[0, 1, 1, 2]).without_records(&[1]);
        assert_eq!(left.origins(), [0, 2]);
    }

    #[test]
    fn setting_a_column_replaces_or_adds() {
        let mut batch = batch();
        let tag = Column {
            name: "tag".into(),
            column_type: ColumnType::Text,
            nullable: true,
            doc: "".into(),
        };
        let values: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, Some("z")]));
        batch.set_column(&tag, values);
        assert_eq!(batch.columns().num_columns(), 2);
        batch.set_column(&tag, Arc::new(StringArray::from(vec!["a", "b", "c"])));
        assert_eq!(batch.columns().num_columns(), 2);
        assert_eq!(batch.column("tag").unwrap().null_count(), 0);
    }
}
