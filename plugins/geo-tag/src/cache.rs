//! A small cache of decoded records.

/// A direct-mapped cache: each key has one place, and the newcomer wins.
///
/// It never grows past its size and needs no upkeep on a hit.
#[derive(Debug)]
pub(crate) struct Cache<V> {
    slots: Box<[Option<Slot<V>>]>,
}

#[derive(Debug)]
struct Slot<V> {
    key: usize,
    value: Option<V>,
}

impl<V> Cache<V> {
    /// Returns an empty cache of `size` places, a power of two.
    pub(crate) fn new(size: usize) -> Self {
        assert!(
            size.is_power_of_two(),
            "the size of a cache is a power of two"
        );
        Cache {
            slots: std::iter::repeat_with(|| None).take(size).collect(),
        }
    }

    /// Returns the value of `key`, making it where it is not at hand.
    ///
    /// That there is no value is remembered too; an error is not.
    pub(crate) fn get_or_insert<E>(
        &mut self,
        key: usize,
        make: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<&V>, E> {
        let place = spread(key) & (self.slots.len() - 1);
        let slot = &mut self.slots[place];
        if slot.as_ref().is_none_or(|slot| slot.key != key) {
            let value = make()?;
            *slot = Some(Slot { key, value });
        }
        Ok(slot.as_ref().and_then(|slot| slot.value.as_ref()))
    }
}

/// Spreads keys that lie close together, as offsets of records do.
fn spread(key: usize) -> usize {
    // The constant is 2^32 divided by the golden ratio; the high bits of the
    // product are the well mixed ones.
    ((key as u32).wrapping_mul(0x9e37_79b9) >> 16) as usize
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_value_is_made_once_while_it_is_at_hand() {
        let mut cache = Cache::new(4);
        let mut made = 0;
        for key in [7, 7, 7] {
            let value = cache.get_or_insert(key, || {
                made += 1;
                Ok::<_, Infallible>(Some(key * 2))
            });
            assert_eq!(value, Ok(Some(&14)));
        }
        assert_eq!(made, 1);
    }

    #[test]
    fn no_key_is_given_the_value_of_another() {
        let mut cache = Cache::new(4);
        for key in (0..100).chain(0..100) {
            let value = cache.get_or_insert(key, || Ok::<_, Infallible>(Some(key)));
            assert_eq!(value, Ok(Some(&key)));
        }
    }

    #[test]
    fn an_error_is_not_remembered() {
        let mut cache = Cache::new(4);
        assert_eq!(cache.get_or_insert(1, || Err("damaged")), Err("damaged"));
        assert_eq!(
            cache.get_or_insert(1, || Ok::<_, &str>(Some("fine"))),
            Ok(Some(&"fine"))
        );
    }
}
