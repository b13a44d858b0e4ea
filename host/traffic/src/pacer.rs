//! Writing in step with the time of day, without owning a clock.

use std::time::Duration;

/// Tells when lines are due: a map from time passed to the traffic's time.
///
/// It holds no clock and never sleeps; the caller does both:
///
/// ```
/// # use std::time::Duration;
/// # use canopy_traffic::{Generator, Pace, Pacer, Settings, Step};
/// let mut settings = Settings::new(7, 1_764_000_000_000);
/// settings.pace = Pace::Rate(1000.0);
/// settings.diurnal = 0.0;
/// let mut pacer = Pacer::new(settings.start_ms).for_duration(Duration::from_secs(2));
/// let mut generator = Generator::new(settings);
/// let mut out = Vec::new();
/// let mut passed = Duration::ZERO; // Instant::elapsed() in real life
/// let lines = loop {
///     match pacer.step(passed, generator.next_ms()) {
///         Step::Write { until_ms } => drop(generator.fill_until(&mut out, until_ms, 10_000)),
///         Step::Wait(wait) => passed += wait, // thread::sleep(wait)
///         Step::Done => break generator.truth().lines,
///     }
/// };
/// assert!((1990..=2010).contains(&lines));
/// ```
///
/// Because it follows the traffic's own times, floods, silences and the hour of
/// the day come out as they are, and a writer that was held up catches up.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    start_ms: u64,
    speed: f64,
    duration: Option<Duration>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write all lines before this time, milliseconds since the epoch.
    Write {
        /// Lines at this time or later are not due.
        until_ms: u64,
    },
    /// Nothing is due for that long.
    Wait(Duration),
    /// All lines of the duration are written.
    Done,
}

impl Pacer {
    /// The longest wait that [`Pacer::step`] returns, so that a caller in a
    /// silence still looks up to see whether it shall stop.
    pub const MAX_WAIT: Duration = Duration::from_millis(100);

    /// Returns the pacer of traffic that starts at `start_ms`, milliseconds
    /// since the epoch, when no time has passed; without end.
    pub const fn new(start_ms: u64) -> Self {
        Pacer {
            start_ms,
            speed: 1.0,
            duration: None,
        }
    }

    /// Ends after that much time has passed.
    #[must_use]
    pub const fn for_duration(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }

    /// Makes the traffic's time run `speed` times as fast, over 0.
    #[must_use]
    pub const fn with_speed(mut self, speed: f64) -> Self {
        self.speed = speed.max(1e-6);
        self
    }

    /// Returns what to do when `passed` has passed since the start and the next
    /// line's time is `next_ms`.
    pub fn step(&self, passed: Duration, next_ms: u64) -> Step {
        let end = self.duration.unwrap_or(Duration::MAX);
        let now = passed.min(end);
        let traffic_ms = now.as_secs_f64() * 1000.0 * self.speed;
        let until_ms = self.start_ms.saturating_add(traffic_ms as u64);
        if next_ms < until_ms {
            return Step::Write { until_ms };
        }
        if passed >= end {
            return Step::Done;
        }
        // One millisecond more, since a line at `until_ms` is not due yet.
        let missing_ms = (next_ms - until_ms).saturating_add(1) as f64 / self.speed;
        let due = Duration::try_from_secs_f64(missing_ms / 1000.0).unwrap_or(Self::MAX_WAIT);
        Step::Wait(
            due.min(Self::MAX_WAIT)
                .min(end - passed)
                .max(Duration::from_micros(100)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_line_is_due_once_its_time_has_passed() {
        let pacer = Pacer::new(1_000);
        assert_eq!(pacer.step(ms(0), 1_040), Step::Wait(ms(41)));
        assert_eq!(pacer.step(ms(41), 1_040), Step::Write { until_ms: 1_041 });
        assert_eq!(pacer.step(ms(41), 9_000), Step::Wait(Pacer::MAX_WAIT));
    }

    #[test]
    fn what_was_due_before_the_end_is_written_after_a_hold_up() {
        let pacer = Pacer::new(1_000).for_duration(ms(500));
        assert_eq!(
            pacer.step(ms(9_000), 1_200),
            Step::Write { until_ms: 1_500 }
        );
        assert_eq!(pacer.step(ms(9_000), 1_500), Step::Done);
        assert_eq!(pacer.step(ms(499), 1_500), Step::Wait(ms(1)));
    }

    #[test]
    fn speed_multiplies_the_traffics_time() {
        let pacer = Pacer::new(0).with_speed(60.0);
        assert_eq!(pacer.step(ms(1_000), 0), Step::Write { until_ms: 60_000 });
        assert_eq!(pacer.step(ms(1_000), 60_599), Step::Wait(ms(10)));
    }
}
