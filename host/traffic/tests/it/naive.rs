//! Reading lines the naive way, by nothing of the crate but its field names.

use std::ops::Index;
use std::time::Duration;

use canopy_traffic::{FIELD_NAMES, Format, Generator, Layout, Pace, Settings, Truth};

/// 2026-11-24T00:00:00Z.
pub(crate) const START_MS: u64 = 1_795_478_400_000;
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// One line: its fields by name.
#[derive(Debug)]
pub(crate) struct Line<'a>(Vec<&'a str>);

impl<'a> Index<&str> for Line<'a> {
    type Output = &'a str;

    fn index(&self, name: &str) -> &&'a str {
        let place = FIELD_NAMES.iter().position(|field| *field == name);
        &self.0[place.expect("a field's name")]
    }
}

/// Returns settings that spread `lines` over `window` from [`START_MS`].
pub(crate) fn settings(seed: u64, lines: u64, window: Duration) -> Settings {
    let mut settings = Settings::new(seed, START_MS);
    settings.pace = Pace::Spread { lines, window };
    settings
}

/// Writes `lines` lines and returns them with the truth.
pub(crate) fn write(settings: &Settings, lines: u64) -> (Vec<u8>, Truth) {
    let mut generator = Generator::new(settings.clone());
    let mut out = Vec::new();
    generator.fill(&mut out, lines);
    (out, generator.truth())
}

/// Writes `lines` lines of text with the layout of all fields.
pub(crate) fn write_text(settings: &Settings, lines: u64) -> (String, Truth) {
    assert_eq!(settings.format, Format::RealTime(Layout::all()));
    let (out, truth) = write(settings, lines);
    (String::from_utf8(out).expect("all is ASCII"), truth)
}

/// Reads lines with all fields.
pub(crate) fn parse(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields.len(), FIELD_NAMES.len(), "{line}");
        Line(fields)
    })
}

/// Reads a decimal number of seconds as milliseconds.
pub(crate) fn milliseconds(text: &str) -> Option<u64> {
    (text != "-").then(|| {
        let (seconds, rest) = text.split_once('.').expect("three decimals");
        assert_eq!(rest.len(), 3, "{text}");
        seconds.parse::<u64>().unwrap() * 1000 + rest.parse::<u64>().unwrap()
    })
}

/// Decodes percent-encoding once.
pub(crate) fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            let digits = std::str::from_utf8(&digits).unwrap();
            out.push(u8::from_str_radix(digits, 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).unwrap()
}
