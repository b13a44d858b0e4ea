//! What a run of bytes consists of, and what that makes it look like.

/// How many of each class of bytes a run has, in one number: five counters of
/// twelve bits each, so that counting a byte is one look-up and one addition.
/// Good for runs of fewer than 4,096 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(u64);

/// A run of this many bytes or more is never looked into.
pub(crate) const MAX_LEN: usize = 1 << LANE_BITS;

const LANE_BITS: u32 = 12;
const DIGIT: u64 = 1;
const LOWER: u64 = DIGIT << LANE_BITS;
const UPPER: u64 = LOWER << LANE_BITS;
/// Letters among `a` to `f`, of either case, on top of their own class.
const HEX_LETTER: u64 = UPPER << LANE_BITS;
/// What is not ASCII.
const OTHER: u64 = HEX_LETTER << LANE_BITS;

/// ASCII that is neither letter nor digit. The highest bits say where runs end
/// and are no lanes, so it does not matter what they add up to.
const MARK: u64 = 1 << 62;
/// `/` and `?`, at which segments end.
const END: u64 = 1 << 63;

/// What each byte adds to the counts.
static WEIGHT: [u64; 256] = weights();

const fn weights() -> [u64; 256] {
    let mut weights = [MARK; 256];
    let mut byte = 0;
    while byte < 256 {
        weights[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' => LOWER + HEX_LETTER,
            b'g'..=b'z' => LOWER,
            b'A'..=b'F' => UPPER + HEX_LETTER,
            b'G'..=b'Z' => UPPER,
            b'/' | b'?' => END,
            128.. => OTHER,
            _ => MARK,
        };
        byte += 1;
    }
    weights
}

impl Counts {
    /// Counts the bytes from `start` up to the first `/` or `?`, and returns
    /// where that is.
    #[inline]
    pub(crate) fn of_segment(bytes: &[u8], start: usize) -> (Self, usize) {
        Self::until(END, bytes, start)
    }

    /// Counts the bytes from `start` up to the first mark, and returns where
    /// that is.
    #[inline]
    pub(crate) fn of_token(bytes: &[u8], start: usize) -> (Self, usize) {
        Self::until(MARK, bytes, start)
    }

    /// Counts the bytes from `start` up to the first whose weight has the bit
    /// `stop`.
    #[inline]
    fn until(stop: u64, bytes: &[u8], start: usize) -> (Self, usize) {
        let mut counts = 0_u64;
        let mut end = start;
        // Four at a time: a component pays for each turn of a loop, because
        // the host checks its deadline there.
        while let Some(four) = bytes.get(end..).and_then(<[u8]>::first_chunk::<4>) {
            let [a, b, c, d] = four.map(|byte| WEIGHT[byte as usize]);
            if (a | b | c | d) & stop != 0 {
                break;
            }
            counts = [a, b, c, d]
                .iter()
                .fold(counts, |sum, weight| sum.wrapping_add(*weight));
            end += 4;
        }
        while let Some(&byte) = bytes.get(end) {
            let weight = WEIGHT[byte as usize];
            if weight & stop != 0 {
                break;
            }
            counts = counts.wrapping_add(weight);
            end += 1;
        }
        (Counts(counts), end)
    }

    /// How many digits there are.
    #[inline]
    pub(crate) fn digits(self) -> usize {
        self.lane(DIGIT)
    }

    /// How many lower-case letters there are.
    #[inline]
    pub(crate) fn lower(self) -> usize {
        self.lane(LOWER)
    }

    /// How many upper-case letters there are.
    #[inline]
    pub(crate) fn upper(self) -> usize {
        self.lane(UPPER)
    }

    #[inline]
    fn hex_letters(self) -> usize {
        self.lane(HEX_LETTER)
    }

    #[inline]
    fn lane(self, unit: u64) -> usize {
        (self.0 / unit) as usize % MAX_LEN
    }

    /// Whether `len` bytes that were counted are digits and letters alone.
    #[inline]
    pub(crate) fn is_alphanumeric(self, len: usize) -> bool {
        self.digits() + self.lower() + self.upper() == len
    }

    /// Whether `len` bytes that were counted are hexadecimal.
    #[inline]
    pub(crate) fn is_hex(self, len: usize) -> bool {
        self.digits() + self.hex_letters() == len
    }

    /// Whether a run looks like random base62, or base64 for URLs: all three
    /// classes, changing at least at every other byte on average. Random text
    /// changes at six of ten bytes, words in camel case at four.
    #[inline]
    pub(crate) fn is_scrambled(self, run: &[u8]) -> bool {
        run.len() >= 10
            && self.digits() > 0
            && self.lower() > 0
            && self.upper() > 0
            && self.is_alphanumeric(run.len() - joints(run))
            && 2 * changes(run) >= run.len()
    }

    /// Whether a run looks like a hash or a key: hexadecimal with digits and
    /// letters, or longer with digits and letters taking turns.
    #[inline]
    pub(crate) fn is_hash(self, run: &[u8]) -> bool {
        let len = run.len();
        let digits = self.digits();
        (len >= 7 && digits > 0 && digits < len && self.is_hex(len))
            || (len >= 16 && digits > 1 && self.is_alphanumeric(len) && changes(run) >= 4)
    }
}

/// How many `-` and `_` there are, which base64 for URLs has.
fn joints(run: &[u8]) -> usize {
    run.iter().filter(|byte| is_joint(**byte)).count()
}

fn is_joint(byte: u8) -> bool {
    matches!(byte, b'-' | b'_')
}

/// How often, `-` and `_` aside, another class of bytes begins: digits, lower
/// case, upper case, others.
pub(crate) fn changes(run: &[u8]) -> usize {
    /// The lanes of the classes proper.
    const CLASS: u64 = HEX_LETTER - 1;
    let mut changes = 0;
    let mut last = 0;
    for &byte in run.iter().filter(|byte| !is_joint(**byte)) {
        let class = WEIGHT[byte as usize] & CLASS;
        changes += usize::from(class != last);
        last = class;
    }
    changes
}

/// Whether a byte parts tokens: ASCII, and neither letter nor digit.
pub(crate) fn is_mark(byte: u8) -> bool {
    WEIGHT[byte as usize] & MARK != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_counted_by_itself() {
        let (counts, end) = Counts::of_segment("09azGZ-\u{e4}/x".as_bytes(), 0);
        assert_eq!(end, 9);
        let found = (
            counts.digits(),
            counts.lower(),
            counts.upper(),
            counts.hex_letters(),
        );
        assert_eq!(found, (2, 2, 2, 1));
    }

    #[test]
    fn the_longest_run_is_counted_right() {
        let longest = vec![b'f'; MAX_LEN - 1];
        let (counts, _) = Counts::of_token(&longest, 0);
        assert!(counts.is_hex(longest.len()));
        assert_eq!((counts.digits(), counts.upper()), (0, 0));
    }

    #[test]
    fn changes_are_counted_across_joints() {
        assert_eq!(changes(b"aa-bb_CC1"), 3);
        assert_eq!(changes(b""), 0);
    }
}
