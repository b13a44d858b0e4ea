//! Realistic CloudFront traffic: log lines that look like a real site's, made
//! from a seed, with incidents in them and a ground truth beside them.
//!
//! It is what `canopy generate` and `canopy demo` write, and what tests and
//! benchmarks read. The main type is [`Generator`]: settings in, bytes out, no
//! clock, no files, no threads.
//!
//! ```
//! use std::time::Duration;
//! use canopy_traffic::{Generator, Incident, IncidentKind, Pace, Settings};
//!
//! let mut settings = Settings::new(7, 1_764_000_000_000);
//! settings.pace = Pace::Spread { lines: 2_000, window: Duration::from_secs(3600) };
//! settings.incidents = vec![Incident::new(
//!     IncidentKind::ErrorBurst,
//!     Duration::from_secs(1200),
//!     Duration::from_secs(600),
//! )];
//!
//! let mut generator = Generator::new(settings);
//! let mut log = Vec::new();
//! generator.fill(&mut log, 2_000);
//!
//! let truth = generator.truth();
//! assert_eq!(truth.lines, 2_000);
//! assert_eq!(log.iter().filter(|byte| **byte == b'\n').count(), 2_000);
//! assert!(truth.incidents[0].affected > 0);
//! ```
//!
//! # What is real and what is invented
//!
//! Field order, formats, value sets and encoding are CloudFront's
//! ([real-time logs], [standard logs]). Edge location codes follow its scheme
//! (IATA code and number). Everything that could point at someone is invented
//! and taken from space reserved for such use: viewers' addresses from
//! 100.64.0.0/10 (RFC 6598) and 2001:db8::/32 (RFC 3849), servers' from
//! 198.18.0.0/15 (RFC 2544), autonomous system numbers from 64512-65534
//! (RFC 6996), hosts under `example.com`, `.net` and `.org` (RFC 2606).
//! No public database knows these addresses, so [`geo`] makes ones that do.
//!
//! # Determinism
//!
//! A line depends on the settings and on its number only: no platform's
//! arithmetic library, hash order or clock takes part. The same request is
//! written whatever the format or the selection of fields.
//!
//! [real-time logs]: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/real-time-logs.html
//! [standard logs]: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html

mod generator;
pub mod geo;
mod incident;
mod pacer;
mod settings;
mod truth;

mod extras;
mod fields;
mod malformed;
mod outcome;
mod paths;
mod record;
mod request;

mod agents;
mod mmdb;
mod networks;
mod sites;

mod clock;
mod random;
mod text;

pub use fields::{FIELD_NAMES, JSON_FIELDS, Layout, LayoutError, STANDARD_FIELDS};
pub use generator::Generator;
pub use incident::{Incident, IncidentError, IncidentKind};
pub use malformed::MalformedKind;
pub use pacer::{Pacer, Step};
pub use settings::{Format, Malformed, Pace, Profile, Settings};
pub use truth::{IncidentTruth, ResultType, Truth};
