//! Text with few distinct values as a dictionary: each value once, and a
//! two-byte key for each row.
//!
//! ClickHouse reads it straight into `LowCardinality`. What it saves is bytes:
//! the body of an insert is less than half as long, so copying, compressing
//! and sending it costs less than making the dictionary (`docs/schema.md`).

use arrow_array::types::UInt16Type;
use arrow_array::{Array, DictionaryArray, StringArray, UInt16Array};
use std::sync::Arc;

/// Past this many distinct values the text is sent plain: it is not low, and
/// ClickHouse's own dictionaries stop at as many (`low_cardinality_max_dictionary_size`).
const MOST_VALUES: usize = 8192;

/// Past this many values that fall on one place the text is sent plain. At
/// half full that never happens by chance; it bounds what a viewer who sends
/// ever new `Host` headers that hash alike can cost.
const MOST_PROBES: usize = 64;

/// Returns `text` as a dictionary, or nothing where it has too many distinct
/// values.
pub(crate) fn of(text: &StringArray) -> Option<DictionaryArray<UInt16Type>> {
    let mut values = Values::new();
    let mut keys: Vec<u16> = Vec::with_capacity(text.len());
    let mut last: (&[u8], u16) = (b"", u16::MAX);
    let offsets = text.value_offsets();
    let bytes = text.value_data();
    for row in 0..text.len() {
        // What lies under a null is empty or whatever the maker left there;
        // it becomes a value that nothing points to.
        let value = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
        // Logs come in runs: one host, one status, one edge after another.
        if last.1 == u16::MAX || value != last.0 {
            last = (value, values.key_of(row, value, text)?);
        }
        keys.push(last.1);
    }
    let keys = UInt16Array::new(keys.into(), text.nulls().cloned());
    let values: StringArray = values
        .rows
        .iter()
        .map(|&row| {
            let row = row as usize;
            let value = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
            Some(std::str::from_utf8(value).expect("a string array holds UTF-8"))
        })
        .collect();
    Some(DictionaryArray::new(keys, Arc::new(values)))
}

/// The distinct values so far: an open-addressing table from value to key.
struct Values {
    /// The first row of each value; its index is the value's key.
    rows: Vec<u32>,
    /// Keys by hash, [`Values::EMPTY`] where free; a power of two long and at
    /// most half full.
    slots: Vec<u16>,
}

impl Values {
    const EMPTY: u16 = u16::MAX;

    fn new() -> Values {
        Values {
            rows: Vec::new(),
            slots: vec![Self::EMPTY; 64],
        }
    }

    /// Returns the key of `value`, which is at `row`, new or not; nothing
    /// where there are too many.
    fn key_of(&mut self, row: usize, value: &[u8], text: &StringArray) -> Option<u16> {
        let mut slot = hash(value) as usize & (self.slots.len() - 1);
        let mut probes = 0;
        loop {
            match self.slots[slot] {
                Self::EMPTY => break,
                key if self.value(key, text) == value => return Some(key),
                _ => slot = (slot + 1) & (self.slots.len() - 1),
            }
            probes += 1;
            if probes == MOST_PROBES {
                return None;
            }
        }
        if self.rows.len() == MOST_VALUES {
            return None;
        }
        let key = self.rows.len() as u16;
        self.slots[slot] = key;
        self.rows.push(row as u32);
        if self.rows.len() * 2 > self.slots.len() {
            self.grow(text);
        }
        Some(key)
    }

    fn value<'a>(&self, key: u16, text: &'a StringArray) -> &'a [u8] {
        let row = self.rows[key as usize] as usize;
        let offsets = text.value_offsets();
        &text.value_data()[offsets[row] as usize..offsets[row + 1] as usize]
    }

    fn grow(&mut self, text: &StringArray) {
        let len = self.slots.len() * 4;
        self.slots = vec![Self::EMPTY; len];
        for key in 0..self.rows.len() as u16 {
            let mut slot = hash(self.value(key, text)) as usize & (len - 1);
            while self.slots[slot] != Self::EMPTY {
                slot = (slot + 1) & (len - 1);
            }
            self.slots[slot] = key;
        }
    }
}

/// A quick hash of the length and up to 24 bytes: the first 8, the last 8 and
/// 8 from the middle. Values that agree in all of these collide and are told
/// apart by comparing.
fn hash(value: &[u8]) -> u64 {
    const K: u64 = 0x9E37_79B9_7F4A_7C15;
    let word = |at: usize| -> u64 {
        u64::from_le_bytes(value[at..at + 8].try_into().expect("eight bytes"))
    };
    let len = value.len();
    let mut h = (len as u64).wrapping_mul(K);
    if len >= 8 {
        for part in [word(0), word(len - 8), word((len - 8) / 2)] {
            h = (h.rotate_left(23) ^ part).wrapping_mul(K);
        }
    } else {
        let mut part = [0; 8];
        part[..len].copy_from_slice(value);
        h = (h ^ u64::from_le_bytes(part)).wrapping_mul(K);
    }
    h ^ (h >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &StringArray) -> usize {
        let dictionary = of(text).expect("few values");
        let back = dictionary.downcast_dict::<StringArray>().unwrap();
        assert!(back.into_iter().eq(text.iter()));
        dictionary.values().len()
    }

    #[test]
    fn every_value_is_kept_once() {
        let values = [
            "GET",
            "GET",
            "POST",
            "",
            "GET",
            "a longer value than eight bytes",
            "",
        ];
        assert_eq!(check(&StringArray::from(values.to_vec())), 4);
        let many: Vec<String> = (0..20_000)
            .map(|row| format!("value number {}", row * 7919 % MOST_VALUES))
            .collect();
        assert_eq!(check(&StringArray::from(many)), MOST_VALUES);
    }

    #[test]
    fn nulls_stay_nulls() {
        check(&StringArray::from(vec![
            None,
            Some("x"),
            None,
            Some(""),
            None,
        ]));
        check(&StringArray::from(vec![None::<&str>; 3]));
    }

    #[test]
    fn a_slice_is_a_column_like_any_other() {
        let text = StringArray::from(vec!["a", "b", "c", "b"]);
        assert_eq!(check(&text.slice(1, 3)), 2);
    }

    #[test]
    fn too_many_values_stay_plain() {
        let many: Vec<String> = (0..=MOST_VALUES).map(|row| row.to_string()).collect();
        assert!(of(&StringArray::from(many)).is_none());
    }

    #[test]
    fn values_made_to_collide_stay_plain_and_cost_little() {
        // Equal in length and in all that is hashed.
        let many: Vec<String> = (0..1000)
            .map(|row| format!("{}{row:06}{}", "x".repeat(10), "y".repeat(30)))
            .collect();
        assert!(of(&StringArray::from(many)).is_none());
    }
}
