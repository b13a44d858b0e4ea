//! The table of edge locations: code to place.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::config::Location;

/// The built-in table: code, city, country, latitude, longitude; sorted by
/// code. Source: the airports that CloudFront's codes are named after.
const BUILT_IN: &str = include_str!("locations.csv");

/// Where an edge location is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    /// The metropolis it serves, in English.
    pub(crate) city: Cow<'static, str>,
    /// ISO 3166-1 alpha-2.
    pub(crate) country: Cow<'static, str>,
    /// Degrees north.
    pub(crate) latitude: f64,
    /// Degrees east.
    pub(crate) longitude: f64,
}

/// The known codes and their places.
#[derive(Debug)]
pub(crate) struct Table {
    places: BTreeMap<[u8; CODE_BYTES], Place>,
}

/// The length of a code, which is an airport's IATA code.
pub(crate) const CODE_BYTES: usize = 3;

impl Table {
    /// Returns the built-in table with `extra` added to it; an entry of
    /// `extra` replaces the built-in one of its code.
    pub(crate) fn with(extra: &BTreeMap<String, Location>) -> Self {
        let mut places: BTreeMap<_, _> = BUILT_IN.lines().skip(1).filter_map(built_in).collect();
        for (name, location) in extra {
            if let Some(key) = key(name) {
                let place = Place {
                    city: location.city.clone().into(),
                    country: location.country.clone().into(),
                    latitude: location.latitude,
                    longitude: location.longitude,
                };
                places.insert(key, place);
            }
        }
        Table { places }
    }

    /// Returns the place of a code, if it is known.
    pub(crate) fn get(&self, code: &str) -> Option<&Place> {
        self.places.get(&key(code)?)
    }
}

fn key(code: &str) -> Option<[u8; CODE_BYTES]> {
    code.as_bytes().try_into().ok()
}

/// Parses a line of the built-in table. A test proves that every line parses.
fn built_in(line: &'static str) -> Option<([u8; CODE_BYTES], Place)> {
    let mut fields = line.split(',');
    let mut next = || fields.next();
    let place = (
        key(next()?)?,
        Place {
            city: next()?.into(),
            country: next()?.into(),
            latitude: next()?.parse().ok()?,
            longitude: next()?.parse().ok()?,
        },
    );
    next().is_none().then_some(place)
}

/// Returns the code in an edge location's name (`SFO` of `SFO53-P9`): three
/// capital letters that stand alone, or before a digit or `-`.
pub(crate) fn code(location: &str) -> Option<&str> {
    let code = location.get(..CODE_BYTES)?;
    let ends = location[CODE_BYTES..]
        .bytes()
        .next()
        .is_none_or(|byte| byte.is_ascii_digit() || byte == b'-');
    (ends && code.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(code)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_code_is_the_letters_before_the_number() {
        for (location, expected) in [
            ("SFO53-P9", Some("SFO")),
            ("NRT57-C1", Some("NRT")),
            ("FRA2", Some("FRA")),
            ("IAD", Some("IAD")),
            ("XXX1", Some("XXX")),
            ("", None),
            ("-", None),
            ("SF", None),
            ("sfo53", None),
            ("SFOX5", None),
            ("ÄÖ5", None),
        ] {
            assert_eq!(code(location), expected, "{location}");
        }
    }

    #[test]
    fn every_line_of_the_built_in_table_is_sound() {
        let mut last = String::new();
        for line in BUILT_IN.lines().skip(1) {
            let (key, place) = built_in(line).unwrap_or_else(|| panic!("{line}"));
            let code = String::from_utf8(key.to_vec()).unwrap();
            assert!(code.bytes().all(|byte| byte.is_ascii_uppercase()), "{line}");
            assert!(last < code, "{line} is not in order");
            assert!(!place.city.is_empty(), "{line}");
            assert!(place.country.len() == 2, "{line}");
            assert!(
                place.country.bytes().all(|byte| byte.is_ascii_uppercase()),
                "{line}"
            );
            assert!(
                place.latitude.abs() <= 90.0 && place.longitude.abs() <= 180.0,
                "{line}"
            );
            last = code;
        }
    }

    #[test]
    fn the_built_in_table_covers_the_world() {
        let table = Table::with(&BTreeMap::new());
        assert!(table.places.len() >= 200);
        for code in [
            "SFO", "IAD", "FRA", "NRT", "SYD", "GRU", "JNB", "BOM", "DXB", "ICN",
        ] {
            assert!(table.get(code).is_some(), "{code}");
        }
        assert!(table.get("XXX").is_none());
    }

    proptest! {
        #[test]
        fn no_text_panics(location in ".{0,12}") {
            let table = Table::with(&BTreeMap::new());
            if let Some(code) = code(&location) {
                table.get(code);
            }
        }
    }
}
