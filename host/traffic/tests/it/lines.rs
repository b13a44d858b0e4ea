//! What every line holds, whatever the seed.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::naive::{HOUR, decode, milliseconds, parse, settings, write, write_text};
use canopy_traffic::{
    FIELD_NAMES, Format, Generator, JSON_FIELDS, Layout, Profile, STANDARD_FIELDS, Settings,
};

const LINES: u64 = 40_000;

/// A day of mixed traffic.
fn a_day() -> String {
    write_text(&settings(7, LINES, HOUR * 24), LINES).0
}

#[test]
fn equal_settings_write_equal_bytes_however_they_are_asked() {
    let settings = settings(7, 500, HOUR);
    let (block, _) = write(&settings, 500);
    let mut generator = Generator::new(settings.clone());
    let mut lines = Vec::new();
    for _ in 0..250 {
        generator.write_line(&mut lines);
    }
    let half = generator.next_ms();
    assert_eq!(
        generator.fill_until(&mut lines, half, 250),
        0,
        "not due yet"
    );
    assert_eq!(generator.fill_until(&mut lines, u64::MAX, 250), 250);
    assert!(block == lines);

    let mut other = settings;
    other.seed = 8;
    assert!(write(&other, 500).0 != block);
}

/// The bytes of a seed change only when somebody means to change them; then
/// this file is written anew from the test's output.
#[test]
fn a_seed_makes_the_same_traffic_for_ever() {
    let (text, _) = write_text(&settings(7, 1_000, HOUR * 24), 12);
    let expected = include_str!("data/seed-7.log");
    if text != expected {
        let path = std::env::temp_dir().join("seed-7.log");
        std::fs::write(&path, &text).unwrap();
        panic!(
            "the lines of seed 7 changed; they are in {}",
            path.display()
        );
    }
}

#[test]
fn a_layout_selects_fields_and_changes_nothing_else() {
    let mut some = settings(7, 300, HOUR);
    let (all, _) = write_text(&some, 300);
    let names = ["c-ip", "timestamp", "cmcd-version", "cs-headers", "asn"];
    some.format = Format::RealTime(Layout::from_names(names).unwrap());
    let (selected, _) = write(&some, 300);
    let selected = String::from_utf8(selected).unwrap();
    for (line, all) in selected.lines().zip(parse(&all)) {
        let expected = ["timestamp", "c-ip", "cs-headers", "asn", "cmcd-version"].map(|f| all[f]);
        assert_eq!(line.split('\t').collect::<Vec<_>>(), expected);
    }

    some.format = Format::RealTime(Layout::first(45));
    let (first, _) = write(&some, 300);
    let first = String::from_utf8(first).unwrap();
    assert!(first.lines().all(|line| line.split('\t').count() == 45));
}

#[test]
fn standard_logs_tell_the_same_requests_by_their_own_names() {
    let mut settings = settings(7, 300, HOUR);
    let (all, _) = write_text(&settings, 300);
    settings.format = Format::Standard;
    let (text, _) = write(&settings, 300);
    let text = String::from_utf8(text).unwrap();
    for (line, all) in text.lines().zip(parse(&all)) {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields.len(), STANDARD_FIELDS.len());
        for (name, value) in STANDARD_FIELDS.into_iter().zip(fields) {
            let expected = match name {
                "date" => "2026-11-24",
                "time" => {
                    assert!(value.starts_with("00:") && value.len() == 8, "{value}");
                    continue;
                }
                "cs(Host)" => all["x-host-header"],
                "x-host-header" => all["cs-host"],
                "cs-uri-stem" => all["cs-uri-stem"].split('?').next().unwrap(),
                "cs(Referer)" => all["cs-referer"],
                "cs(User-Agent)" => all["cs-user-agent"],
                "cs(Cookie)" => all["cs-cookie"],
                name => all[name],
            };
            assert_eq!(value, expected, "{name}");
        }
    }

    let mut header = Vec::new();
    Generator::new(settings.clone()).write_header(&mut header);
    let header = String::from_utf8(header).unwrap();
    let fields = format!("#Version: 1.0\n#Fields: {}\n", STANDARD_FIELDS.join(" "));
    assert_eq!(header, fields);
    assert!(
        Generator::new(settings)
            .file_name()
            .starts_with("E1SHOP7QX3AB2C.2026-11-24-00.")
    );
}

#[test]
fn json_lines_are_objects_of_text() {
    let mut settings = settings(7, 50, HOUR);
    settings.format = Format::Json;
    let (text, _) = write(&settings, 50);
    for line in String::from_utf8(text).unwrap().lines() {
        let inside = line
            .strip_prefix("{\"")
            .and_then(|l| l.strip_suffix("\"}"))
            .unwrap();
        assert!(!inside.contains('\\'), "nothing needs escaping");
        let keys: Vec<&str> = inside
            .split("\",\"")
            .map(|entry| entry.split_once("\":\"").unwrap().0)
            .collect();
        let expected: Vec<&str> = STANDARD_FIELDS.into_iter().chain(JSON_FIELDS).collect();
        assert_eq!(keys, expected);
    }
}

#[test]
fn values_are_of_cloudfronts_sets() {
    let results = [
        "Hit",
        "RefreshHit",
        "Miss",
        "LimitExceeded",
        "CapacityExceeded",
        "Error",
        "Redirect",
        "LambdaExecutionError",
    ];
    let details = [
        "OriginShieldHit",
        "ClientCommError",
        "ClientGeoBlocked",
        "InvalidRequest",
        "InvalidRequestHeader",
        "OriginCommError",
        "OriginConnectError",
        "OriginDnsError",
        "OriginError",
    ];
    let text = a_day();
    for line in parse(&text) {
        assert!(results.contains(&line["x-edge-result-type"]), "{line:?}");
        assert!(
            results.contains(&line["x-edge-response-result-type"]),
            "{line:?}"
        );
        let detail = line["x-edge-detailed-result-type"];
        assert!(
            results.contains(&detail) || details.contains(&detail),
            "{line:?}"
        );
        assert!(["https", "http", "wss"].contains(&line["cs-protocol"]));
        assert!(
            ["HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"].contains(&line["cs-protocol-version"])
        );
        assert!(["-", "Processed"].contains(&line["fle-status"]));
        assert!(["-", "v", "l"].contains(&line["cmcd-stream-type"]));
        assert_eq!(line["c-country"].len(), 2);

        let status = line["sc-status"];
        assert!(
            status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit()),
            "{status}"
        );
        for name in ["sc-bytes", "cs-bytes", "c-port", "asn", "cs-headers-count"] {
            assert!(line[name].parse::<u64>().is_ok(), "{name} {}", line[name]);
        }
        for name in FIELD_NAMES {
            assert!(!line[name].is_empty(), "{name} is `-` when absent");
        }
    }
    let all: HashSet<&str> = parse(&text)
        .map(|line| line["x-edge-detailed-result-type"])
        .collect();
    assert!(all.len() > 10, "{all:?}");
}

#[test]
fn text_is_percent_encoded_as_cloudfront_does() {
    let text = a_day();
    for byte in text.bytes() {
        let allowed = byte > b' ' && byte < 127 && !b"<>\"#{}|\\^~[]`'".contains(&byte);
        assert!(allowed || byte == b'\t' || byte == b'\n', "byte {byte}");
    }
    let mut twice = 0;
    for line in parse(&text) {
        for name in [
            "cs-uri-stem",
            "cs-user-agent",
            "cs-cookie",
            "cs-uri-query",
            "cs-headers",
        ] {
            decode(line[name]);
        }
        twice += u64::from(line["cs-uri-stem"].contains("%25C3%25BC"));
        let stem = line["cs-uri-stem"];
        match stem.split_once('?') {
            Some((_, query)) => assert_eq!(query, line["cs-uri-query"]),
            None => assert_eq!(line["cs-uri-query"], "-"),
        }
    }
    assert!(twice > 20, "a viewer's %C3%BC is encoded again: {twice}");
}

#[test]
fn results_fit_statuses_and_origins() {
    let text = a_day();
    for line in parse(&text) {
        let status: u16 = line["sc-status"].parse().unwrap();
        let result = line["x-edge-result-type"];
        let detail = line["x-edge-detailed-result-type"];
        let response = line["x-edge-response-result-type"];
        let asked = line["r-host"] != "-";
        let answered = line["origin-fbl"] != "-";
        match result {
            "Hit" => assert!(!asked && [200, 206, 304].contains(&status), "{line:?}"),
            "RefreshHit" => assert!(asked && answered && status < 400, "{line:?}"),
            "Miss" => assert!(
                (asked || detail == "OriginShieldHit") && status < 400,
                "{line:?}"
            ),
            "Redirect" => assert!(status == 301 && line["cs-protocol"] == "http"),
            "Error" => assert!(status >= 400 || detail == "ClientCommError", "{line:?}"),
            _ => assert_eq!(status, 503),
        }
        assert!(asked || !answered, "{line:?}");
        assert_eq!(answered, line["origin-lbl"] != "-");
        if result == "Error" && response != "Error" {
            assert_eq!(detail, "ClientCommError", "the viewer left");
        }
        if detail == "OriginConnectError" || detail == "OriginCommError" {
            assert!(asked && !answered && status > 500);
        }
        match status {
            206 => assert!(line["sc-range-start"] != "-" && line["sc-range-end"] != "-"),
            0 => assert_eq!(line["sc-bytes"], "0"),
            101 => assert_eq!(line["cs-protocol"], "wss"),
            204 | 304 => assert_eq!(line["sc-content-len"], "-"),
            _ => {}
        }
        let tls = line["ssl-protocol"] != "-";
        assert_eq!(tls, line["cs-protocol"] != "http", "{line:?}");
        if line["cs-protocol-version"] == "HTTP/3.0" {
            assert_eq!(line["ssl-protocol"], "TLSv1.3");
        }
    }
}

#[test]
fn times_are_in_order() {
    let text = a_day();
    let (mut before, end) = (
        crate::naive::START_MS,
        crate::naive::START_MS + 24 * 3_600_000,
    );
    for line in parse(&text) {
        let at = milliseconds(line["timestamp"]).unwrap();
        assert!(at >= before && at < end, "{at}");
        before = at;
        let first = milliseconds(line["time-to-first-byte"]).unwrap();
        let taken = milliseconds(line["time-taken"]).unwrap();
        assert!(first <= taken, "{line:?}");
        if let Some(origin_first) = milliseconds(line["origin-fbl"]) {
            let origin_last = milliseconds(line["origin-lbl"]).unwrap();
            assert!(
                origin_first <= origin_last && origin_last <= taken,
                "{line:?}"
            );
            assert!(origin_first <= first, "{line:?}");
        }
    }
}

#[test]
fn bytes_fit_lengths_and_ranges() {
    let text = a_day();
    for line in parse(&text) {
        let Ok(length) = line["sc-content-len"].parse::<u64>() else {
            continue;
        };
        let sent: u64 = line["sc-bytes"].parse().unwrap();
        let left_early = line["x-edge-detailed-result-type"] == "ClientCommError";
        if line["cs-method"] == "HEAD" {
            assert!(sent < 600, "{line:?}");
        } else if left_early {
            assert!(sent < length + 600, "{line:?}");
        } else {
            assert!((length + 300..length + 600).contains(&sent), "{line:?}");
        }
        if let Ok(first) = line["sc-range-start"].parse::<u64>() {
            let last: u64 = line["sc-range-end"].parse().unwrap();
            assert_eq!(last - first + 1, length);
        }
    }
}

#[test]
fn headers_are_cut_between_headers_and_cookies_at_800_bytes() {
    let (mut cut, mut cut_cookies) = (0, 0);
    let text = a_day();
    for line in parse(&text) {
        let headers = decode(line["cs-headers"]);
        let names = decode(line["cs-header-names"]);
        let count: usize = line["cs-headers-count"].parse().unwrap();
        assert_eq!(names.lines().count(), count, "all names are there");
        assert!(headers.len() <= 800 && headers.ends_with('\n'));
        for (header, name) in headers.lines().zip(names.lines()) {
            assert_eq!(header.split_once(':').unwrap().0, name);
        }
        cut += u64::from(headers.lines().count() < count);

        let cookie = decode(line["cs-cookie"]);
        assert!(cookie.len() <= 800);
        cut_cookies += u64::from(cookie.len() == 800);
        if let Some(agent) = headers.lines().find_map(|h| h.strip_prefix("User-Agent:")) {
            assert_eq!(agent, decode(line["cs-user-agent"]));
        }
    }
    assert!(cut > 100 && cut_cookies > 100, "{cut} and {cut_cookies}");
}

#[test]
fn request_ids_are_unique_across_lines_and_seeds() {
    let mut seen = HashSet::new();
    let mut check = |settings: &Settings| {
        let (out, _) = write(settings, 200_000);
        for id in String::from_utf8(out).unwrap().lines() {
            assert!(id.len() == 56 && id.ends_with("=="), "{id}");
            assert!(seen.insert(id.to_owned()), "{id} came twice");
        }
    };
    for seed in [7, 8] {
        let mut settings = settings(seed, 200_000, HOUR);
        settings.format = Format::RealTime(Layout::from_names(["x-edge-request-id"]).unwrap());
        check(&settings);
    }
}

#[test]
fn a_viewer_is_always_the_same() {
    let text = a_day();
    let mut viewers: HashMap<&str, [&str; 3]> = HashMap::new();
    let mut lines = 0;
    for line in parse(&text) {
        let ip: IpAddr = line["c-ip"].parse().unwrap();
        assert_eq!(
            line["c-ip-version"],
            if ip.is_ipv6() { "IPv6" } else { "IPv4" }
        );
        assert_eq!(ip.to_string(), line["c-ip"], "in canonical form");
        assert_eq!(
            line["s-ip"].parse::<IpAddr>().unwrap().is_ipv6(),
            ip.is_ipv6()
        );
        let place = [line["c-country"], line["asn"], line["c-ip-version"]];
        let known = viewers.entry(line["c-ip"]).or_insert(place);
        assert_eq!(*known, place);
        lines += 1;
    }
    let viewers = viewers.len();
    assert!(viewers > 5_000, "many viewers: {viewers}");
    assert!(viewers * 3 < lines * 2, "who come again: {viewers}");
}

#[test]
fn video_players_send_cmcd() {
    let mut video = settings(7, 20_000, HOUR);
    video.profile = Profile::Video;
    let (text, truth) = write_text(&video, 20_000);
    assert!(truth.cmcd > 5_000, "{}", truth.cmcd);
    for line in parse(&text) {
        let sent = line["cmcd-version"] != "-";
        for name in FIELD_NAMES.iter().filter(|name| name.starts_with("cmcd-")) {
            assert!(sent || line[*name] == "-", "{name}");
        }
        if sent {
            assert!(line["cs-uri-stem"].contains("/seg-"));
            let number = |name: &str| line[name].parse::<u32>().unwrap();
            assert_eq!(number("cmcd-buffer-length") % 100, 0);
            assert_eq!(number("cmcd-measured-throughput") % 100, 0);
            assert!(number("cmcd-encoded-bitrate") <= number("cmcd-top-bitrate"));
            assert_eq!(line["cmcd-session-id"].len(), 36);
        }
    }
}

#[test]
fn traffic_is_diverse() {
    let text = a_day();
    let distinct = |name: &str| {
        parse(&text)
            .map(|line| line[name])
            .collect::<HashSet<_>>()
            .len()
    };
    for (name, at_least) in [
        ("cs-host", 9),
        ("x-host-header", 6),
        ("c-country", 25),
        ("asn", 25),
        ("x-edge-location", 70),
        ("cs-user-agent", 30),
        ("sc-status", 18),
        ("cs-method", 7),
        ("sc-content-type", 15),
        ("cs-uri-stem", 12_000),
        ("ssl-cipher", 6),
        ("cache-behavior-path-pattern", 12),
    ] {
        assert!(distinct(name) >= at_least, "{name}: {}", distinct(name));
    }
    let share = |name: &str, test: &dyn Fn(&str) -> bool| {
        parse(&text).filter(|line| test(line[name])).count() as f64 / LINES as f64
    };
    let between =
        |value: f64, low: f64, high: f64| assert!((low..high).contains(&value), "{value}");
    between(share("x-edge-result-type", &|v| v == "Hit"), 0.55, 0.75);
    between(share("c-ip-version", &|v| v == "IPv6"), 0.25, 0.5);
    between(share("sc-status", &|v| v.starts_with('5')), 0.0005, 0.006);
    between(
        share("cs-uri-query", &|v| v.contains("email=")),
        0.002,
        0.02,
    );
    between(
        share("cs-uri-query", &|v| v.contains("token=")),
        0.003,
        0.03,
    );
    between(
        share("cs-cookie", &|v| v.contains("session_id=")),
        0.05,
        0.3,
    );
}
