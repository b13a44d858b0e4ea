//! What traffic to make.

use std::time::Duration;

use crate::fields::Layout;
use crate::incident::Incident;

/// What a [`Generator`](crate::Generator) makes. Two generators with equal
/// settings write equal bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Which of the 2^64 traffics.
    pub seed: u64,
    /// When the traffic starts, milliseconds since the epoch, UTC.
    pub start_ms: u64,
    /// How dense the traffic is. Default: 100 requests a second.
    pub pace: Pace,
    /// What kind of site it is for. Default: [`Profile::Mixed`].
    pub profile: Profile,
    /// How strongly traffic follows the hour of the day (UTC), 0 to 1: at 0 it
    /// is even, at 1 the night has a third of the evening. Default: 1.
    pub diurnal: f64,
    /// The part of requests that is logged, in percent, over 0 up to 100, as in
    /// a real-time log configuration. Default: 100.
    pub sampling_percent: f64,
    /// What goes wrong and when. Incidents may overlap. Default: nothing.
    pub incidents: Vec<Incident>,
    /// How many lines are damaged, and how. Default: none.
    pub malformed: Malformed,
    /// The form of the lines. Default: real-time, all 71 fields.
    pub format: Format,
}

impl Settings {
    /// Returns the settings of healthy traffic with all defaults.
    pub fn new(seed: u64, start_ms: u64) -> Self {
        Settings {
            seed,
            start_ms,
            pace: Pace::Rate(100.0),
            profile: Profile::Mixed,
            diurnal: 1.0,
            sampling_percent: 100.0,
            incidents: Vec::new(),
            malformed: Malformed::default(),
            format: Format::RealTime(Layout::all()),
        }
    }
}

/// How requests are spread over time. The hour of the day
/// ([`Settings::diurnal`]) and incidents bend either.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Requests a second on an average hour, over 0. Without end.
    Rate(f64),
    /// As even as may be, such that the given number of log lines fills the
    /// window: every one of them is inside it, the last near its end.
    Spread {
        /// Log lines in the window, floods included, sampled-out requests not.
        lines: u64,
        /// Length of the window, from [`Settings::start_ms`].
        window: Duration,
    },
}

/// What kind of site the traffic is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// A company with a shop, an API, video, documentation, downloads and
    /// tenants' sites, each a distribution of its own.
    #[default]
    Mixed,
    /// Mostly pages, images, scripts and styles.
    Shop,
    /// Mostly API calls: little caching, many methods and statuses.
    Api,
    /// Mostly video segments with CMCD data.
    Video,
}

impl Profile {
    /// All profiles with the names they are chosen by.
    pub const ALL: [(&'static str, Profile); 4] = [
        ("mixed", Profile::Mixed),
        ("shop", Profile::Shop),
        ("api", Profile::Api),
        ("video", Profile::Video),
    ];
}

/// The form of the lines. Each ends with a line feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Real-time logs: fields between tabs, no header, which fields a line has
    /// is agreed elsewhere.
    RealTime(Layout),
    /// Standard logs in W3C form, 33 fields between tabs, below the two lines
    /// of [`Generator::write_header`](crate::Generator::write_header).
    Standard,
    /// Standard logs (v2) as JSON, one object a line, all values text.
    Json,
}

/// How many lines are damaged. A damaged line takes the place of a good one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Malformed {
    /// The part of the lines, 0 to 1.
    pub rate: f64,
    /// The kinds to choose from evenly; empty means all.
    pub kinds: Vec<crate::MalformedKind>,
}
