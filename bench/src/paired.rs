//! Measuring two things in turns.
//!
//! Machines have moods: what is measured a minute later is measured on
//! another machine. So the two sides of a ratio take turns, iteration by
//! iteration, within one Criterion benchmark. Criterion is told the time of
//! the subject and keeps its own account of it; the ratio is the median over
//! Criterion's samples of the subject's time by the base's.
//!
//! Time is CPU time of the thread: what another process takes of a busy
//! machine is not counted. Everything measured here runs on one thread.

use std::cell::RefCell;
use std::time::Duration;

use criterion::{Criterion, Throughput};

use crate::{Row, keep};

/// One side of a comparison.
pub trait Side {
    /// Does the work once and returns how long it took. What has to be made
    /// ready before and dropped after is outside that time.
    fn once(&mut self) -> Duration;
}

/// Work on a copy of an input that is made, and with the result dropped,
/// outside the time.
pub struct Work<I, F> {
    input: I,
    work: F,
}

/// Returns a side that clones `input` and then takes the time of `work` on it.
pub fn work<I: Clone, R>(input: I, work: impl FnMut(I) -> R) -> Work<I, impl FnMut(I) -> R> {
    Work { input, work }
}

impl<I: Clone, R, F: FnMut(I) -> R> Side for Work<I, F> {
    fn once(&mut self) -> Duration {
        let input = std::hint::black_box(self.input.clone());
        let start = cpu_time();
        let result = (self.work)(input);
        let elapsed = cpu_time() - start;
        drop(std::hint::black_box(result));
        elapsed
    }
}

/// Returns the CPU time that this thread has had.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec of ours.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "every Linux and macOS has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The subject's name: the row's.
    pub name: &'a str,
    /// The base's name.
    pub base: &'a str,
    /// Records that either works on.
    pub records: usize,
    /// Bytes of input, where a throughput says something.
    pub bytes: Option<usize>,
}

/// Measures `subject` and `base` in turns under Criterion and keeps the row.
///
/// # Panics
///
/// Where the row cannot be written.
pub fn measure(
    criterion: &mut Criterion,
    pair: Pair<'_>,
    base: &mut dyn Side,
    subject: &mut dyn Side,
) {
    // (base, subject), nanoseconds an iteration, by sample.
    let samples: RefCell<Vec<(f64, f64)>> = RefCell::default();
    let mut group = criterion.benchmark_group(pair.name);
    group.throughput(Throughput::Elements(pair.records as u64));
    group.bench_function(format!("beside {}", pair.base), |bencher| {
        bencher.iter_custom(|iterations| {
            let mut times = (Duration::ZERO, Duration::ZERO);
            for _ in 0..iterations {
                times.0 += base.once();
                times.1 += subject.once();
            }
            let each = |time: Duration| time.as_nanos() as f64 / iterations as f64;
            samples.borrow_mut().push((each(times.0), each(times.1)));
            times.1
        });
    });
    group.finish();
    let samples = samples.into_inner();
    if samples.is_empty() {
        // Left out by a filter on the command line.
        return;
    }
    let of = |pick: fn(&(f64, f64)) -> f64| median(samples.iter().map(pick).collect());
    let (base_ns, subject_ns) = (of(|sample| sample.0), of(|sample| sample.1));
    let each = pair.records as f64;
    let row = Row {
        name: pair.name.to_owned(),
        ns_per_record: subject_ns / each,
        records: pair.records as u64,
        ratio: of(|sample| sample.1 / sample.0),
        ratio_to: pair.base.to_owned(),
    };
    let mut note = format!("{} {:.1} ns", pair.base, base_ns / each);
    if let Some(bytes) = pair.bytes {
        // Bytes by nanoseconds are GB by seconds.
        note.push_str(&format!(
            ", {:.0} MB/s",
            bytes as f64 / subject_ns * 1_000.0
        ));
    }
    keep(&row, &note).expect("the row can be written");
    println!(
        "{}: {:.1} ns/record, {:.2} x {} ({note})\n",
        row.name, row.ns_per_record, row.ratio, row.ratio_to
    );
}

/// Returns the median; 0 of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match (values.len() / 2, values.len() % 2) {
        (0, 0) => 0.0,
        (middle, 0) => (values[middle - 1] + values[middle]) / 2.0,
        (middle, _) => values[middle],
    }
}

/// Returns the Criterion that all benchmarks use: short, because ratios of
/// paired samples settle soon.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(4))
        .sample_size(50)
        .configure_from_args()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
