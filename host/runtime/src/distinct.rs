//! Asking a per-distinct plugin once for each distinct tuple of inputs.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use crate::input::Inputs;

/// Spreading pays where at most this share of the rows is distinct: finding
/// the distinct rows and spreading the answers costs about as much as a cheap
/// plugin's work on half of them.
const MOST_DISTINCT: f64 = 0.5;

/// After a batch where it did not pay, this many batches go by untried.
const BATCHES_UNTRIED: u32 = 15;

/// Which rows stand for which.
pub(crate) struct Spread {
    /// The first row of each distinct tuple, ascending.
    pub(crate) representatives: Vec<u32>,
    /// For each row, the index of its representative.
    pub(crate) of_row: Vec<u32>,
}

impl Spread {
    /// How many rows each representative stands for.
    pub(crate) fn weights(&self) -> Vec<u32> {
        let mut weights = vec![0; self.representatives.len()];
        for &row in &self.of_row {
            weights[row as usize] += 1;
        }
        weights
    }
}

/// Decides batch by batch whether to look for distinct rows.
#[derive(Debug, Default)]
pub(crate) struct Distinct {
    hasher: RandomState,
    untried: u32,
}

impl Distinct {
    /// Returns which rows stand for which, where asking for the distinct ones
    /// alone pays.
    pub(crate) fn spread(&mut self, inputs: &Inputs) -> Option<Spread> {
        if self.untried > 0 {
            self.untried -= 1;
            return None;
        }
        let spread = self.find(inputs)?;
        let most = inputs.rows() as f64 * MOST_DISTINCT;
        if spread.representatives.len() as f64 > most {
            self.untried = BATCHES_UNTRIED;
            return None;
        }
        Some(spread)
    }

    fn find(&self, inputs: &Inputs) -> Option<Spread> {
        let rows = inputs.rows();
        let mut spread = Spread {
            representatives: Vec::new(),
            of_row: Vec::with_capacity(rows),
        };
        // Keyed by the hash itself, which is keyed with random numbers: nobody
        // can choose log lines that collide.
        let mut seen: HashMap<u64, u32, BuildHasherDefault<Identity>> = HashMap::default();
        for row in 0..rows {
            let mut hasher = self.hasher.build_hasher();
            for column in inputs.columns() {
                column.hash(row, &mut hasher);
            }
            let next = u32::try_from(spread.representatives.len()).ok()?;
            let index = match seen.entry(hasher.finish()) {
                Entry::Vacant(entry) => *entry.insert(next),
                Entry::Occupied(entry) => {
                    let index = *entry.get();
                    let other = spread.representatives[index as usize] as usize;
                    let same = inputs
                        .columns()
                        .iter()
                        .all(|column| column.same(row, other));
                    // Rows that differ but hash the same stand for themselves.
                    if same { index } else { next }
                }
            };
            if index == next {
                spread.representatives.push(row as u32);
            }
            spread.of_row.push(index);
        }
        Some(spread)
    }
}

/// Takes a hash as it is.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only u64 keys are hashed");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Source;
    use arrow_array::{ArrayRef, Int64Array, StringArray};
    use std::sync::Arc;

    fn inputs(text: Vec<Option<&str>>, numbers: Vec<i64>) -> Inputs {
        let rows = text.len();
        let text: ArrayRef = Arc::new(StringArray::from(text));
        let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
        Inputs::new(vec![Source::Array(text), Source::Array(numbers)], rows)
    }

    #[test]
    fn rows_are_the_same_where_every_column_is() {
        let inputs = inputs(
            vec![Some("a"), Some("a"), None, Some(""), None, Some("a")],
            vec![1, 2, 1, 1, 1, 1],
        );
        let spread = Distinct::default().find(&inputs).unwrap();
        assert_eq!(spread.representatives, [0, 1, 2, 3]);
        assert_eq!(spread.of_row, [0, 1, 2, 3, 2, 0]);
        assert_eq!(spread.weights(), [2, 1, 2, 1]);
    }

    #[test]
    fn where_it_does_not_pay_it_is_left_alone_for_a_while() {
        let mut distinct = Distinct::default();
        let different = || inputs(vec![Some("a"), Some("b")], vec![1, 2]);
        let alike = || inputs(vec![Some("a"); 2], vec![1; 2]);
        assert!(distinct.spread(&different()).is_none());
        for _ in 0..BATCHES_UNTRIED {
            assert!(distinct.spread(&alike()).is_none());
        }
        assert!(distinct.spread(&alike()).is_some());
    }
}
