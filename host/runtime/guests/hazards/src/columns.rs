//! Columns made row by row.

use crate::bindings::canopy::plugin::types::{Column, Kind, Text, Values};

/// A column in the making.
pub(crate) struct Builder {
    values: Values,
    validity: Vec<u8>,
    rows: usize,
}

impl Builder {
    pub(crate) fn new(kind: Kind) -> Self {
        Builder {
            values: match kind {
                Kind::Text => Values::Text(Text {
                    offsets: vec![0],
                    bytes: Vec::new(),
                }),
                Kind::Int => Values::Int(Vec::new()),
                Kind::Float => Values::Float(Vec::new()),
                Kind::Timestamp => Values::Timestamp(Vec::new()),
                Kind::Boolean => Values::Boolean(Vec::new()),
            },
            validity: Vec::new(),
            rows: 0,
        }
    }

    /// Adds the value that `value` spells; `null` is null.
    pub(crate) fn push(&mut self, value: &[u8]) {
        let is_null = value == b"null";
        let text = str::from_utf8(value).unwrap_or_default();
        let row = self.rows;
        match &mut self.values {
            Values::Text(column) => {
                if !is_null {
                    column.bytes.extend_from_slice(value);
                }
                column.offsets.push(column.bytes.len() as u32);
            }
            Values::Int(values) | Values::Timestamp(values) => {
                values.push(text.parse().unwrap_or_default());
            }
            Values::Float(values) => values.push(text.parse().unwrap_or_default()),
            Values::Boolean(bits) => set_bit(bits, row, text == "true"),
        }
        set_bit(&mut self.validity, row, !is_null);
        self.rows += 1;
    }

    pub(crate) fn finish(self) -> Column {
        let all_valid = (0..self.rows).all(|row| self.validity[row / 8] >> (row % 8) & 1 == 1);
        Column {
            values: self.values,
            validity: (!all_valid).then_some(self.validity),
        }
    }
}

fn set_bit(bits: &mut Vec<u8>, row: usize, bit: bool) {
    if row % 8 == 0 {
        bits.push(0);
    }
    bits[row / 8] |= u8::from(bit) << (row % 8);
}
