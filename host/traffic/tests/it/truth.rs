//! The truth is what a reader of the lines counts.

use std::collections::BTreeMap;

use crate::naive::{HOUR, Line, START_MS, milliseconds, parse, settings, write, write_text};
use canopy_traffic::{
    Format, Incident, IncidentKind, Layout, Malformed, MalformedKind, Profile, ResultType, Truth,
};

const LINES: u64 = 40_000;

fn incident(kind: IncidentKind, from_hour: u32, hours: u32) -> Incident {
    Incident::new(kind, HOUR * from_hour, HOUR * hours)
}

/// Counts lines the naive way.
fn count(text: &str, test: impl Fn(&Line) -> bool) -> u64 {
    parse(text).filter(|line| test(line)).count() as u64
}

fn sum(text: &str, name: &str) -> u64 {
    parse(text)
        .map(|line| line[name].parse::<u64>().unwrap())
        .sum()
}

fn by<'a>(text: &'a str, name: &str) -> BTreeMap<&'a str, u64> {
    let mut counts = BTreeMap::new();
    for line in parse(text) {
        *counts.entry(line[name]).or_default() += 1;
    }
    counts
}

fn check(text: &str, truth: &Truth) {
    assert_eq!(truth.good_lines(), text.lines().count() as u64);
    for class in 0..6 {
        let digit = char::from_digit(class, 10).unwrap();
        let counted = count(text, |line| line["sc-status"].starts_with(digit));
        assert_eq!(truth.by_status_class[class as usize], counted, "{class}xx");
    }
    for result in ResultType::ALL {
        let counted = count(text, |line| line["x-edge-result-type"] == result.name());
        assert_eq!(truth.result(result), counted, "{result:?}");
    }
    let shield = |line: &Line| line["x-edge-detailed-result-type"] == "OriginShieldHit";
    assert_eq!(truth.origin_shield_hits, count(text, shield));
    assert_eq!(
        truth.origin_requests,
        count(text, |line| line["r-host"] != "-")
    );
    assert_eq!(
        truth.origin_answers,
        count(text, |line| line["origin-fbl"] != "-")
    );
    assert_eq!(
        truth.ipv6,
        count(text, |line| line["c-ip-version"] == "IPv6")
    );
    assert_eq!(truth.cmcd, count(text, |line| line["cmcd-version"] != "-"));
    assert_eq!(truth.bytes_sent, sum(text, "sc-bytes"));
    assert_eq!(truth.bytes_received, sum(text, "cs-bytes"));
    assert_eq!(
        BTreeMap::from_iter(truth.by_distribution.clone()),
        by(text, "x-host-header")
    );
    assert_eq!(
        BTreeMap::from_iter(truth.by_country.clone()),
        by(text, "c-country")
    );
    let times: Vec<u64> = parse(text)
        .filter_map(|line| milliseconds(line["timestamp"]))
        .collect();
    assert_eq!(truth.first_ms, times.first().copied());
    assert_eq!(truth.last_ms, times.last().copied());
    for incident in &truth.incidents {
        let inside = |at: &&u64| (incident.start_ms..incident.end_ms).contains(*at);
        assert_eq!(incident.lines, times.iter().filter(inside).count() as u64);
    }
}

#[test]
fn healthy_traffic() {
    for (_, profile) in Profile::ALL {
        let mut settings = settings(3, LINES, HOUR * 24);
        settings.profile = profile;
        let (text, truth) = write_text(&settings, LINES);
        check(&text, &truth);
        assert_eq!(truth.bytes_written, text.len() as u64);
        assert_eq!((truth.lines, truth.requests), (LINES, LINES));
    }
}

#[test]
fn traffic_with_all_incidents() {
    let mut settings = settings(3, LINES, HOUR * 24);
    settings.incidents = IncidentKind::ALL
        .into_iter()
        .zip([2, 5, 7, 10, 14])
        .map(|(kind, from)| incident(kind, from, 2))
        .collect();
    let (text, truth) = write_text(&settings, LINES);
    check(&text, &truth);
}

#[test]
fn an_error_burst_is_5xx_of_one_origin() {
    let mut settings = settings(3, LINES, HOUR * 24);
    settings.incidents = vec![incident(IncidentKind::ErrorBurst, 10, 2)];
    let (text, truth) = write_text(&settings, LINES);
    let burst = &truth.incidents[0];
    let failed = |line: &Line| {
        let at = milliseconds(line["timestamp"]).unwrap();
        (burst.start_ms..burst.end_ms).contains(&at)
            && Some(line["r-host"]) == burst.origin
            && line["sc-status"].starts_with('5')
    };
    let found = count(&text, failed);
    assert!(burst.affected > 200, "{burst:?}");
    // The origin fails now and then without an incident, too.
    assert!(
        (burst.affected..burst.affected + 10).contains(&found),
        "{found} {burst:?}"
    );
    let others = count(&text, |line| {
        line["sc-status"].starts_with('5') && !failed(line)
    });
    assert!(others < LINES / 200, "{others}");
}

#[test]
fn a_storm_of_misses_takes_the_hits() {
    let mut settings = settings(3, LINES, HOUR * 24);
    settings.incidents = vec![incident(IncidentKind::CacheMissStorm, 10, 2)];
    let (text, truth) = write_text(&settings, LINES);
    let storm = &truth.incidents[0];
    let inside = |line: &Line| {
        let at = milliseconds(line["timestamp"]).unwrap();
        (storm.start_ms..storm.end_ms).contains(&at)
    };
    let hits = count(&text, |line| {
        inside(line) && line["x-edge-result-type"] == "Hit"
    });
    assert!(hits * 10 < storm.lines, "{hits} of {}", storm.lines);
    assert!(storm.affected > hits * 8, "{hits} and {}", storm.affected);
}

#[test]
fn a_flood_comes_from_few_addresses_to_one_path() {
    let mut settings = settings(3, LINES, HOUR * 24);
    settings.incidents = vec![incident(IncidentKind::BotFlood, 10, 2)];
    let (text, truth) = write_text(&settings, LINES);
    let flood = &truth.incidents[0];
    let mut addresses = BTreeMap::new();
    for line in parse(&text) {
        let at = milliseconds(line["timestamp"]).unwrap();
        let path = line["cs-uri-stem"];
        if (flood.start_ms..flood.end_ms).contains(&at)
            && Some(line["cs-host"]) == flood.host
            && Some(path) == flood.path
            && flood.asns.contains(&line["asn"].parse().unwrap())
        {
            *addresses.entry(line["c-ip"]).or_insert(0_u64) += 1;
        }
    }
    let found: u64 = addresses.values().sum();
    assert!(
        flood.affected * 3 > flood.lines * 2,
        "most lines are the flood's: {flood:?}"
    );
    assert!(
        (flood.affected..flood.affected + 5).contains(&found),
        "{found} {flood:?}"
    );
    assert!(addresses.len() <= 50, "{}", addresses.len());
}

#[test]
fn a_slow_origin_is_slow_and_others_are_not() {
    let mut settings = settings(3, LINES, HOUR * 24);
    settings.incidents = vec![incident(IncidentKind::OriginSlow, 10, 2)];
    let (text, truth) = write_text(&settings, LINES);
    let slow = &truth.incidents[0];
    let median = |inside: bool, ailing: bool| {
        let mut times: Vec<u64> = parse(&text)
            .filter(|line| (Some(line["r-host"]) == slow.origin) == ailing)
            .filter(|line| {
                let at = milliseconds(line["timestamp"]).unwrap();
                (slow.start_ms..slow.end_ms).contains(&at) == inside
            })
            .filter_map(|line| milliseconds(line["origin-fbl"]))
            .collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    assert!(median(true, true) > 7 * median(false, true));
    assert!(median(true, false) < 2 * median(false, false));
    let answers = count(&text, |line| {
        let at = milliseconds(line["timestamp"]).unwrap();
        (slow.start_ms..slow.end_ms).contains(&at)
            && Some(line["r-host"]) == slow.origin
            && line["origin-fbl"] != "-"
    });
    assert_eq!(slow.affected, answers);
}

#[test]
fn a_silence_is_silent() {
    let mut settings = settings(3, LINES, HOUR * 24);
    settings.incidents = vec![incident(IncidentKind::Silence, 10, 2)];
    let (_, truth) = write_text(&settings, LINES);
    assert_eq!((truth.incidents[0].lines, truth.lines), (0, LINES));
}

#[test]
fn sampling_leaves_out_requests_and_changes_none() {
    let mut settings = settings(3, 1_000, HOUR);
    settings.pace = canopy_traffic::Pace::Rate(100.0);
    let (all, _) = write_text(&settings, 20_000);
    settings.sampling_percent = 10.0;
    let (sampled, truth) = write_text(&settings, 1_000);
    assert!(
        (9_000..11_000).contains(&truth.requests),
        "{}",
        truth.requests
    );
    let all: std::collections::HashSet<&str> = all.lines().collect();
    assert!(sampled.lines().all(|line| all.contains(line)));
}

#[test]
fn malformed_lines_are_counted_by_kind_and_apart() {
    let mut settings = settings(3, 5_000, HOUR);
    settings.malformed = Malformed {
        rate: 0.1,
        kinds: Vec::new(),
    };
    let (bytes, truth) = write(&settings, 5_000);
    let good: Vec<&[u8]> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| {
            let number = |at: usize| line.split(|b| *b == b'\t').nth(at);
            let is_number = |field: &[u8]| field.iter().all(u8::is_ascii_digit);
            line.is_ascii()
                && !line.contains(&0)
                && line.split(|byte| *byte == b'\t').count() == 71
                && number(4).is_some_and(is_number)
        })
        .collect();
    assert_eq!(truth.lines, 5_000);
    assert_eq!(truth.good_lines(), good.len() as u64);
    assert!(
        (400..600).contains(&truth.malformed()),
        "{}",
        truth.malformed()
    );
    for (kind, lines) in MalformedKind::ALL.into_iter().zip(truth.malformed_by_kind) {
        assert!(lines > 40, "{kind}: {lines}");
    }
    check(&String::from_utf8(good.concat()).unwrap(), &truth);
}

/// The agreement with the reader that lines are for: it takes every good line
/// and none of the others.
#[test]
fn the_parser_takes_what_is_good_and_nothing_else() {
    use canopy_batch::formats;

    let names = ["timestamp", "cs-uri-stem", "time-taken"];
    let layout = formats::Layout::from_names(names).unwrap();
    let formats = [
        (
            Format::RealTime(Layout::all()),
            formats::Format::RealTime(formats::Layout::all()),
        ),
        (
            Format::RealTime(Layout::from_names(names).unwrap()),
            formats::Format::RealTime(layout),
        ),
        (Format::Standard, formats::Format::Standard),
        (Format::Json, formats::Format::Json),
    ];
    for (format, parsed_as) in formats {
        let mut settings = settings(3, 4_000, HOUR);
        settings.malformed.rate = 0.1;
        settings.format = format;
        let mut generator = canopy_traffic::Generator::new(settings);
        let mut bytes = Vec::new();
        generator.write_header(&mut bytes);
        generator.fill(&mut bytes, 4_000);
        let truth = generator.truth();
        let mut parser = formats::Parser::new(parsed_as, 100.0);
        let parsed = parser.parse_lines(bytes.into(), 1);
        let reasons: Vec<&str> = parsed.rejected.iter().map(|r| r.reason.as_str()).collect();
        assert_eq!(
            parsed.rejected.len() as u64,
            truth.malformed(),
            "{reasons:#?}"
        );
        assert_eq!(parsed.batch.row_count() as u64, truth.good_lines());
    }
}

#[test]
fn the_fields_are_those_of_the_schema() {
    let schema: Vec<&str> = canopy_batch::schema::FIELDS
        .iter()
        .map(|field| field.name)
        .collect();
    assert_eq!(schema, canopy_traffic::FIELD_NAMES);
}

#[test]
fn a_line_starts_at_the_start() {
    let (_, truth) = write(&settings(3, 1_000, HOUR), 1);
    assert!(truth.first_ms.unwrap() - START_MS < 20_000);
}
