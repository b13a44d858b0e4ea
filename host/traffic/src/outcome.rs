//! How a request is answered: from which cache or origin, with what, how fast.

use crate::clock::Span;
use crate::extras;
use crate::incident::IncidentKind;
use crate::networks::{Line, NETWORKS};
use crate::random::Random;
use crate::request::Request;
use crate::sites::{Answers, Route, SHOP, SITES, Wanted};
use crate::truth::ResultType;

/// The answer to a request.
///
/// Holds always: `first_byte_ms <= taken_ms`; with `origin_ms = (fbl, lbl)`,
/// `fbl <= lbl <= taken_ms` and `fbl <= first_byte_ms`; `origin_ms` only with
/// `origin`; neither for a `Hit`.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// 0 where the viewer left before there was one.
    pub(crate) status: u16,
    /// After the last byte.
    pub(crate) result: ResultType,
    /// Before the first byte.
    pub(crate) response_result: ResultType,
    pub(crate) detailed: &'static str,
    pub(crate) first_byte_ms: u64,
    pub(crate) taken_ms: u64,
    /// The origin asked.
    pub(crate) origin: Option<&'static str>,
    /// Why that origin, or empty.
    pub(crate) reason: &'static str,
    /// The origin's first and last byte, if it answered.
    pub(crate) origin_ms: Option<(u64, u64)>,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    /// Percent-encoded, or empty.
    pub(crate) content_type: &'static str,
    pub(crate) content_len: Option<u64>,
    pub(crate) range: Option<(u64, u64)>,
    /// Media quality confidence score.
    pub(crate) quality: Option<u8>,
    /// The incidents, by their place, that made it what it is: bit 0 is the
    /// first.
    pub(crate) affected_by: u64,
}

/// The incidents at the time of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    /// For each kind, the incidents of it, by their place.
    errors: u64,
    storm: u64,
    flood: u64,
    slow: u64,
    /// The site whose computing origin has errors or is slow.
    pub(crate) site: usize,
}

impl Trouble {
    pub(crate) fn at(spans: &[Span], site: usize, at_ms: u64) -> Self {
        let mut trouble = Trouble {
            site,
            ..Trouble::default()
        };
        for (index, span) in spans.iter().enumerate().take(64) {
            if !span.contains(at_ms) {
                continue;
            }
            let bit = 1 << index;
            match span.kind {
                IncidentKind::ErrorBurst => trouble.errors |= bit,
                IncidentKind::CacheMissStorm => trouble.storm |= bit,
                IncidentKind::BotFlood => trouble.flood |= bit,
                IncidentKind::OriginSlow => trouble.slow |= bit,
                IncidentKind::Silence => {}
            }
        }
        trouble
    }

    pub(crate) const fn is_flood(self) -> bool {
        self.flood != 0
    }
}

/// The part of the requests to a failing origin that fail.
const BURST_SHARE: f64 = 0.7;
/// The part of the usual hits that remain in a storm of misses.
const STORM_HITS: f64 = 1.0 / 12.0;
/// How much slower a slow origin is.
const SLOWDOWN: f64 = 10.0;
/// CloudFront's default wait for an origin's response.
const ORIGIN_TIMEOUT_MS: u64 = 30_000;

/// Decides how a request is answered.
pub(crate) fn decide(
    request: &Request,
    user_agent: &[u8],
    trouble: Trouble,
    random: &mut Random,
) -> Outcome {
    let edge_ms = random.log_normal(3.0, 1.3) as u64;
    let mut outcome = Outcome {
        status: 200,
        result: ResultType::Miss,
        response_result: ResultType::Miss,
        detailed: "",
        first_byte_ms: edge_ms,
        taken_ms: 0,
        origin: None,
        reason: "",
        origin_ms: None,
        bytes_sent: 0,
        bytes_received: extras::head_bytes(request, user_agent) + request.body_bytes,
        content_type: request.served().content_type,
        content_len: None,
        range: None,
        quality: None,
        affected_by: if request.flood { trouble.flood } else { 0 },
    };
    if !answered_by_edge(request, random, &mut outcome) {
        if !hit(request, trouble, random, &mut outcome) {
            ask_origin(request, trouble, random, &mut outcome);
        }
        if outcome.status == 200 {
            shape_success(request, &mut outcome);
        }
    }
    send_body(request, random, &mut outcome);
    if outcome.detailed.is_empty() {
        outcome.detailed = outcome.result.name();
    }
    outcome
}

/// Requests that the edge answers without looking for a copy.
fn answered_by_edge(request: &Request, random: &mut Random, outcome: &mut Outcome) -> bool {
    let bits = random.next();
    let rare = bits % 100_000;
    let (status, result, detailed) = if request.protocol == "http" {
        (301, ResultType::Redirect, "")
    } else if request.flood && bits >> 32 & 0xff < 190 {
        // Blocked by the firewall's rate rule; the others reach the origin.
        (403, ResultType::Error, "Error")
    } else if request.route == Route::Probe && bits >> 32 & 0xff < 120 {
        (403, ResultType::Error, "Error")
    } else {
        match rare {
            0..8 => (503, ResultType::CapacityExceeded, ""),
            8..20 => (503, ResultType::LimitExceeded, ""),
            20..40 if request.site == SHOP => (503, ResultType::LambdaExecutionError, ""),
            40..120 => (403, ResultType::Error, "ClientGeoBlocked"),
            120..150 => (400, ResultType::Error, "InvalidRequest"),
            150..160 => (400, ResultType::Error, "InvalidRequestHeader"),
            _ => return false,
        }
    };
    outcome.status = status;
    outcome.result = result;
    outcome.response_result = result;
    outcome.detailed = detailed;
    outcome.content_type = "text/html";
    outcome.content_len = Some(if status == 301 { 167 } else { 919 });
    true
}

/// Whether the edge has a copy; then it answers.
fn hit(request: &Request, trouble: Trouble, random: &mut Random, outcome: &mut Outcome) -> bool {
    let cacheable = matches!(request.method, "GET" | "HEAD") && request.served().hits > 0.0;
    // The average over all is `hits`, since the mean of `obscurity` is a half.
    let hits = 1.0 - (1.0 - request.served().hits) * (0.4 + 1.2 * request.obscurity);
    let mut hit = random.chance(hits) && cacheable;
    if hit && trouble.storm != 0 && !random.chance(STORM_HITS) {
        hit = false;
        outcome.affected_by |= trouble.storm;
    }
    if hit {
        outcome.result = ResultType::Hit;
        outcome.response_result = ResultType::Hit;
    }
    hit
}

fn ask_origin(request: &Request, trouble: Trouble, random: &mut Random, outcome: &mut Outcome) {
    let served = request.served();
    let site = request.site();
    let bits = random.next();
    let stored = served.stored;
    let median = match served.wanted {
        _ if stored => 38.0,
        Wanted::Page => 140.0,
        Wanted::Media => 55.0,
        _ => 85.0,
    };
    let slow = if !stored && trouble.slow != 0 && request.site == trouble.site {
        SLOWDOWN
    } else {
        1.0
    };
    let first = (random.log_normal(median * slow, 0.9) as u64).max(1);
    let last = first + random.log_normal(6.0, 1.5) as u64;

    if stored && bits & 0xff < 18 {
        // A nearer cache than the origin's has it.
        outcome.detailed = "OriginShieldHit";
        outcome.first_byte_ms += 20 + first / 4;
        return;
    }
    let mut origin = if stored { site.store } else { site.app };
    if stored && request.route == Route::VideoSegment {
        if bits >> 8 & 0xff < 3 {
            origin = "backup.video.example.net";
            outcome.reason = if bits >> 16 & 1 == 0 {
                "Failover:503"
            } else {
                "Failover:404"
            };
        } else if bits >> 8 & 0xff < 30 {
            outcome.quality = Some(69 + (bits >> 16 & 31) as u8);
            if bits >> 24 & 7 == 0 {
                outcome.reason = "MediaQuality";
            }
        }
    }
    outcome.origin = Some(origin);
    let status = if !stored
        && trouble.errors != 0
        && request.site == trouble.site
        && random.chance(BURST_SHARE)
    {
        outcome.affected_by |= trouble.errors;
        [503, 503, 503, 502, 502, 504, 503, 502][(bits >> 32 & 7) as usize]
    } else {
        origin_status(request, bits >> 32)
    };
    outcome.status = status;

    // Who cannot be reached, or does not answer in time, sends no first byte.
    match status {
        504 => {
            outcome.detailed = "OriginCommError";
            outcome.first_byte_ms += ORIGIN_TIMEOUT_MS + (bits >> 40 & 63);
        }
        502 if bits >> 40 & 3 > 0 => {
            outcome.detailed = if bits >> 42 & 15 == 0 {
                "OriginDnsError"
            } else {
                "OriginConnectError"
            };
            outcome.first_byte_ms += 60 + (bits >> 46 & 511);
        }
        _ => {
            if status == 502 {
                outcome.detailed = "OriginError";
            }
            if slow > 1.0 {
                outcome.affected_by |= trouble.slow;
            }
            outcome.origin_ms = Some((first, last));
            outcome.first_byte_ms += first;
        }
    }
    if status >= 400 {
        outcome.result = ResultType::Error;
        outcome.content_type = match request.served().answers {
            Answers::Api if status < 500 => "application/problem+json",
            _ => "text/html",
        };
        let length = if status < 500 {
            240 + (bits >> 48 & 0x3ff)
        } else {
            950 + (bits >> 48 & 63)
        };
        outcome.content_len = Some(length);
    } else if status == 200
        && served.hits > 0.3
        && request.method == "GET"
        && bits >> 24 & 0xff < 26
    {
        outcome.result = ResultType::RefreshHit;
    }
    outcome.response_result = outcome.result;
}

/// Returns the status of a healthy origin.
fn origin_status(request: &Request, bits: u64) -> u16 {
    let roll = bits % 10_000;
    if request.method == "OPTIONS" {
        return 204;
    }
    match request.route {
        Route::Socket => return 101,
        Route::Login if request.flood => return if roll < 9_700 { 401 } else { 429 },
        Route::Login => return if roll < 8_600 { 200 } else { 401 },
        Route::Health | Route::Robots => return 200,
        _ => {}
    }
    match request.served().answers {
        Answers::Page => match roll {
            0..180 => 404,
            180..230 => 302,
            230..270 => 301,
            270..295 => 403,
            295..305 => 500,
            305..311 => 502,
            311..320 => 503,
            320..322 => 504,
            _ => 200,
        },
        Answers::File => match roll {
            0..150 => 404,
            150..190 => 403,
            190..193 => 500,
            193..197 => 503,
            _ => 200,
        },
        Answers::Api => match roll {
            0..190 => 404,
            190..330 => 401,
            330..380 => 403,
            380..440 => 422,
            440..500 => 429,
            500..530 => 500,
            530..536 => 502,
            536..545 => 503,
            545..549 => 504,
            _ => match request.method {
                "POST" if request.route != Route::GraphQl => 201,
                "DELETE" => 204,
                _ => 200,
            },
        },
        Answers::Probe => 404,
    }
}

/// Turns a 200 into what the request's headers make of it.
fn shape_success(request: &Request, outcome: &mut Outcome) {
    if request.conditional {
        outcome.status = 304;
        return;
    }
    let size = request.size;
    // Compressed on the fly, an API's answers have no length.
    let chunked = request.route.served().answers == Answers::Api && request.size > 1_000;
    match request.range {
        Some((first, last)) => {
            outcome.status = 206;
            outcome.range = Some((first, last));
            outcome.content_len = Some(last - first + 1);
        }
        None if chunked => {}
        None => outcome.content_len = Some(size),
    }
}

/// Sends the response: how many bytes, how long it takes, and whether the
/// viewer stays until the end.
fn send_body(request: &Request, random: &mut Random, outcome: &mut Outcome) {
    let bits = random.next();
    let head = 320 + (bits & 0xff);
    let body = match outcome.status {
        101 | 204 | 304 => 0,
        _ if request.method == "HEAD" => 0,
        _ => outcome.content_len.unwrap_or(request.size),
    };
    if matches!(outcome.status, 101 | 204 | 304) {
        outcome.content_len = None;
        outcome.content_type = "-";
    }
    // Bytes a millisecond.
    let speed = match NETWORKS[request.network].operator.line {
        Line::Fixed => 5_000.0,
        Line::Mobile => 1_600.0,
        Line::Hosting => 24_000.0,
    };
    let speed = random.log_normal(speed, 0.8).max(20.0);
    let origin_last = outcome.origin_ms.map_or(0, |(_, last)| last);
    let mut sent = head + body;
    let mut transfer_ms = (body as f64 / speed) as u64;

    let leaves = match request.route {
        Route::Installer | Route::Package | Route::VideoSegment => 0.012,
        _ => 0.002,
    };
    if request.route == Route::Socket {
        // Bytes and time of the whole connection.
        sent += random.log_normal(9_000.0, 2.0) as u64;
        transfer_ms = random.log_normal(95_000.0, 1.6) as u64;
    } else if outcome.status < 400 && !request.flood && random.chance(leaves) {
        outcome.result = ResultType::Error;
        outcome.detailed = "ClientCommError";
        if bits >> 32 & 3 == 0 {
            outcome.status = 0;
            outcome.response_result = ResultType::Error;
            outcome.content_type = "-";
            outcome.content_len = None;
            outcome.range = None;
            sent = 0;
            transfer_ms = 0;
        } else {
            let part = 0.05 + 0.9 * random.unit();
            sent = head + (body as f64 * part) as u64;
            transfer_ms = (transfer_ms as f64 * part) as u64;
        }
    }
    outcome.bytes_sent = sent;
    outcome.taken_ms = (outcome.first_byte_ms + transfer_ms).max(origin_last);
}

/// Returns the origin that fails or is slow in an incident of that kind.
pub(crate) const fn ailing_origin(kind: IncidentKind, site: usize) -> Option<&'static str> {
    match kind {
        IncidentKind::ErrorBurst | IncidentKind::OriginSlow => Some(SITES[site].app),
        _ => None,
    }
}
