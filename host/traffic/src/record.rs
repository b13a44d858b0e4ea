//! Writing a request and its outcome as a line of each format.

use crate::agents::AGENTS;
use crate::extras::{self, LIMIT_BYTES};
use crate::fields::{FIELD_NAMES, JSON_FIELDS, Layout, STANDARD_FIELDS};
use crate::networks::NETWORKS;
use crate::outcome::Outcome;
use crate::request::Request;
use crate::sites::{Route, SHOP};
use crate::text::{
    Civil, decoded_len, encode, push, push_base64, push_ipv4, push_ipv6, push_number,
    push_request_id, push_seconds, push_two, push_uuid,
};

/// The agents' texts, percent-encoded once.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    agents: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Written {
    pub(crate) fn new() -> Self {
        Written {
            agents: AGENTS
                .iter()
                .map(|agent| (encode(agent.user_agent), encode(agent.encoding)))
                .collect(),
        }
    }

    pub(crate) fn user_agent(&self, agent: usize) -> &[u8] {
        &self.agents[agent].0
    }

    fn encoding(&self, agent: usize) -> &[u8] {
        &self.agents[agent].1
    }
}

/// What a line is made of.
#[derive(Clone, Copy)]
struct Source<'a> {
    written: &'a Written,
    request: &'a Request,
    outcome: &'a Outcome,
}

pub(crate) fn push_real_time(
    out: &mut Vec<u8>,
    layout: &Layout,
    written: &Written,
    request: &Request,
    outcome: &Outcome,
) {
    let source = Source {
        written,
        request,
        outcome,
    };
    for field in layout.indexes() {
        source.push_field(out, *field);
        out.push(b'\t');
    }
    out.pop();
}

pub(crate) fn push_standard(
    out: &mut Vec<u8>,
    written: &Written,
    request: &Request,
    outcome: &Outcome,
) {
    let source = Source {
        written,
        request,
        outcome,
    };
    for name in &STANDARD {
        source.push_standard_field(out, *name);
        out.push(b'\t');
    }
    out.pop();
}

pub(crate) fn push_json(
    out: &mut Vec<u8>,
    written: &Written,
    request: &Request,
    outcome: &Outcome,
) {
    let source = Source {
        written,
        request,
        outcome,
    };
    // No value needs escaping: they are percent-encoded, so no quote and no
    // backslash is left in them.
    out.push(b'{');
    let names = STANDARD_FIELDS
        .iter()
        .zip(&STANDARD)
        .chain(JSON_FIELDS.iter().zip(&JSON));
    for (name, field) in names {
        out.push(b'"');
        push(out, name);
        push(out, "\":\"");
        source.push_standard_field(out, *field);
        push(out, "\",");
    }
    out.pop();
    out.push(b'}');
}

/// A field of a standard log.
#[derive(Clone, Copy, Debug)]
enum Standard {
    Date,
    Time,
    Milliseconds,
    /// The path without the query.
    Path,
    /// As the real-time field at this place.
    Same(u8),
}

const fn standard(name: &str) -> Standard {
    match name.as_bytes() {
        b"date" => Standard::Date,
        b"time" => Standard::Time,
        b"timestamp(ms)" => Standard::Milliseconds,
        b"cs-uri-stem" => Standard::Path,
        // Standard and real-time logs call the two hosts the other way round.
        b"cs(Host)" => Standard::Same(place(b"x-host-header")),
        b"x-host-header" => Standard::Same(place(b"cs-host")),
        b"cs(Referer)" => Standard::Same(place(b"cs-referer")),
        b"cs(User-Agent)" => Standard::Same(place(b"cs-user-agent")),
        b"cs(Cookie)" => Standard::Same(place(b"cs-cookie")),
        name => Standard::Same(place(name)),
    }
}

/// Returns the place of a real-time field; fails to compile for another name.
const fn place(name: &[u8]) -> u8 {
    let mut index = 0;
    while index < FIELD_NAMES.len() {
        let field = FIELD_NAMES[index].as_bytes();
        let mut at = 0;
        while at < field.len() && at < name.len() && field[at] == name[at] {
            at += 1;
        }
        if at == field.len() && at == name.len() {
            return index as u8;
        }
        index += 1;
    }
    panic!("no such real-time field")
}

const fn standards<const N: usize>(names: [&str; N]) -> [Standard; N] {
    let mut fields = [Standard::Date; N];
    let mut index = 0;
    while index < N {
        fields[index] = standard(names[index]);
        index += 1;
    }
    fields
}

static STANDARD: [Standard; STANDARD_FIELDS.len()] = const { standards(STANDARD_FIELDS) };
static JSON: [Standard; JSON_FIELDS.len()] = const { standards(JSON_FIELDS) };

impl Source<'_> {
    fn push_standard_field(self, out: &mut Vec<u8>, field: Standard) {
        let date = || Civil::from_millis(self.request.at_ms);
        match field {
            Standard::Date => {
                let date = date();
                push_number(out, u64::from(date.year));
                out.push(b'-');
                push_two(out, date.month);
                out.push(b'-');
                push_two(out, date.day);
            }
            Standard::Time => {
                let date = date();
                push_two(out, date.hour);
                out.push(b':');
                push_two(out, date.minute);
                out.push(b':');
                push_two(out, date.second);
            }
            Standard::Milliseconds => push_number(out, self.request.at_ms),
            Standard::Path => out.extend_from_slice(&self.request.path),
            Standard::Same(field) => self.push_field(out, field),
        }
    }

    /// Writes the real-time field at a place of [`FIELD_NAMES`].
    fn push_field(self, out: &mut Vec<u8>, field: u8) {
        let Source {
            written,
            request,
            outcome,
        } = self;
        match field {
            0 => push_seconds(out, request.at_ms),
            1 => push_address(out, request.address, request.ipv6),
            2 => push_address(out, request.edge_address, request.ipv6),
            3 => push_seconds(out, outcome.first_byte_ms),
            4 if outcome.status == 0 => push(out, "000"),
            4 => push_number(out, u64::from(outcome.status)),
            5 => push_number(out, outcome.bytes_sent),
            6 => push(out, request.method),
            7 => push(out, request.protocol),
            8 => push(out, request.host),
            9 => {
                out.extend_from_slice(&request.path);
                if !request.query.is_empty() {
                    out.push(b'?');
                    out.extend_from_slice(&request.query);
                }
            }
            10 => push_number(out, outcome.bytes_received),
            11 => push(out, request.edge),
            12 => push_request_id(out, request.id),
            13 | 42 => push(out, request.site().domain),
            14 => push_seconds(out, outcome.taken_ms),
            15 => push(out, request.http_version),
            16 => push(out, if request.ipv6 { "IPv6" } else { "IPv4" }),
            17 => out.extend_from_slice(written.user_agent(request.agent)),
            18 => push_or_dash(out, &request.referer),
            19 => {
                let cookie = &request.cookie;
                push_or_dash(out, &cookie[..extras::within_limit(cookie)]);
            }
            20 => push_or_dash(out, &request.query),
            21 => push(out, outcome.response_result.name()),
            22 => push_or_dash(out, &request.forwarded),
            23 => push(out, request.tls.map_or("-", |tls| tls.0)),
            24 => push(out, request.tls.map_or("-", |tls| tls.1)),
            25 => push(out, outcome.result.name()),
            26 => push(
                out,
                if encrypts_fields(request, outcome) {
                    "2"
                } else {
                    "-"
                },
            ),
            27 => push(
                out,
                if encrypts_fields(request, outcome) {
                    "Processed"
                } else {
                    "-"
                },
            ),
            28 => push(out, outcome.content_type),
            29 => push_optional(out, outcome.content_len),
            30 => push_optional(out, outcome.range.map(|range| range.0)),
            31 => push_optional(out, outcome.range.map(|range| range.1)),
            32 => push_number(out, u64::from(request.port)),
            33 => push(out, outcome.detailed),
            34 => push(out, NETWORKS[request.network].country),
            35 => push_or_dash(out, written.encoding(request.agent)),
            36 => push(out, extras::accept(request)),
            37 => push(out, request.served().pattern),
            38 => self.push_headers(out),
            39 => {
                for header in request.headers.as_slice() {
                    push(out, header.name());
                    push(out, "%0A");
                }
            }
            40 => push_number(out, request.headers.as_slice().len() as u64),
            41 => push(out, request.site().id),
            43 => match outcome.origin_ms {
                Some((first, _)) => push_seconds(out, first),
                None => out.push(b'-'),
            },
            44 => match outcome.origin_ms {
                Some((_, last)) => push_seconds(out, last),
                None => out.push(b'-'),
            },
            45 => push_number(out, u64::from(NETWORKS[request.network].operator.asn)),
            46..=63 => self.push_cmcd(out, field),
            64 => push(out, outcome.origin.unwrap_or("-")),
            65 => push_or_dash(out, outcome.reason.as_bytes()),
            66 => push_optional(out, outcome.quality.map(u64::from)),
            67 => push_or_dash(out, request.tenant.as_bytes()),
            68 if has_client_certificate(request) => {
                push_base64(out, request.id[3], 10);
                push_base64(out, request.id[4], 10);
                push(out, "==");
            }
            69 if request.site == SHOP && !request.flood => {
                // What a function logs of an experiment: JSON, percent-encoded.
                push(out, "%7B%22variant%22:%22");
                out.push(b'a' + (request.viewer >> 30 & 1) as u8);
                push(out, "%22%7D");
            }
            70 if request.site == SHOP && request.route == Route::Product => {
                push(out, "cache-group=products");
            }
            _ => out.push(b'-'),
        }
    }

    /// Writes `Name:Value%0A` for each header, whole ones only, as long as the
    /// decoded text is within CloudFront's limit.
    fn push_headers(self, out: &mut Vec<u8>) {
        let Source {
            written, request, ..
        } = self;
        let mut decoded = 0;
        for header in request.headers.as_slice() {
            let from = out.len();
            push(out, header.name());
            out.push(b':');
            let user_agent = written.user_agent(request.agent);
            let encoding = written.encoding(request.agent);
            extras::push_value(out, *header, request, user_agent, encoding);
            push(out, "%0A");
            decoded += decoded_len(&out[from..]);
            if decoded > LIMIT_BYTES {
                out.truncate(from);
                return;
            }
        }
    }

    fn push_cmcd(self, out: &mut Vec<u8>, field: u8) {
        let Some(cmcd) = &self.request.cmcd else {
            out.push(b'-');
            return;
        };
        match field {
            46 => push_number(out, u64::from(cmcd.bitrate)),
            47 => push_number(out, u64::from(cmcd.buffer)),
            48 => push(out, if cmcd.starved { "true" } else { "-" }),
            49 => {
                push(out, if cmcd.live { "channel-" } else { "title-" });
                push_number(out, cmcd.title + 1);
            }
            50 => push(out, "4000"),
            51 => push_number(out, u64::from(cmcd.buffer)),
            52 => push_number(out, u64::from(cmcd.throughput)),
            // Encoded by the player, and once more in the log.
            53 if !cmcd.next_range => {
                push(out, "..%252F");
                push(
                    out,
                    if cmcd.object_type == "a" {
                        "audio"
                    } else {
                        "video"
                    },
                );
                push(out, "%252Fseg-");
                push_number(out, cmcd.next_segment);
                push(out, ".m4s");
            }
            54 if cmcd.next_range => {
                push_number(out, cmcd.next_segment * 500_000);
                out.push(b'-');
                push_number(out, cmcd.next_segment * 500_000 + 499_999);
            }
            55 => push(out, cmcd.object_type),
            56 => push(
                out,
                if self.request.viewer >> 28 & 31 == 0 {
                    "1.5"
                } else {
                    "1"
                },
            ),
            57 => push_number(out, u64::from(cmcd.bitrate) * 4),
            58 => push(out, cmcd.format),
            59 => push_uuid(out, cmcd.session),
            60 => push(out, if cmcd.live { "l" } else { "v" }),
            61 => push(out, if cmcd.startup { "true" } else { "-" }),
            62 => push_number(out, u64::from(cmcd.top_bitrate)),
            63 => out.push(b'1'),
            _ => out.push(b'-'),
        }
    }
}

/// Field-level encryption guards the shop's sign-in form.
fn encrypts_fields(request: &Request, outcome: &Outcome) -> bool {
    request.route == Route::Login && !request.flood && outcome.origin.is_some()
}

/// Partners of the second API host show a certificate.
fn has_client_certificate(request: &Request) -> bool {
    request.host == "api-eu.example.com" && request.tls.is_some()
}

fn push_address(out: &mut Vec<u8>, address: u128, ipv6: bool) {
    if ipv6 {
        push_ipv6(out, address);
    } else {
        push_ipv4(out, address as u32);
    }
}

fn push_or_dash(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(if text.is_empty() { b"-" } else { text });
}

fn push_optional(out: &mut Vec<u8>, number: Option<u64>) {
    match number {
        Some(number) => push_number(out, number),
        None => out.push(b'-'),
    }
}
