//! When requests happen: the pace, bent by the hour of the day and by
//! incidents.

use crate::incident::IncidentKind;
use crate::random::unit;
use crate::settings::{Pace, Settings};

/// Traffic of each hour of the day, UTC, against the day's average: a site
/// whose viewers are in Europe first, then America, then Asia.
const HOURLY: [f64; 24] = [
    0.72, 0.62, 0.56, 0.52, 0.50, 0.55, 0.68, 0.85, 1.00, 1.08, 1.12, 1.15, 1.18, 1.15, 1.14, 1.18,
    1.24, 1.32, 1.42, 1.50, 1.48, 1.30, 0.98, 0.76,
];

/// How much traffic a bot flood adds, against the traffic without it.
const FLOOD: f64 = 3.0;

/// The part of the requests during a flood that are the flood's.
pub(crate) const FLOOD_SHARE: f64 = FLOOD / (1.0 + FLOOD);

/// An incident's time, milliseconds since the epoch, end excluded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) kind: IncidentKind,
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
}

impl Span {
    pub(crate) const fn contains(&self, at_ms: u64) -> bool {
        self.start_ms <= at_ms && at_ms < self.end_ms
    }
}

/// Walks through time, request by request.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    start_ms: u64,
    /// Milliseconds from the start; never inside a silence.
    now: f64,
    /// Milliseconds between requests where traffic is the day's average.
    gap: f64,
    diurnal: f64,
    spans: Vec<Span>,
    /// The last millisecond that a request may have.
    last_ms: u64,
}

impl Clock {
    pub(crate) fn new(settings: &Settings) -> Self {
        let spans = settings
            .incidents
            .iter()
            .map(|incident| {
                let start = settings
                    .start_ms
                    .saturating_add(incident.start.as_millis() as u64);
                Span {
                    kind: incident.kind,
                    start_ms: start,
                    end_ms: start.saturating_add(incident.duration.as_millis() as u64),
                }
            })
            .collect();
        let mut clock = Clock {
            start_ms: settings.start_ms,
            now: 0.0,
            gap: 0.0,
            diurnal: settings.diurnal.clamp(0.0, 1.0),
            spans,
            last_ms: u64::MAX,
        };
        clock.gap = match settings.pace {
            Pace::Rate(rate) => 1000.0 / rate.max(1e-6),
            Pace::Spread { lines, window } => {
                let window_ms = (window.as_millis() as u64).max(1);
                clock.last_ms = clock.start_ms.saturating_add(window_ms - 1);
                let sampling = sampling(settings);
                clock.traffic_in(window_ms) * sampling / lines.max(1) as f64
            }
        };
        clock.skip_silence();
        clock
    }

    pub(crate) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Returns the time of the request at hand and goes on to the next; `bits`
    /// place it at random between the two. Times never decrease.
    pub(crate) fn tick(&mut self, bits: u64) -> u64 {
        let gap = self.gap / self.factor(self.at(self.now)).max(0.01);
        let mut at = self.at(self.now + gap * unit(bits));
        if self.silence_at(at).is_some() {
            at = self.at(self.now);
        }
        self.now += gap;
        self.skip_silence();
        at.min(self.last_ms)
    }

    fn at(&self, now: f64) -> u64 {
        self.start_ms.saturating_add(now as u64)
    }

    fn silence_at(&self, at_ms: u64) -> Option<&Span> {
        self.spans
            .iter()
            .find(|span| span.kind == IncidentKind::Silence && span.contains(at_ms))
    }

    fn skip_silence(&mut self) {
        // Silences may touch or overlap, so one skip may land in the next.
        while let Some(span) = self.silence_at(self.at(self.now)) {
            if span.end_ms == u64::MAX {
                break;
            }
            self.now = (span.end_ms - self.start_ms) as f64;
        }
    }

    /// Returns the traffic at a time against the day's average.
    fn factor(&self, at_ms: u64) -> f64 {
        let minutes = at_ms / 60_000;
        let hour = (minutes / 60 % 24) as usize;
        let part = (minutes % 60) as f64 / 60.0;
        let hourly = HOURLY[hour] * (1.0 - part) + HOURLY[(hour + 1) % 24] * part;
        let mut factor = 1.0 + self.diurnal * (hourly - 1.0);
        for span in &self.spans {
            if span.kind == IncidentKind::BotFlood && span.contains(at_ms) {
                factor *= 1.0 + FLOOD;
            }
        }
        factor
    }

    /// Returns the length of `window_ms` milliseconds from the start, weighted
    /// by their traffic.
    fn traffic_in(&self, window_ms: u64) -> f64 {
        // Fine enough that an incident of a thousandth of the window counts.
        const STEPS: u64 = 50_000;
        let step = window_ms as f64 / STEPS as f64;
        let mut sum = 0.0;
        for index in 0..STEPS {
            let at = self.at((index as f64 + 0.5) * step);
            if self.silence_at(at).is_none() {
                sum += self.factor(at);
            }
        }
        sum * step
    }
}

/// Returns the part of the requests that is logged, over 0 up to 1.
pub(crate) fn sampling(settings: &Settings) -> f64 {
    (settings.sampling_percent / 100.0).clamp(1e-6, 1.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::incident::Incident;

    const NOON: u64 = 1_764_072_000_000;
    const HOUR: u64 = 3_600_000;

    fn ticks(settings: &Settings, count: u64) -> Vec<u64> {
        let mut clock = Clock::new(settings);
        (0..count)
            .map(|index| clock.tick(crate::random::mix2(settings.seed, index)))
            .collect()
    }

    #[test]
    fn the_hours_average_to_one() {
        assert!((HOURLY.iter().sum::<f64>() / 24.0 - 1.0).abs() < 0.001);
    }

    #[test]
    fn a_spread_fills_its_window() {
        let mut settings = Settings::new(1, NOON);
        settings.pace = Pace::Spread {
            lines: 10_000,
            window: Duration::from_millis(24 * HOUR),
        };
        settings.incidents = vec![
            Incident::new(
                IncidentKind::BotFlood,
                Duration::from_millis(HOUR),
                Duration::from_millis(HOUR),
            ),
            Incident::new(
                IncidentKind::Silence,
                Duration::from_millis(5 * HOUR),
                Duration::from_millis(HOUR),
            ),
        ];
        let times = ticks(&settings, 10_000);
        assert!(times.is_sorted());
        let (first, last) = (times[0], times[9_999]);
        assert!((NOON..NOON + HOUR / 100).contains(&first));
        assert!(last < NOON + 24 * HOUR && last > NOON + 24 * HOUR - HOUR / 10);
        let in_hour = |hour: u64| {
            let from = NOON + hour * HOUR;
            times
                .iter()
                .filter(|at| (from..from + HOUR).contains(at))
                .count()
        };
        assert_eq!(in_hour(5), 0, "silence");
        assert!(in_hour(1) > 3 * in_hour(0), "flood");
        assert!(in_hour(16) * 2 < in_hour(7), "night and evening");
    }

    #[test]
    fn a_rate_holds_on_average() {
        let mut settings = Settings::new(1, NOON);
        settings.pace = Pace::Rate(50.0);
        settings.diurnal = 0.0;
        let times = ticks(&settings, 5_001);
        let seconds = (times[5_000] - NOON) as f64 / 1000.0;
        assert!((99.9..100.1).contains(&seconds), "{seconds}");
    }
}
