//! What was written, counted while writing: what a query over the log must find.

use crate::incident::IncidentKind;
use crate::malformed::MalformedKind;
use crate::networks::NETWORKS;
use crate::outcome::Outcome;
use crate::request::Request;
use crate::sites::SITES;

/// The values of `x-edge-result-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResultType {
    /// Served from the edge's cache.
    Hit,
    /// In the edge's cache but expired; the origin confirmed it.
    RefreshHit,
    /// Not in the edge's cache.
    Miss,
    /// A CloudFront quota was reached.
    LimitExceeded,
    /// The edge was too busy.
    CapacityExceeded,
    /// A status of 4xx or 5xx, or a viewer that left early.
    Error,
    /// Redirected from HTTP to HTTPS by the edge.
    Redirect,
    /// A Lambda@Edge function failed.
    LambdaExecutionError,
}

impl ResultType {
    /// All types, in the order of [`Truth::by_result_type`].
    pub const ALL: [ResultType; 8] = [
        ResultType::Hit,
        ResultType::RefreshHit,
        ResultType::Miss,
        ResultType::LimitExceeded,
        ResultType::CapacityExceeded,
        ResultType::Error,
        ResultType::Redirect,
        ResultType::LambdaExecutionError,
    ];

    /// Returns the value in the log.
    pub const fn name(self) -> &'static str {
        match self {
            ResultType::Hit => "Hit",
            ResultType::RefreshHit => "RefreshHit",
            ResultType::Miss => "Miss",
            ResultType::LimitExceeded => "LimitExceeded",
            ResultType::CapacityExceeded => "CapacityExceeded",
            ResultType::Error => "Error",
            ResultType::Redirect => "Redirect",
            ResultType::LambdaExecutionError => "LambdaExecutionError",
        }
    }
}

/// Counts of everything written so far.
///
/// `lines` = good lines + malformed lines. All counts other than `lines`,
/// `bytes_written` and the malformed ones are of good lines alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Truth {
    /// Lines written, malformed ones included, header lines not.
    pub lines: u64,
    /// Bytes of those lines, line feeds included.
    pub bytes_written: u64,
    /// Requests the lines were sampled from; equals `lines` without sampling.
    pub requests: u64,
    /// Malformed lines by kind, in the order of [`MalformedKind::ALL`].
    pub malformed_by_kind: [u64; MalformedKind::ALL.len()],
    /// Time of the first good line, milliseconds since the epoch.
    pub first_ms: Option<u64>,
    /// Time of the last good line, milliseconds since the epoch.
    pub last_ms: Option<u64>,
    /// Lines by status / 100; index 0 is status `000`.
    pub by_status_class: [u64; 6],
    /// Lines by `x-edge-result-type`, in the order of [`ResultType::ALL`].
    pub by_result_type: [u64; ResultType::ALL.len()],
    /// Lines whose detailed result type is `OriginShieldHit` (their result type
    /// is `Miss`).
    pub origin_shield_hits: u64,
    /// Lines with an `r-host`: an origin was asked.
    pub origin_requests: u64,
    /// Lines with an `origin-fbl`: an origin answered.
    pub origin_answers: u64,
    /// Sum of `sc-bytes`.
    pub bytes_sent: u64,
    /// Sum of `cs-bytes`.
    pub bytes_received: u64,
    /// Lines from IPv6 viewers.
    pub ipv6: u64,
    /// Lines with CMCD data.
    pub cmcd: u64,
    /// Lines by distribution domain (`x-host-header` of real-time logs), those
    /// with none left out.
    pub by_distribution: Vec<(&'static str, u64)>,
    /// Lines by country, those with none left out.
    pub by_country: Vec<(&'static str, u64)>,
    /// One entry for each of the settings' incidents, in their order.
    pub incidents: Vec<IncidentTruth>,
}

/// What an incident did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncidentTruth {
    /// What went wrong.
    pub kind: IncidentKind,
    /// Its first millisecond since the epoch.
    pub start_ms: u64,
    /// The first millisecond since the epoch after it.
    pub end_ms: u64,
    /// The origin (`r-host`) that failed or was slow.
    pub origin: Option<&'static str>,
    /// The viewers' host that was flooded.
    pub host: Option<&'static str>,
    /// The path that was flooded.
    pub path: Option<&'static str>,
    /// The autonomous systems the flood came from.
    pub asns: Vec<u32>,
    /// Good lines whose time is in the incident, affected or not.
    pub lines: u64,
    /// Of these, the lines it made what they are: the origin's 5xx answers (all
    /// but the few it gives anyway), the hits that became misses, the flood's
    /// requests, the slow answers. 0 for a silence, whose `lines` is 0 too, and
    /// for any but the first 64 incidents.
    pub affected: u64,
}

impl Truth {
    pub(crate) fn new(incidents: Vec<IncidentTruth>) -> Self {
        Truth {
            lines: 0,
            bytes_written: 0,
            requests: 0,
            malformed_by_kind: [0; MalformedKind::ALL.len()],
            first_ms: None,
            last_ms: None,
            by_status_class: [0; 6],
            by_result_type: [0; ResultType::ALL.len()],
            origin_shield_hits: 0,
            origin_requests: 0,
            origin_answers: 0,
            bytes_sent: 0,
            bytes_received: 0,
            ipv6: 0,
            cmcd: 0,
            by_distribution: SITES.iter().map(|site| (site.domain, 0)).collect(),
            by_country: NETWORKS
                .iter()
                .map(|network| (network.country, 0))
                .collect(),
            incidents,
        }
    }

    /// Returns how many lines are malformed.
    pub fn malformed(&self) -> u64 {
        self.malformed_by_kind.iter().sum()
    }

    /// Returns how many lines are not malformed.
    pub fn good_lines(&self) -> u64 {
        self.lines - self.malformed()
    }

    /// Returns how many lines have this result type.
    pub fn result(&self, result: ResultType) -> u64 {
        self.by_result_type[result as usize]
    }

    /// Returns the part of requests served from a cache: `Hit`, `RefreshHit`
    /// and Origin Shield's hits, of all but redirects and exceeded limits; 0
    /// where there is none.
    pub fn hit_ratio(&self) -> f64 {
        let hits = self.result(ResultType::Hit)
            + self.result(ResultType::RefreshHit)
            + self.origin_shield_hits;
        let others = self.result(ResultType::Redirect)
            + self.result(ResultType::LimitExceeded)
            + self.result(ResultType::CapacityExceeded);
        hits as f64 / (self.good_lines() - others).max(1) as f64
    }

    /// Counts a good line. `by_distribution` and `by_country` are kept by site
    /// and by network until [`Truth::summed`].
    pub(crate) fn count(&mut self, request: &Request, outcome: &Outcome) {
        self.first_ms.get_or_insert(request.at_ms);
        self.last_ms = Some(request.at_ms);
        self.by_status_class[usize::from(outcome.status / 100).min(5)] += 1;
        self.by_result_type[outcome.result as usize] += 1;
        self.origin_shield_hits += u64::from(outcome.detailed == "OriginShieldHit");
        self.origin_requests += u64::from(outcome.origin.is_some());
        self.origin_answers += u64::from(outcome.origin_ms.is_some());
        self.bytes_sent += outcome.bytes_sent;
        self.bytes_received += outcome.bytes_received;
        self.ipv6 += u64::from(request.ipv6);
        self.cmcd += u64::from(request.cmcd.is_some());
        self.by_distribution[request.site].1 += 1;
        self.by_country[request.network].1 += 1;
        for (index, incident) in self.incidents.iter_mut().enumerate() {
            if incident.start_ms <= request.at_ms && request.at_ms < incident.end_ms {
                incident.lines += 1;
                incident.affected += outcome.affected_by.unbounded_shr(index as u32) & 1;
            }
        }
    }

    /// Returns the counts with one entry for each distribution and country.
    pub(crate) fn summed(&self) -> Truth {
        let mut truth = self.clone();
        truth.by_distribution.retain(|entry| entry.1 > 0);
        let mut countries: Vec<(&'static str, u64)> = Vec::new();
        for &(country, lines) in self.by_country.iter().filter(|entry| entry.1 > 0) {
            match countries.iter_mut().find(|entry| entry.0 == country) {
                Some(entry) => entry.1 += lines,
                None => countries.push((country, lines)),
            }
        }
        truth.by_country = countries;
        truth
    }
}
