//! What is wanted of a database's records. Everything else in them is skipped,
//! not decoded.

use std::fmt;

use maxminddb::{LookupResult, MaxMindDbError, PathElement};
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

/// What the search tree of a database gave.
pub(crate) type Found<'d> = LookupResult<'d, Vec<u8>>;

/// A kind of record.
pub(crate) trait Record: Sized {
    /// Decodes a record; `language` picks among names.
    ///
    /// # Errors
    ///
    /// Where the record is damaged or of another layout.
    fn decode(found: &Found<'_>, language: &str) -> Result<Option<Self>, MaxMindDbError>;
}

/// Where an address is; of a City or Country database.
#[derive(Debug, PartialEq)]
pub(crate) struct Place {
    /// ISO 3166-1 alpha-2.
    pub(crate) country: Option<Box<str>>,
    /// The city's name; none in a Country database.
    pub(crate) city: Option<Box<str>>,
    /// Degrees: north, east.
    pub(crate) coordinates: Option<(f64, f64)>,
}

impl Record for Place {
    fn decode(found: &Found<'_>, language: &str) -> Result<Option<Self>, MaxMindDbError> {
        #[derive(Deserialize)]
        struct Raw<'d> {
            #[serde(borrow)]
            country: Option<Country<'d>>,
            location: Option<Location>,
        }
        #[derive(Deserialize)]
        struct Country<'d> {
            iso_code: Option<&'d str>,
        }
        #[derive(Deserialize)]
        struct Location {
            latitude: Option<Number>,
            longitude: Option<Number>,
        }

        let Some(raw) = found.decode::<Raw<'_>>()? else {
            return Ok(None);
        };
        let mut city = city_name(found, language)?;
        if city.is_none() && language != ENGLISH {
            city = city_name(found, ENGLISH)?;
        }
        let location = raw.location;
        let coordinates = location.and_then(|at| at.latitude.zip(at.longitude));
        Ok(Some(Place {
            country: raw
                .country
                .and_then(|country| country.iso_code)
                .and_then(kept),
            city: city.and_then(kept),
            coordinates: coordinates
                .map(|(north, east)| (north.0, east.0))
                .filter(|(north, east)| north.abs() <= 90.0 && east.abs() <= 180.0),
        }))
    }
}

/// The language in which every name is given.
pub(crate) const ENGLISH: &str = "en";

fn city_name<'d>(found: &Found<'d>, language: &str) -> Result<Option<&'d str>, MaxMindDbError> {
    found.decode_path(&[
        PathElement::Key("city"),
        PathElement::Key("names"),
        PathElement::Key(language),
    ])
}

/// Whose network an address is in; of an ASN or ISP database.
#[derive(Debug, PartialEq)]
pub(crate) struct Network {
    /// The autonomous system's number.
    pub(crate) number: Option<u32>,
    /// The organization that runs it.
    pub(crate) organization: Option<Box<str>>,
}

impl Record for Network {
    fn decode(found: &Found<'_>, _language: &str) -> Result<Option<Self>, MaxMindDbError> {
        #[derive(Deserialize)]
        struct Raw<'d> {
            autonomous_system_number: Option<u32>,
            #[serde(borrow)]
            autonomous_system_organization: Option<&'d str>,
        }

        Ok(found.decode::<Raw<'_>>()?.map(|raw| Network {
            number: raw.autonomous_system_number,
            organization: raw.autonomous_system_organization.and_then(kept),
        }))
    }
}

/// The longest name that is kept, in bytes: no real one comes near, and
/// records are cached.
const MAX_NAME_BYTES: usize = 255;

fn kept(name: &str) -> Option<Box<str>> {
    (!name.is_empty() && name.len() <= MAX_NAME_BYTES).then(|| name.into())
}

/// A number in whichever type the database has it: MaxMind's coordinates are
/// doubles, others make floats.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Number, E> {
        Ok(Number(value))
    }

    fn visit_f32<E: serde::de::Error>(self, value: f32) -> Result<Number, E> {
        // Through text, so that 48.2 stays 48.2 and does not become 48.20000076.
        value.to_string().parse().map(Number).map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Number, E> {
        i32::try_from(value)
            .map(|value| Number(value.into()))
            .map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Number, E> {
        u32::try_from(value)
            .map(|value| Number(value.into()))
            .map_err(E::custom)
    }
}
