//! Arrow arrays as the contract's columns, copied only where Arrow's layout is
//! wider than the contract's.

use std::borrow::Cow;
use std::hash::Hasher;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int64Type, TimestampMillisecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, StringArray, UInt32Array};
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::{DataType, TimeUnit};
use canopy_batch::{Column, Kind};

use crate::contract::v0_1::{ColumnIn, TextIn, ValuesIn};

/// One input column, owned, ready to be borrowed by a call.
#[derive(Clone, Debug)]
pub(crate) struct InputColumn {
    values: Values,
    validity: Option<Buffer>,
}

#[derive(Clone, Debug)]
enum Values {
    Text {
        offsets: ScalarBuffer<u32>,
        bytes: Buffer,
    },
    Int(ScalarBuffer<i64>),
    Float(ScalarBuffer<f64>),
    Timestamp(ScalarBuffer<i64>),
    Boolean(Buffer),
}

/// Where an input column's values come from.
pub(crate) enum Source {
    /// A column of the batch.
    Array(ArrayRef),
    /// A column that the batch's source of logs does not provide.
    Absent(&'static Column),
}

/// The input columns of a batch.
pub(crate) struct Inputs {
    sources: Vec<Source>,
    columns: Vec<InputColumn>,
    rows: usize,
}

impl Inputs {
    /// Takes sources of `rows` rows each, all of a type that [`kind_of`] knows.
    pub(crate) fn new(sources: Vec<Source>, rows: usize) -> Self {
        let columns = columns(&sources, 0..rows);
        Inputs {
            sources,
            columns,
            rows,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// All rows of the columns.
    pub(crate) fn columns(&self) -> &[InputColumn] {
        &self.columns
    }

    /// Returns the columns of a range of the rows.
    pub(crate) fn range(&self, range: Range<usize>) -> Cow<'_, [InputColumn]> {
        if range == (0..self.rows) {
            Cow::Borrowed(&self.columns)
        } else {
            Cow::Owned(columns(&self.sources, range))
        }
    }

    /// Returns the inputs whose row `i` is row `rows[i]` of these.
    pub(crate) fn select(self, rows: &[u32]) -> Inputs {
        let indices = UInt32Array::from(rows.to_vec());
        let sources = self
            .sources
            .into_iter()
            .map(|source| match source {
                Source::Array(array) => Source::Array(
                    arrow_select::take::take(&array, &indices, None)
                        .expect("rows are in range and every type can be taken"),
                ),
                absent @ Source::Absent(_) => absent,
            })
            .collect();
        Inputs::new(sources, rows.len())
    }
}

fn columns(sources: &[Source], range: Range<usize>) -> Vec<InputColumn> {
    sources
        .iter()
        .map(|source| match source {
            Source::Array(array) => InputColumn::new(&array.slice(range.start, range.len()))
                .expect("the array's type has a kind"),
            Source::Absent(column) => InputColumn::absent(column, range.len()),
        })
        .collect()
}

/// Returns the kind under which a plugin reads an array of this type; none for
/// a type that no column of a batch has.
pub(crate) fn kind_of(data_type: &DataType) -> Option<Kind> {
    match data_type {
        DataType::Utf8 => Some(Kind::Text),
        DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Int64 => Some(Kind::Int),
        DataType::Float32 | DataType::Float64 => Some(Kind::Float),
        DataType::Timestamp(TimeUnit::Millisecond, _) => Some(Kind::Timestamp),
        DataType::Boolean => Some(Kind::Boolean),
        _ => None,
    }
}

impl InputColumn {
    /// Returns the column of an array, which may be a slice of a longer one.
    /// None where [`kind_of`] knows no kind for it.
    pub(crate) fn new(array: &dyn Array) -> Option<Self> {
        let values = match array.data_type() {
            DataType::Utf8 => text(array.as_string()),
            DataType::Int64 => Values::Int(array.as_primitive::<Int64Type>().values().clone()),
            DataType::UInt8 => Values::Int(widen(array.as_primitive::<UInt8Type>().values())),
            DataType::UInt16 => Values::Int(widen(array.as_primitive::<UInt16Type>().values())),
            DataType::UInt32 => Values::Int(widen(array.as_primitive::<UInt32Type>().values())),
            DataType::UInt64 => {
                let values = array.as_primitive::<UInt64Type>().values();
                // `ColumnType::UInt64` promises values up to `i64::MAX`.
                let widened = values
                    .iter()
                    .map(|&value| i64::try_from(value).unwrap_or(i64::MAX));
                Values::Int(widened.collect())
            }
            DataType::Float64 => {
                Values::Float(array.as_primitive::<Float64Type>().values().clone())
            }
            DataType::Float32 => {
                let values = array.as_primitive::<Float32Type>().values();
                Values::Float(values.iter().map(|&value| f64::from(value)).collect())
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                let values = array.as_primitive::<TimestampMillisecondType>().values();
                Values::Timestamp(values.clone())
            }
            DataType::Boolean => Values::Boolean(array.as_boolean().values().sliced()),
            _ => return None,
        };
        let validity = array
            .nulls()
            .filter(|nulls| nulls.null_count() > 0)
            .map(|nulls| nulls.inner().sliced());
        Some(InputColumn { values, validity })
    }

    /// Returns the column of a source that lacks it: null where it may be, the
    /// kind's empty otherwise.
    pub(crate) fn absent(column: &Column, rows: usize) -> Self {
        let values = match column.column_type.kind() {
            Kind::Text => Values::Text {
                offsets: std::iter::repeat_n(0, rows + 1).collect(),
                bytes: Buffer::from_vec(Vec::<u8>::new()),
            },
            Kind::Int => Values::Int(std::iter::repeat_n(0, rows).collect()),
            Kind::Float => Values::Float(std::iter::repeat_n(0.0, rows).collect()),
            Kind::Timestamp => Values::Timestamp(std::iter::repeat_n(0, rows).collect()),
            Kind::Boolean => Values::Boolean(zero_bits(rows)),
        };
        InputColumn {
            values,
            validity: column.nullable.then(|| zero_bits(rows)),
        }
    }

    /// Borrows the column for a call.
    pub(crate) fn borrow(&self) -> ColumnIn<'_> {
        ColumnIn {
            values: match &self.values {
                Values::Text { offsets, bytes } => ValuesIn::Text(TextIn { offsets, bytes }),
                Values::Int(values) => ValuesIn::Int(values),
                Values::Float(values) => ValuesIn::Float(values),
                Values::Timestamp(values) => ValuesIn::Timestamp(values),
                Values::Boolean(bits) => ValuesIn::Boolean(bits),
            },
            validity: self.validity.as_deref(),
        }
    }
}

impl InputColumn {
    /// Feeds row `row` to a hasher: rows that are [`InputColumn::same`] hash
    /// the same.
    pub(crate) fn hash(&self, row: usize, hasher: &mut impl Hasher) {
        if !self.is_valid(row) {
            return hasher.write_u8(0);
        }
        match &self.values {
            Values::Text { .. } => {
                let text = self.text(row);
                hasher.write(text);
                // No byte of UTF-8: keeps columns apart.
                hasher.write_u8(0xff);
            }
            Values::Int(values) | Values::Timestamp(values) => hasher.write_i64(values[row]),
            Values::Float(values) => hasher.write_u64(values[row].to_bits()),
            Values::Boolean(bits) => hasher.write_u8(bit(bits, row)),
        }
    }

    /// Whether a plugin cannot tell two rows apart by this column.
    pub(crate) fn same(&self, left: usize, right: usize) -> bool {
        if !self.is_valid(left) || !self.is_valid(right) {
            return self.is_valid(left) == self.is_valid(right);
        }
        match &self.values {
            Values::Text { .. } => self.text(left) == self.text(right),
            Values::Int(values) | Values::Timestamp(values) => values[left] == values[right],
            Values::Float(values) => values[left].to_bits() == values[right].to_bits(),
            Values::Boolean(bits) => bit(bits, left) == bit(bits, right),
        }
    }

    fn is_valid(&self, row: usize) -> bool {
        self.validity
            .as_ref()
            .is_none_or(|bits| bit(bits, row) == 1)
    }

    fn text(&self, row: usize) -> &[u8] {
        match &self.values {
            Values::Text { offsets, bytes } => {
                &bytes[offsets[row] as usize..offsets[row + 1] as usize]
            }
            _ => &[],
        }
    }
}

fn bit(bits: &[u8], row: usize) -> u8 {
    bits[row / 8] >> (row % 8) & 1
}

/// Returns text whose offsets start at 0 and whose null rows take no bytes.
fn text(array: &StringArray) -> Values {
    if let Some(nulls) = array.nulls()
        && has_bytes_under_nulls(array, nulls)
    {
        return without_bytes_under_nulls(array);
    }
    let offsets = array.offsets();
    let (first, last) = (offsets[0], offsets[array.len()]);
    let bytes = array
        .values()
        .slice_with_length(first as usize, (last - first) as usize);
    let offsets = if first == 0 {
        // Arrow's offsets are never negative, so each is the same as a `u32`.
        ScalarBuffer::from(offsets.inner().inner().clone())
    } else {
        offsets
            .iter()
            .map(|&offset| (offset - first) as u32)
            .collect()
    };
    Values::Text { offsets, bytes }
}

fn has_bytes_under_nulls(array: &StringArray, nulls: &NullBuffer) -> bool {
    nulls.null_count() > 0
        && (0..array.len()).any(|row| nulls.is_null(row) && array.value_length(row) > 0)
}

fn without_bytes_under_nulls(array: &StringArray) -> Values {
    let mut offsets = Vec::with_capacity(array.len() + 1);
    let mut bytes = Vec::new();
    offsets.push(0);
    for value in array {
        bytes.extend_from_slice(value.unwrap_or_default().as_bytes());
        offsets.push(bytes.len() as u32);
    }
    Values::Text {
        offsets: offsets.into(),
        bytes: Buffer::from_vec(bytes),
    }
}

fn widen<T: Copy + Into<i64>>(values: &[T]) -> ScalarBuffer<i64> {
    values.iter().map(|&value| value.into()).collect()
}

fn zero_bits(rows: usize) -> Buffer {
    Buffer::from_vec(vec![0_u8; rows.div_ceil(8)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{
        BooleanArray, Float32Array, StringArray, TimestampMillisecondArray, UInt16Array,
        UInt64Array,
    };
    use canopy_batch::schema::base_column;
    use std::sync::Arc;

    fn text_of(column: &InputColumn) -> (Vec<u32>, Vec<u8>) {
        match column.borrow().values {
            ValuesIn::Text(text) => (text.offsets.to_vec(), text.bytes.to_vec()),
            _ => panic!("not text"),
        }
    }

    #[test]
    fn whole_text_is_borrowed_not_copied() {
        let array = StringArray::from(vec!["/a", "", "/bc"]);
        let column = InputColumn::new(&array).unwrap();
        assert_eq!(text_of(&column), (vec![0, 2, 2, 5], b"/a/bc".to_vec()));
        match column.borrow().values {
            ValuesIn::Text(text) => {
                assert_eq!(text.bytes.as_ptr(), array.value_data().as_ptr());
                assert_eq!(text.offsets.as_ptr().cast(), array.offsets().as_ptr());
            }
            _ => panic!("not text"),
        }
    }

    #[test]
    fn sliced_text_starts_at_0() {
        let array = StringArray::from(vec!["/a", "/long", "", "/b"]).slice(1, 2);
        let column = InputColumn::new(&array).unwrap();
        assert_eq!(text_of(&column), (vec![0, 5, 5], b"/long".to_vec()));
    }

    #[test]
    fn null_rows_take_no_bytes() {
        let nulls = NullBuffer::from(vec![true, false, true]);
        let (offsets, bytes, _) = StringArray::from(vec!["a", "hidden", "b"]).into_parts();
        let array = StringArray::new(offsets, bytes, Some(nulls));
        let column = InputColumn::new(&array).unwrap();
        assert_eq!(text_of(&column), (vec![0, 1, 1, 2], b"ab".to_vec()));
        assert_eq!(column.borrow().validity.unwrap()[0] & 0b111, 0b101);
    }

    #[test]
    fn bits_of_a_slice_start_at_bit_0() {
        let values: Vec<Option<bool>> = (0..20)
            .map(|row| (row % 3 != 0).then_some(row % 2 == 0))
            .collect();
        let array = BooleanArray::from(values.clone()).slice(3, 11);
        let column = InputColumn::new(&array).unwrap();
        let (ValuesIn::Boolean(bits), Some(validity)) =
            (column.borrow().values, column.borrow().validity)
        else {
            panic!("not nullable booleans");
        };
        assert_eq!((bits.len(), validity.len()), (2, 2));
        for row in 0..11 {
            let bit = |bits: &[u8]| bits[row / 8] >> (row % 8) & 1 == 1;
            let expected = values[row + 3];
            assert_eq!(bit(validity), expected.is_some());
            if let Some(value) = expected {
                assert_eq!(bit(bits), value);
            }
        }
    }

    #[test]
    fn narrow_numbers_widen() {
        let status = InputColumn::new(&UInt16Array::from(vec![200, u16::MAX])).unwrap();
        assert!(matches!(
            status.borrow().values,
            ValuesIn::Int([200, 65_535])
        ));
        let bytes = InputColumn::new(&UInt64Array::from(vec![7, u64::MAX])).unwrap();
        assert!(matches!(
            bytes.borrow().values,
            ValuesIn::Int([7, i64::MAX])
        ));
        let seconds = InputColumn::new(&Float32Array::from(vec![0.5])).unwrap();
        assert!(matches!(seconds.borrow().values, ValuesIn::Float([0.5])));
        let time = TimestampMillisecondArray::from(vec![1, 2]).with_timezone("UTC");
        let time = InputColumn::new(&Arc::new(time).slice(1, 1)).unwrap();
        assert!(matches!(time.borrow().values, ValuesIn::Timestamp([2])));
    }

    #[test]
    fn an_absent_column_is_null_or_empty() {
        let stem = InputColumn::absent(base_column("cs_uri_stem").unwrap(), 3);
        assert_eq!(text_of(&stem), (vec![0; 4], Vec::new()));
        assert!(stem.borrow().validity.is_none());
        let length = InputColumn::absent(base_column("sc_content_len").unwrap(), 9);
        assert!(matches!(length.borrow().values, ValuesIn::Int([0, ..])));
        assert_eq!(length.borrow().validity, Some(&[0, 0][..]));
    }
}
