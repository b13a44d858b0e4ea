//! What goes wrong, and when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The kinds of incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IncidentKind {
    /// One origin answers most requests that reach it with 502, 503 or 504.
    ErrorBurst,
    /// Caches are cold: about one in twelve of the usual hits remains.
    CacheMissStorm,
    /// A few addresses of three hosting networks post to one path, several
    /// times the normal traffic and on top of it.
    BotFlood,
    /// One origin answers, but ten times slower.
    OriginSlow,
    /// No request at all.
    Silence,
}

impl IncidentKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [IncidentKind; 5] = [
        IncidentKind::ErrorBurst,
        IncidentKind::CacheMissStorm,
        IncidentKind::BotFlood,
        IncidentKind::OriginSlow,
        IncidentKind::Silence,
    ];

    /// Returns the name, such as `error-burst`.
    pub const fn name(self) -> &'static str {
        match self {
            IncidentKind::ErrorBurst => "error-burst",
            IncidentKind::CacheMissStorm => "cache-miss-storm",
            IncidentKind::BotFlood => "bot-flood",
            IncidentKind::OriginSlow => "origin-slow",
            IncidentKind::Silence => "silence",
        }
    }
}

impl fmt::Display for IncidentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for IncidentKind {
    type Err = IncidentError;

    fn from_str(text: &str) -> Result<Self, IncidentError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| IncidentError::Kind(text.to_owned()))
    }
}

/// Something that goes wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incident {
    /// What goes wrong.
    pub kind: IncidentKind,
    /// When it starts, from the start of the traffic.
    pub start: Duration,
    /// How long it lasts; its last millisecond is before `start + duration`.
    pub duration: Duration,
}

/// Text that is not an incident.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum IncidentError {
    /// There is no such kind.
    #[error(
        "there is no incident `{0}`; there are error-burst, cache-miss-storm, bot-flood, origin-slow and silence"
    )]
    Kind(String),
    /// The text lacks its start or its duration.
    #[error("`{0}` is not KIND@START+DURATION, such as error-burst@10m+5m or silence@50%+10%")]
    Form(String),
    /// A time is neither a duration nor a percentage.
    #[error("`{0}` is neither a time (90s, 10m, 2h) nor a part of the window (25%)")]
    Time(String),
}

impl Incident {
    /// Returns an incident by its parts.
    pub const fn new(kind: IncidentKind, start: Duration, duration: Duration) -> Self {
        Incident {
            kind,
            start,
            duration,
        }
    }

    /// Reads `KIND@START+DURATION`, each time being `90s`, `10m`, `2h` or a
    /// part of the window such as `25%`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use canopy_traffic::{Incident, IncidentKind};
    /// let incident = Incident::parse("silence@50%+5m", Duration::from_secs(7200))?;
    /// assert_eq!(incident.kind, IncidentKind::Silence);
    /// assert_eq!(incident.start, Duration::from_secs(3600));
    /// assert_eq!(incident.duration, Duration::from_secs(300));
    /// # Ok::<(), canopy_traffic::IncidentError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`IncidentError`], naming the part that cannot be read.
    pub fn parse(text: &str, window: Duration) -> Result<Self, IncidentError> {
        let form = || IncidentError::Form(text.to_owned());
        let (kind, times) = text.split_once('@').ok_or_else(form)?;
        let (start, duration) = times.split_once('+').ok_or_else(form)?;
        Ok(Incident {
            kind: kind.parse()?,
            start: parse_time(start, window)?,
            duration: parse_time(duration, window)?,
        })
    }
}

fn parse_time(text: &str, window: Duration) -> Result<Duration, IncidentError> {
    let error = || IncidentError::Time(text.to_owned());
    let unit = text.chars().next_back().ok_or_else(error)?;
    let number: f64 = text[..text.len() - unit.len_utf8()]
        .parse()
        .map_err(|_| error())?;
    let seconds = match unit {
        's' => number,
        'm' => number * 60.0,
        'h' => number * 3600.0,
        '%' => number / 100.0 * window.as_secs_f64(),
        _ => return Err(error()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_by_its_name() {
        for kind in IncidentKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
    }

    #[test]
    fn errors_name_the_part() {
        let error = |text: &str| {
            Incident::parse(text, Duration::ZERO)
                .unwrap_err()
                .to_string()
        };
        assert!(error("flood@1m+1m").starts_with("there is no incident `flood`"));
        assert!(error("silence@1m").starts_with("`silence@1m` is not KIND@START+DURATION"));
        for time in ["", "1", "xm", "-1s", "5é", "NaNs"] {
            let message = error(&format!("silence@{time}+1m"));
            assert!(
                message.starts_with(&format!("`{time}` is neither")),
                "{message}"
            );
        }
    }
}
