//! Columns as they cross the boundary, in Arrow's memory layout.
//!
//! Plugin authors meet rows; this module is what lies under them. Its types
//! mirror the interface `types` of `wit/plugin.wit`.

/// What a column holds; `kind` of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// A signed 64-bit integer.
    Int,
    /// A 64-bit float.
    Float,
    /// Milliseconds since 1970-01-01T00:00:00 UTC.
    Timestamp,
    /// True or false.
    Boolean,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Text => "text",
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Timestamp => "timestamp",
            Kind::Boolean => "boolean",
        })
    }
}

/// A moment: milliseconds since 1970-01-01T00:00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

/// Text in Arrow's layout: row `i` is `bytes[offsets[i]..offsets[i + 1]]`.
///
/// Invariants: `offsets` starts with 0, never decreases, and ends with
/// `bytes.len()`; each row is valid UTF-8 by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextColumn {
    offsets: Vec<u32>,
    bytes: Vec<u8>,
}

impl TextColumn {
    /// Returns the column over these parts without looking at the text.
    ///
    /// # Safety
    ///
    /// `bytes[offsets[i]..offsets[i + 1]]` must be valid UTF-8 for every `i`
    /// for which that range lies within `bytes`.
    pub unsafe fn new_unchecked(offsets: Vec<u32>, bytes: Vec<u8>) -> Self {
        TextColumn { offsets, bytes }
    }

    /// Returns the column that holds `rows` in their order.
    pub fn from_rows<'a>(rows: impl IntoIterator<Item = &'a str>) -> Self {
        let mut column = crate::output::Text::default();
        for row in rows {
            column.set(row);
            crate::output::Writer::finish_row(&mut column);
        }
        column.into_column()
    }

    /// Returns the offsets, one more than there are rows.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// Returns the rows' text, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn keep_rows(&mut self, kept: &[usize]) {
        let mut offsets = Vec::with_capacity(kept.len() + 1);
        let mut bytes = Vec::with_capacity(self.bytes.len());
        offsets.push(0);
        for row in kept {
            let text = self.offsets[*row] as usize..self.offsets[row + 1] as usize;
            bytes.extend_from_slice(&self.bytes[text]);
            // No more than there were, which fitted.
            offsets.push(bytes.len() as u32);
        }
        (self.offsets, self.bytes) = (offsets, bytes);
    }

    /// Takes the column apart: offsets, bytes.
    pub fn into_parts(self) -> (Vec<u32>, Vec<u8>) {
        (self.offsets, self.bytes)
    }
}

/// The values of one column; a row that is null has an unspecified value.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Text; null rows take no bytes.
    Text(TextColumn),
    /// One integer per row.
    Int(Vec<i64>),
    /// One float per row.
    Float(Vec<f64>),
    /// Milliseconds since the epoch, UTC, one per row.
    Timestamp(Vec<i64>),
    /// One bit per row, least significant bit first.
    Boolean(Vec<u8>),
}

impl Values {
    /// Returns the kind of these values.
    pub fn kind(&self) -> Kind {
        match self {
            Values::Text(_) => Kind::Text,
            Values::Int(_) => Kind::Int,
            Values::Float(_) => Kind::Float,
            Values::Timestamp(_) => Kind::Timestamp,
            Values::Boolean(_) => Kind::Boolean,
        }
    }

    /// Whether there is a value for each of `rows` rows.
    pub(crate) fn holds(&self, rows: usize) -> bool {
        match self {
            Values::Text(text) => text.offsets.len() == rows + 1,
            Values::Int(values) | Values::Timestamp(values) => values.len() == rows,
            Values::Float(values) => values.len() == rows,
            Values::Boolean(bits) => bits.len() == rows.div_ceil(8),
        }
    }
}

/// One column of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The values.
    pub values: Values,
    /// One bit per row, least significant bit first; a clear bit is a null.
    /// Absent: no row is null.
    pub validity: Option<Vec<u8>>,
}

impl Column {
    /// Keeps the rows `kept`, which are in ascending order.
    pub(crate) fn keep_rows(&mut self, kept: &[usize]) {
        let keep_bits = |bits: &mut Vec<u8>| {
            let mut left = Bits::default();
            kept.iter().for_each(|row| left.push(bit(bits, *row)));
            *bits = left.take();
        };
        match &mut self.values {
            Values::Text(text) => text.keep_rows(kept),
            Values::Int(values) | Values::Timestamp(values) => {
                *values = kept.iter().map(|row| values[*row]).collect();
            }
            Values::Float(values) => *values = kept.iter().map(|row| values[*row]).collect(),
            Values::Boolean(bits) => keep_bits(bits),
        }
        if let Some(bits) = &mut self.validity {
            keep_bits(bits);
        }
    }
}

/// Reads bit `row` of a bitmap; false past its end.
pub(crate) fn bit(bits: &[u8], row: usize) -> bool {
    bits.get(row / 8)
        .is_some_and(|byte| byte >> (row % 8) & 1 == 1)
}

/// A growing bitmap, least significant bit first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    #[inline]
    pub(crate) fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (self.len % 8);
        }
        self.len += 1;
    }

    /// Keeps the first `len` bits.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.len = len;
        self.bytes.truncate(len.div_ceil(8));
        if let (Some(last), used @ 1..) = (self.bytes.last_mut(), len % 8) {
            *last &= (1 << used) - 1;
        }
    }

    /// Returns the bytes and starts over, with room for as many again.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.len = 0;
        let room = Vec::with_capacity(self.bytes.len());
        std::mem::replace(&mut self.bytes, room)
    }
}

/// Which rows are present. As long as none is null it is but a count, which is
/// what most columns stay.
#[derive(Clone, Debug, Default)]
pub(crate) struct Validity {
    rows: usize,
    /// Whether `bits` hold all rows; else they hold none.
    has_null: bool,
    bits: Bits,
}

impl Validity {
    #[inline]
    pub(crate) fn push(&mut self, present: bool) {
        if self.has_null {
            self.bits.push(present);
        } else if !present {
            self.push_first_null();
        }
        self.rows += 1;
    }

    #[cold]
    fn push_first_null(&mut self) {
        for _ in 0..self.rows {
            self.bits.push(true);
        }
        self.bits.push(false);
        self.has_null = true;
    }

    /// Keeps the first `rows` rows.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.rows = self.rows.min(rows);
        self.bits.truncate(rows);
    }

    /// Returns the bitmap, unless no row was null, and starts over.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        self.rows = 0;
        std::mem::take(&mut self.has_null).then(|| self.bits.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_bitmap_forgets_the_bits_it_lost() {
        let mut bits = Bits::default();
        for _ in 0..10 {
            bits.push(true);
        }
        bits.truncate(9);
        bits.push(false);
        bits.push(true);
        assert_eq!(bits.take(), [0xff, 0b101]);
    }

    #[test]
    fn validity_is_absent_until_a_row_is_null() {
        let mut validity = Validity::default();
        for _ in 0..9 {
            validity.push(true);
        }
        validity.push(false);
        validity.push(true);
        assert_eq!(validity.take(), Some(vec![0xff, 0b101]));
        validity.push(true);
        assert_eq!(validity.take(), None);
        validity.push(false);
        assert_eq!(validity.take(), Some(vec![0]));
    }

    #[test]
    fn text_is_offsets_into_bytes() {
        let column = TextColumn::from_rows(["a", "", "bc"]);
        assert_eq!(column.offsets(), [0, 1, 1, 3]);
        assert_eq!(column.bytes(), b"abc");
    }
}
