//! What a request carries besides its path: referrer, cookies, headers, CMCD.

use crate::agents::AgentKind;
use crate::networks::NETWORKS;
use crate::random::{Random, mix, mix2};
use crate::request::Request;
use crate::sites::{self, Route, Wanted};
use crate::text::{decoded_len, push, push_hex, push_number, push_uuid};

/// CloudFront cuts cookies and headers at this many bytes, before encoding.
pub(crate) const LIMIT_BYTES: usize = 800;

/// A request header. The value is made when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    Host,
    UserAgent,
    Accept,
    AcceptEncoding,
    AcceptLanguage,
    Referer,
    Cookie,
    Connection,
    SecFetchSite,
    SecFetchMode,
    SecFetchDest,
    Upgrade,
    IfNoneMatch,
    Range,
    Authorization,
    ApiKey,
    ContentType,
    ContentLength,
    Origin,
    Forwarded,
    CmcdSession,
}

impl Header {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Header::Host => "Host",
            Header::UserAgent => "User-Agent",
            Header::Accept => "Accept",
            Header::AcceptEncoding => "Accept-Encoding",
            Header::AcceptLanguage => "Accept-Language",
            Header::Referer => "Referer",
            Header::Cookie => "Cookie",
            Header::Connection => "Connection",
            Header::SecFetchSite => "Sec-Fetch-Site",
            Header::SecFetchMode => "Sec-Fetch-Mode",
            Header::SecFetchDest => "Sec-Fetch-Dest",
            Header::Upgrade => "Upgrade-Insecure-Requests",
            Header::IfNoneMatch => "If-None-Match",
            Header::Range => "Range",
            Header::Authorization => "Authorization",
            Header::ApiKey => "X-Api-Key",
            Header::ContentType => "Content-Type",
            Header::ContentLength => "Content-Length",
            Header::Origin => "Origin",
            Header::Forwarded => "X-Forwarded-For",
            Header::CmcdSession => "CMCD-Session",
        }
    }
}

/// The headers of a request, in the order sent.
#[derive(Debug)]
pub(crate) struct HeaderList {
    headers: [Header; 21],
    count: usize,
}

impl HeaderList {
    pub(crate) const fn new() -> Self {
        HeaderList {
            headers: [Header::Host; 21],
            count: 0,
        }
    }

    fn push(&mut self, header: Header) {
        self.headers[self.count] = header;
        self.count += 1;
    }

    pub(crate) fn as_slice(&self) -> &[Header] {
        &self.headers[..self.count]
    }
}

/// Draws referrer, cookies and headers, once method and path are known.
pub(crate) fn draw(random: &mut Random, request: &mut Request) {
    let bits = random.next();
    draw_referer(bits, request);
    draw_cookie(bits >> 16, request);
    list_headers(bits >> 32, request);
}

fn draw_referer(bits: u64, request: &mut Request) {
    request.referer.clear();
    if !request.is_browser() || request.flood {
        return;
    }
    let roll = bits % 100;
    let out = &mut request.referer;
    match request.route.served().wanted {
        Wanted::Page => match roll {
            0..42 => {
                push(out, "https://");
                push(out, request.host);
                push(out, if roll < 20 { "/" } else { "/c/kitchen/kettle" });
            }
            42..62 => push(out, "https://www.google.com/"),
            62..68 => push(out, "https://news.example.org/2026/deals?ref=%257B1%257D"),
            _ => {}
        },
        Wanted::Media | Wanted::File if roll < 60 => push(out, "https://www.example.net/"),
        Wanted::Media | Wanted::File => {}
        Wanted::Data if request.site == sites::API => push(out, "https://shop.example.com/"),
        Wanted::Data | Wanted::Image | Wanted::Script | Wanted::Style => {
            push(out, "https://");
            push(out, request.host);
            out.push(b'/');
        }
    }
}

fn draw_cookie(bits: u64, request: &mut Request) {
    request.cookie.clear();
    let wanted = request.served().wanted;
    let share = match wanted {
        Wanted::Page => 220,
        Wanted::Data => 150,
        Wanted::Style | Wanted::Script | Wanted::Image => 30,
        Wanted::Media | Wanted::File => 0,
    };
    if !request.is_browser() || bits & 0xff >= share {
        return;
    }
    let viewer = request.viewer;
    let out = &mut request.cookie;
    push(out, "session_id=");
    push_hex(out, mix(viewer ^ 1), 16);
    push_hex(out, mix(viewer ^ 2), 16);
    if wanted == Wanted::Page {
        push(out, ";%20_ga=GA1.2.");
        push_number(out, mix(viewer) % 1_000_000_000);
        out.push(b'.');
        push_number(out, 1_700_000_000 + viewer % 60_000_000);
        if viewer >> 52 & 3 == 0 {
            push(out, ";%20prefs=%257B%2522lang%2522:%2522en%2522%257D");
        }
    }
    if viewer >> 54 & 31 == 0 {
        // A much tracked viewer: longer than CloudFront logs.
        for tracker in 0..24 {
            push(out, ";%20_trk");
            push_number(out, tracker);
            out.push(b'=');
            push_hex(out, mix2(viewer, tracker), 16);
            push_hex(out, mix2(viewer, tracker + 100), 10);
        }
    }
}

/// Returns how much of encoded text decodes to at most [`LIMIT_BYTES`] bytes.
pub(crate) fn within_limit(encoded: &[u8]) -> usize {
    if encoded.len() <= LIMIT_BYTES {
        return encoded.len();
    }
    let (mut at, mut decoded) = (0, 0);
    while at < encoded.len() && decoded < LIMIT_BYTES {
        at += if encoded[at] == b'%' { 3 } else { 1 };
        decoded += 1;
    }
    at.min(encoded.len())
}

fn list_headers(bits: u64, request: &mut Request) {
    let mut list = HeaderList::new();
    let wanted = request.served().wanted;
    let browser = request.is_browser();
    list.push(Header::Host);
    list.push(Header::UserAgent);
    list.push(Header::Accept);
    if !request.agent().encoding.is_empty() {
        list.push(Header::AcceptEncoding);
    }
    if browser {
        list.push(Header::AcceptLanguage);
    }
    if !request.referer.is_empty() {
        list.push(Header::Referer);
    }
    if !request.cookie.is_empty() {
        list.push(Header::Cookie);
    }
    if request.http_version == "HTTP/1.1" {
        list.push(Header::Connection);
    }
    if browser && wanted == Wanted::Page {
        list.push(Header::SecFetchSite);
        list.push(Header::SecFetchMode);
        list.push(Header::SecFetchDest);
        list.push(Header::Upgrade);
    }
    if request.conditional {
        list.push(Header::IfNoneMatch);
    }
    if request.range.is_some() {
        list.push(Header::Range);
    }
    if request.site == sites::API && request.route != Route::Health {
        match bits & 7 {
            0..5 => list.push(Header::Authorization),
            5 => list.push(Header::ApiKey),
            _ => {}
        }
        if browser {
            list.push(Header::Origin);
        }
    }
    if request.body_bytes > 0 {
        list.push(Header::ContentType);
        list.push(Header::ContentLength);
    }
    if !request.forwarded.is_empty() {
        list.push(Header::Forwarded);
    }
    if request.cmcd.is_some() && bits >> 3 & 7 == 0 {
        list.push(Header::CmcdSession);
    }
    request.headers = list;
}

/// Returns the `Accept` value, percent-encoded.
pub(crate) fn accept(request: &Request) -> &'static str {
    if !request.is_browser() {
        return match request.agent().kind {
            AgentKind::App => "application/json",
            AgentKind::Bot => "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            _ => "*/*",
        };
    }
    match request.served().wanted {
        Wanted::Page => {
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
        }
        Wanted::Image => "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
        Wanted::Style if request.route == Route::Style => "text/css,*/*;q=0.1",
        Wanted::Data => "application/json,%20text/plain,%20*/*",
        Wanted::Style | Wanted::Script | Wanted::Media | Wanted::File => "*/*",
    }
}

/// Writes a header's value, percent-encoded. `user_agent` is the agent's.
pub(crate) fn push_value(
    out: &mut Vec<u8>,
    header: Header,
    request: &Request,
    user_agent: &[u8],
    encoding: &[u8],
) {
    match header {
        Header::Host => push(out, request.host),
        Header::UserAgent => out.extend_from_slice(user_agent),
        Header::Accept => push(out, accept(request)),
        Header::AcceptEncoding => out.extend_from_slice(encoding),
        Header::AcceptLanguage => push(out, NETWORKS[request.network].language),
        Header::Referer => out.extend_from_slice(&request.referer),
        Header::Cookie => out.extend_from_slice(&request.cookie),
        Header::Connection => push(out, "keep-alive"),
        Header::SecFetchSite => push(out, "same-origin"),
        Header::SecFetchMode => push(out, "navigate"),
        Header::SecFetchDest => push(out, "document"),
        Header::Upgrade => out.push(b'1'),
        Header::IfNoneMatch => {
            push(out, "%22");
            push_hex(out, request.object, 16);
            push(out, "%22");
        }
        Header::Range => {
            let (first, last) = request.range.unwrap_or_default();
            push(out, "bytes=");
            push_number(out, first);
            out.push(b'-');
            push_number(out, last);
        }
        Header::Authorization => {
            push(out, "Bearer%20");
            push_hex(out, mix(request.viewer ^ 3), 16);
            push_hex(out, mix(request.viewer ^ 4), 16);
        }
        Header::ApiKey => {
            push(out, "sk_live_");
            push_hex(out, mix(request.viewer), 16);
        }
        Header::ContentType => push(out, "application/json"),
        Header::ContentLength => push_number(out, request.body_bytes),
        Header::Origin => push(out, "https://shop.example.com"),
        Header::Forwarded => out.extend_from_slice(&request.forwarded),
        Header::CmcdSession => {
            push(out, "sid=%22");
            if let Some(cmcd) = &request.cmcd {
                push_uuid(out, cmcd.session);
            }
            push(out, "%22");
        }
    }
}

/// Returns how many bytes the request has on the wire without its body.
pub(crate) fn head_bytes(request: &Request, user_agent: &[u8]) -> u64 {
    let names: usize = request
        .headers
        .as_slice()
        .iter()
        .map(|h| h.name().len() + 18)
        .sum();
    let texts = [
        &request.path,
        &request.query,
        &request.referer,
        &request.cookie,
    ];
    let texts: usize = texts.iter().map(|text| decoded_len(text)).sum();
    (names + texts + decoded_len(user_agent) + request.method.len() + 12) as u64
}

/// Common Media Client Data (CTA-5004) of a media segment's request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cmcd {
    /// Kilobits a second.
    pub(crate) bitrate: u32,
    pub(crate) top_bitrate: u32,
    pub(crate) throughput: u32,
    /// Milliseconds.
    pub(crate) buffer: u32,
    pub(crate) starved: bool,
    pub(crate) startup: bool,
    pub(crate) title: u64,
    pub(crate) session: u64,
    pub(crate) next_segment: u64,
    pub(crate) object_type: &'static str,
    pub(crate) format: &'static str,
    pub(crate) live: bool,
    /// Whether the next request asks for a part of a file.
    pub(crate) next_range: bool,
}

/// Draws what the player says of its state, if it is one that says it.
pub(crate) fn draw_cmcd(
    random: &mut Random,
    request: &mut Request,
    title: u64,
    number: u64,
    live: bool,
) {
    let sends = match request.agent().kind {
        AgentKind::Player => request.viewer >> 16 & 15 < 13,
        AgentKind::Desktop | AgentKind::Phone => request.viewer >> 16 & 15 < 9,
        _ => false,
    };
    if !sends {
        return;
    }
    let bits = random.next();
    let audio = request.route == Route::AudioSegment;
    let ladder = crate::paths::VIDEO_LADDER;
    let bitrate = if audio { 128 } else { ladder[request.rung()].1 };
    let startup = bits % 100 < 4;
    let starved = bits >> 8 & 0xff < 4;
    let most = if live { 12_000.0 } else { 40_000.0 };
    let buffer = if startup || starved {
        0.0
    } else {
        most * (0.2 + 0.8 * random.unit())
    };
    let top = if request.agent().kind == AgentKind::Phone {
        ladder[3].1
    } else {
        ladder[4].1
    };
    request.cmcd = Some(Cmcd {
        bitrate,
        top_bitrate: if audio { 128 } else { top },
        throughput: (random.log_normal(14_000.0, 1.0) / 100.0) as u32 * 100,
        buffer: (buffer / 100.0) as u32 * 100,
        starved,
        startup,
        title,
        // One session lasts as long as the viewer stays with the title that hour.
        session: mix2(request.viewer ^ title, request.at_ms / 3_600_000),
        next_segment: number + 1,
        object_type: if audio { "a" } else { "v" },
        format: if request.viewer >> 24 & 1 == 0 {
            "h"
        } else {
            "d"
        },
        live,
        next_range: request.viewer >> 26 & 15 == 0,
    });
}
