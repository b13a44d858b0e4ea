//! Random numbers that are the same on every platform and for ever.
//!
//! SplitMix64, and arithmetic that uses only IEEE additions and
//! multiplications: `f64::exp` and friends come from the platform's library and
//! differ in the last bit, which would change a line here and there.

/// SplitMix64's output function: a bijection on 64 bits that scatters them.
pub(crate) const fn mix(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The golden ratio in 64 bits, SplitMix64's step.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes two numbers to one.
pub(crate) const fn mix2(a: u64, b: u64) -> u64 {
    mix(mix(a.wrapping_add(STEP)) ^ b)
}

/// A stream of random numbers, cheap enough to start anew for every line.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Random { state: seed }
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// Returns a number under `bound`.
    pub(crate) const fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * bound as u64) >> 32) as u32
    }

    /// Returns one of `items`, which must not be empty.
    pub(crate) const fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u32) as usize]
    }

    /// Returns a number in 0..1.
    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.next())
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Returns a log-normal value with that median; `sigma` is in powers of
    /// two, so 1.0 means that 68% lie between half and twice the median.
    pub(crate) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * exp2(sigma * normal(self.next()))
    }

    /// Returns a rank under `2^bits`, popular ones first (Zipf with exponent
    /// 1), and where it stands between the first (0) and the last (1).
    pub(crate) fn zipf(&mut self, bits: f64) -> (u64, f64) {
        let place = self.unit();
        ((exp2(place * bits) - 1.0) as u64, place)
    }
}

/// Turns 64 random bits into a number in 0..1.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Turns 64 random bits into a normal value, by the sum of four uniform ones:
/// near enough to the bell, and without tails beyond 3.5.
pub(crate) fn normal(bits: u64) -> f64 {
    let sum = (bits & 0xffff) + ((bits >> 16) & 0xffff) + ((bits >> 32) & 0xffff) + (bits >> 48);
    // The sum of four uniform values has mean 2 and variance 1/3.
    (sum as f64 * (1.0 / 65536.0) - 2.0) * 1.732_050_807_568_877_2
}

/// Returns 2 to the power `x`, for -1000 < x < 1000, to 7 digits.
pub(crate) fn exp2(x: f64) -> f64 {
    let whole = x.floor();
    let t = x - whole;
    // Taylor series of 2^t around 0, to the 7th power.
    let fraction = 1.0
        + t * (std::f64::consts::LN_2
            + t * (0.240_226_506_959_100_7
                + t * (0.055_504_108_664_821_58
                    + t * (0.009_618_129_107_628_477
                        + t * (0.001_333_355_814_642_844
                            + t * (0.000_154_035_303_933_816
                                + t * 0.000_015_252_733_804_059_8))))));
    fraction * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

/// A choice by weight in one step: a table of 4,096 slots, so no weight counts
/// under 1/4096 of the whole except that every positive one gets a slot.
#[derive(Clone, Debug)]
pub(crate) struct Wheel {
    slots: Vec<u8>,
}

const SLOTS: usize = 4096;

impl Wheel {
    /// Makes a wheel over at most 255 weights, at least one of them positive.
    pub(crate) fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        let weights: Vec<u32> = weights.into_iter().collect();
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        assert!(
            weights.len() < 256 && total > 0,
            "weights are our own tables"
        );
        let mut slots = Vec::with_capacity(SLOTS + weights.len());
        let mut sum = 0u64;
        for (index, weight) in weights.iter().enumerate() {
            let from = (sum * SLOTS as u64 / total) as usize;
            sum += u64::from(*weight);
            let to = (sum * SLOTS as u64 / total) as usize;
            let count = if *weight == 0 { 0 } else { (to - from).max(1) };
            slots.extend(std::iter::repeat_n(index as u8, count));
        }
        Wheel { slots }
    }

    pub(crate) fn pick(&self, bits: u64) -> usize {
        let slot = ((bits >> 32) * self.slots.len() as u64) >> 32;
        usize::from(self.slots[slot as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp2_is_near_the_platforms() {
        for step in -2000..2000 {
            let x = f64::from(step) / 100.0;
            let error = (exp2(x) / x.exp2() - 1.0).abs();
            assert!(error < 2e-6, "2^{x} is off by {error}");
        }
    }

    #[test]
    fn a_log_normal_has_its_median_and_spread() {
        let mut random = Random::new(1);
        let mut values: Vec<f64> = (0..20_000).map(|_| random.log_normal(100.0, 1.0)).collect();
        values.sort_by(f64::total_cmp);
        assert!(
            (95.0..105.0).contains(&values[10_000]),
            "{}",
            values[10_000]
        );
        let within = values.iter().filter(|v| (50.0..200.0).contains(*v)).count();
        assert!((13_000..14_400).contains(&within), "{within}");
    }

    #[test]
    fn zipf_prefers_the_first() {
        let mut random = Random::new(1);
        let ranks: Vec<u64> = (0..10_000).map(|_| random.zipf(16.0).0).collect();
        assert!(ranks.iter().all(|rank| *rank < 65_536));
        let first = ranks.iter().filter(|rank| **rank == 0).count();
        assert!((500..750).contains(&first), "1/16 are the first: {first}");
    }

    #[test]
    fn a_wheel_gives_every_weight_its_share() {
        let wheel = Wheel::new([1, 0, 30_000, 10_000]);
        let mut random = Random::new(1);
        let mut counts = [0; 4];
        for _ in 0..40_000 {
            counts[wheel.pick(random.next())] += 1;
        }
        assert!(counts[0] > 0 && counts[1] == 0, "{counts:?}");
        assert!((29_000..31_000).contains(&counts[2]), "{counts:?}");
    }
}
