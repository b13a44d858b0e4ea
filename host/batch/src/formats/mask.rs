//! Finding bytes, 64 at a time.
//!
//! A log line is mostly short values and short stretches between escapes. A
//! search that starts anew for each of them spends its time starting (5 ns a
//! field with `memchr`, a quarter of all parsing); a mask of 64 bytes finds
//! them all at once.

/// How many bytes a mask covers: one bit each, the first byte the lowest bit.
pub(super) const WIDTH: usize = u64::BITS as usize;

/// Which of 64 bytes are something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineMasks {
    /// Tabs.
    pub(super) tabs: u64,
    /// Bytes that need a closer look: NUL and what is not ASCII.
    pub(super) odd: u64,
}

/// Returns the bits of the first `length` bytes of a block.
#[inline]
pub(super) fn first(length: usize) -> u64 {
    if length >= WIDTH {
        u64::MAX
    } else {
        (1 << length) - 1
    }
}

/// Returns 64 bytes of `text` from `start` on, zeros behind its end.
#[inline]
pub(super) fn block(text: &[u8], start: usize) -> [u8; WIDTH] {
    match text[start..].first_chunk() {
        Some(block) => *block,
        None => {
            let mut block = [0; WIDTH];
            block[..text.len() - start].copy_from_slice(&text[start..]);
            block
        }
    }
}

/// Says where the tabs and the odd bytes of a block are.
#[inline]
pub(super) fn line_masks(block: &[u8; WIDTH]) -> LineMasks {
    LineMasks {
        tabs: bytes_equal(block, b'\t'),
        odd: bytes_equal(block, 0) | high_bits(block),
    }
}

/// Says where the percent signs of a block are.
#[inline]
pub(super) fn percents(block: &[u8; WIDTH]) -> u64 {
    bytes_equal(block, b'%')
}

#[cfg(target_arch = "x86_64")]
use sse2::{bytes_equal, high_bits};
#[cfg(not(target_arch = "x86_64"))]
use words::{bytes_equal, high_bits};

/// With SSE2, which every x86-64 processor has.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8,
    };

    use super::WIDTH;

    #[inline]
    pub(super) fn bytes_equal(block: &[u8; WIDTH], byte: u8) -> u64 {
        gather(block, |bytes| {
            // SAFETY: x86-64 has SSE2, and registers are all that is touched.
            unsafe { _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed())) }
        })
    }

    #[inline]
    pub(super) fn high_bits(block: &[u8; WIDTH]) -> u64 {
        gather(block, |bytes| bytes)
    }

    /// Gathers the highest bit of each byte that `map` returns.
    #[inline]
    fn gather(block: &[u8; WIDTH], map: impl Fn(__m128i) -> __m128i) -> u64 {
        let (parts, _) = block.as_chunks::<16>();
        parts.iter().rev().fold(0, |mask, part| {
            // SAFETY: x86-64 has SSE2, and a part has the 16 bytes that are
            // loaded, however they are aligned.
            let bits = unsafe { _mm_movemask_epi8(map(_mm_loadu_si128(part.as_ptr().cast()))) };
            mask << 16 | u64::from(bits.cast_unsigned() as u16)
        })
    }
}

/// With 64-bit words, for other processors.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    use super::WIDTH;

    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const LOWS: u64 = u64::from_le_bytes([0x7f; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);

    #[inline]
    pub(super) fn bytes_equal(block: &[u8; WIDTH], byte: u8) -> u64 {
        let wanted = ONES * u64::from(byte);
        gather(block, |word| {
            let zero_where_equal = word ^ wanted;
            // The sum carries into the highest bit of every byte that is not
            // zero and never beyond it.
            !(((zero_where_equal & LOWS) + LOWS) | zero_where_equal)
        })
    }

    #[inline]
    pub(super) fn high_bits(block: &[u8; WIDTH]) -> u64 {
        gather(block, |word| word)
    }

    /// Gathers the highest bit of each byte that `map` returns.
    #[inline]
    fn gather(block: &[u8; WIDTH], map: impl Fn(u64) -> u64) -> u64 {
        let (words, _) = block.as_chunks::<8>();
        words.iter().rev().fold(0, |mask, word| {
            let highs = map(u64::from_le_bytes(*word)) & HIGHS;
            // Moves the eight bits, one a byte, side by side into the top byte.
            let bits = (highs >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            mask << 8 | bits
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slow(block: &[u8; WIDTH], is: impl Fn(u8) -> bool) -> u64 {
        (0..WIDTH).fold(0, |mask, at| mask | u64::from(is(block[at])) << at)
    }

    proptest! {
        #[test]
        fn masks_say_where_bytes_are(
            bytes in prop::collection::vec(
                prop_oneof![Just(0u8), Just(1), Just(b'\t'), Just(b'\n'), Just(b'%'), any::<u8>()],
                WIDTH,
            )
        ) {
            let block: [u8; WIDTH] = bytes.try_into().unwrap();
            for byte in [0, 1, b'\t', b'%', 0x7f, 0x80, 0xff] {
                let expected = slow(&block, |b| b == byte);
                prop_assert_eq!(bytes_equal(&block, byte), expected);
                prop_assert_eq!(words::bytes_equal(&block, byte), expected);
            }
            let expected = slow(&block, |b| !b.is_ascii());
            prop_assert_eq!(high_bits(&block), expected);
            prop_assert_eq!(words::high_bits(&block), expected);
        }
    }

    #[test]
    fn a_block_past_the_end_is_filled_up_with_zeros() {
        assert_eq!(block(b"abc", 1)[..3], *b"bc\0");
        assert_eq!(block(b"abc", 3), [0; WIDTH]);
        assert_eq!(
            (first(0), first(3), first(64), first(99)),
            (0, 7, u64::MAX, u64::MAX)
        );
    }
}
