//! What was decided about names, so that it is decided once.

/// How many names are remembered. Viewers send some 50 different headers.
const SLOTS: usize = 256;

/// The longest name that is remembered, in bytes.
const MAX_BYTES: usize = 31;

/// Decisions `V` by name: a direct-mapped table that the newcomer wins, of a
/// fixed size whatever viewers send.
#[derive(Clone, Debug)]
pub(crate) struct Memo<V> {
    slots: Vec<Slot<V>>,
}

#[derive(Clone, Debug)]
struct Slot<V> {
    /// 0 where the slot is free: no name is empty.
    length: u8,
    name: [u8; MAX_BYTES],
    value: V,
}

impl<V: Copy + Default> Memo<V> {
    /// Returns the decision about `name`, by `decide` where it is not known.
    #[inline]
    pub(crate) fn get(&mut self, name: &[u8], decide: impl FnOnce() -> V) -> V {
        if name.is_empty() || name.len() > MAX_BYTES {
            return decide();
        }
        let slot = &mut self.slots[place(name)];
        if slot.name[..usize::from(slot.length)] != *name {
            slot.value = decide();
            slot.length = name.len() as u8;
            slot.name[..name.len()].copy_from_slice(name);
        }
        slot.value
    }
}

impl<V: Copy + Default> Default for Memo<V> {
    fn default() -> Self {
        let free = Slot {
            length: 0,
            name: [0; MAX_BYTES],
            value: V::default(),
        };
        Memo {
            slots: vec![free; SLOTS],
        }
    }
}

/// Returns the slot of a name by its length and three of its bytes, which
/// tell the usual headers apart well enough.
fn place(name: &[u8]) -> usize {
    let byte = |at: usize| u32::from(name[at]);
    let mixed = byte(0) | byte(name.len() / 2) << 8 | byte(name.len() - 1) << 16;
    let mixed = mixed ^ (name.len() as u32) << 24;
    // 2^32 divided by the golden ratio; the high bits are the mixed ones.
    (mixed.wrapping_mul(0x9e37_79b9) >> 24) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_decided_about_once() {
        let mut memo = Memo::default();
        let mut decided = 0;
        for _ in 0..3 {
            let decide = || {
                decided += 1;
                7
            };
            assert_eq!(memo.get(b"Host", decide), 7);
        }
        assert_eq!(decided, 1);
    }

    #[test]
    fn no_name_gets_the_decision_about_another() {
        let mut memo = Memo::default();
        let names: Vec<String> = (0..3000).map(|n| format!("{n:x}")).collect();
        for name in names.iter().chain(&names) {
            assert_eq!(memo.get(name.as_bytes(), || name.len()), name.len());
            let longer = format!("{name}-{name}");
            assert_eq!(memo.get(longer.as_bytes(), || longer.len()), longer.len());
        }
        assert_eq!(memo.get(b"", || 0), 0);
        let long = [b'a'; MAX_BYTES + 1];
        assert_eq!(memo.get(&long, || 1), 1);
        assert_eq!(memo.get(&long, || 2), 2);
    }
}
