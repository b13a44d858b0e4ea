//! The generator: requests in order, written as lines, counted on the way.

use crate::clock::{self, Clock, FLOOD_SHARE};
use crate::incident::IncidentKind;
use crate::malformed::{self, MalformedKind};
use crate::networks::{NETWORKS, flood_networks};
use crate::outcome::{self, Trouble};
use crate::random::{Random, mix, mix2, unit};
use crate::record::{self, Written};
use crate::request::{Population, Request};
use crate::settings::{Format, Settings};
use crate::sites::{FLOOD_PATH, SHOP, SITES};
use crate::text::{Civil, push, push_number, push_two};
use crate::truth::{IncidentTruth, Truth};

/// Makes log lines, one after the other, without end.
///
/// Times never decrease from line to line. A line is a function of the settings
/// and its number; how lines are asked for (one by one, in blocks) makes no
/// difference.
#[derive(Debug)]
pub struct Generator {
    settings: Settings,
    key: u64,
    sampling: f64,
    malformed_kinds: Vec<MalformedKind>,
    clock: Clock,
    population: Population,
    written: Written,
    request: Request,
    truth: Truth,
    next: Next,
}

/// The next request that is logged.
#[derive(Clone, Copy, Debug)]
struct Next {
    index: u64,
    at_ms: u64,
    /// Requests that sampling left out since the line before.
    left_out: u64,
}

impl Generator {
    /// Returns a generator at its first line.
    ///
    /// Values out of their range are taken as the nearest in it.
    pub fn new(settings: Settings) -> Self {
        let clock = Clock::new(&settings);
        let site = settings.profile.ailing_site();
        let incidents = clock.spans().iter().map(|span| IncidentTruth {
            kind: span.kind,
            start_ms: span.start_ms,
            end_ms: span.end_ms,
            origin: outcome::ailing_origin(span.kind, site),
            host: (span.kind == IncidentKind::BotFlood).then_some(SITES[SHOP].hosts[0].0),
            path: (span.kind == IncidentKind::BotFlood).then_some(FLOOD_PATH),
            asns: match span.kind {
                IncidentKind::BotFlood => flood_networks()
                    .iter()
                    .map(|network| NETWORKS[*network].operator.asn)
                    .collect(),
                _ => Vec::new(),
            },
            lines: 0,
            affected: 0,
        });
        let kinds = match settings.malformed.kinds.as_slice() {
            [] => MalformedKind::ALL.to_vec(),
            kinds => kinds.to_vec(),
        };
        let mut generator = Generator {
            key: mix(settings.seed ^ 0x00c1_0d0f_2011_7000),
            sampling: clock::sampling(&settings),
            malformed_kinds: kinds,
            truth: Truth::new(incidents.collect()),
            population: Population::new(settings.seed, settings.profile),
            written: Written::new(),
            request: Request::new(),
            next: Next {
                index: 0,
                at_ms: 0,
                left_out: 0,
            },
            clock,
            settings,
        };
        generator.find_next(0);
        generator
    }

    /// Returns the settings the generator was made with.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the time of the next line, milliseconds since the epoch.
    pub const fn next_ms(&self) -> u64 {
        self.next.at_ms
    }

    /// Returns what has been written so far.
    pub fn truth(&self) -> Truth {
        self.truth.summed()
    }

    /// Writes the lines that come before all others in a file of this format:
    /// `#Version:` and `#Fields:` for standard logs, nothing for the others.
    pub fn write_header(&self, out: &mut Vec<u8>) {
        if self.settings.format == Format::Standard {
            push(out, "#Version: 1.0\n#Fields:");
            for name in crate::fields::STANDARD_FIELDS {
                out.push(b' ');
                push(out, name);
            }
            out.push(b'\n');
        }
    }

    /// Appends the next line with its line feed.
    pub fn write_line(&mut self, out: &mut Vec<u8>) {
        let Next {
            index,
            at_ms,
            left_out,
        } = self.next;
        let mut random = Random::new(mix2(self.key, index));
        let site = self.settings.profile.ailing_site();
        let trouble = Trouble::at(self.clock.spans(), site, at_ms);
        let flood = trouble.is_flood() && random.chance(FLOOD_SHARE);
        let request = &mut self.request;
        self.population
            .draw(index, at_ms, flood, &mut random, request);
        let outcome = outcome::decide(
            request,
            self.written.user_agent(request.agent),
            trouble,
            &mut random,
        );

        let start = out.len();
        match &self.settings.format {
            Format::RealTime(layout) => {
                record::push_real_time(out, layout, &self.written, request, &outcome);
            }
            Format::Standard => record::push_standard(out, &self.written, request, &outcome),
            Format::Json => record::push_json(out, &self.written, request, &outcome),
        }
        if self.settings.malformed.rate > 0.0 && random.chance(self.settings.malformed.rate) {
            let kind = random.pick(&self.malformed_kinds);
            let kind = malformed::damage(kind, &self.settings.format, out, start, &mut random);
            self.truth.malformed_by_kind[kind as usize] += 1;
        } else {
            self.truth.count(request, &outcome);
        }
        out.push(b'\n');
        self.truth.lines += 1;
        self.truth.bytes_written += (out.len() - start) as u64;
        self.truth.requests += 1 + left_out;
        self.find_next(index + 1);
    }

    /// Appends that many lines.
    pub fn fill(&mut self, out: &mut Vec<u8>, lines: u64) {
        for _ in 0..lines {
            self.write_line(out);
        }
    }

    /// Appends the lines before a time, milliseconds since the epoch, at most
    /// `max_lines` of them. Returns how many.
    pub fn fill_until(&mut self, out: &mut Vec<u8>, until_ms: u64, max_lines: u64) -> u64 {
        let mut lines = 0;
        while lines < max_lines && self.next.at_ms < until_ms {
            self.write_line(out);
            lines += 1;
        }
        lines
    }

    /// Returns the name CloudFront would give a standard log file with the next
    /// line as its first: distribution, hour and a part that is unique to the
    /// line. Without prefix.
    pub fn file_name(&self) -> String {
        let date = Civil::from_millis(self.next.at_ms);
        let mut name = Vec::new();
        push(&mut name, SITES[SHOP].id);
        name.push(b'.');
        push_number(&mut name, u64::from(date.year));
        for part in [date.month, date.day, date.hour] {
            name.push(b'-');
            push_two(&mut name, part);
        }
        name.push(b'.');
        crate::text::push_hex(&mut name, mix2(self.key, self.next.index), 11);
        push(&mut name, ".gz");
        String::from_utf8_lossy(&name).into_owned()
    }

    /// Finds the first request from `index` on that is logged.
    fn find_next(&mut self, index: u64) {
        let mut index = index;
        let mut left_out = 0;
        loop {
            // Apart from the line's own numbers, so that sampling picks lines
            // and does not change them.
            let bits = mix2(!self.key, index);
            let at_ms = self.clock.tick(bits);
            if self.sampling >= 1.0 || unit(mix(bits)) < self.sampling {
                self.next = Next {
                    index,
                    at_ms,
                    left_out,
                };
                return;
            }
            index += 1;
            left_out += 1;
        }
    }
}
