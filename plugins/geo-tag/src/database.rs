//! A MaxMind-format database and the records Canopy wants of it.

use std::net::IpAddr;

use canopy_sdk::Error;
use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader};
use serde::Deserialize;

use crate::cache::Cache;

/// What of a database's record is kept. Everything else in it is skipped, not
/// decoded.
pub(crate) trait Record: Sized {
    /// Words in a database's type that say it holds such records.
    const TYPES: &'static [&'static str];

    /// Decodes a record; `language` picks among names.
    fn decode(found: &Found<'_>, language: &str) -> Result<Option<Self>, MaxMindDbError>;
}

/// What the search tree of a database gave.
type Found<'d> = LookupResult<'d, Vec<u8>>;

/// Where an address is; of a City or Country database.
#[derive(Debug, PartialEq)]
pub(crate) struct Place {
    /// ISO 3166-1 alpha-2.
    pub(crate) country: Option<Box<str>>,
    /// The city's name; none in a Country database.
    pub(crate) city: Option<Box<str>>,
    /// Degrees, latitude and longitude.
    pub(crate) coordinates: Option<(f64, f64)>,
}

impl Record for Place {
    const TYPES: &'static [&'static str] = &["City", "Country", "Enterprise", "Location"];

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
            latitude: Option<f64>,
            longitude: Option<f64>,
        }

        let Some(raw) = found.decode::<Raw<'_>>()? else {
            return Ok(None);
        };
        let mut city = city_name(found, language)?;
        if city.is_none() && language != ENGLISH {
            city = city_name(found, ENGLISH)?;
        }
        Ok(Some(Place {
            country: raw
                .country
                .and_then(|country| country.iso_code)
                .map(Box::from),
            city: city.map(Box::from),
            coordinates: raw
                .location
                .and_then(|location| location.latitude.zip(location.longitude))
                .filter(|(latitude, longitude)| latitude.abs() <= 90.0 && longitude.abs() <= 180.0),
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

/// Whose network an address is of; of an ASN or ISP database.
#[derive(Debug, PartialEq)]
pub(crate) struct Network {
    /// The autonomous system's number.
    pub(crate) number: Option<u32>,
    /// The organization that runs it.
    pub(crate) organization: Option<Box<str>>,
}

impl Record for Network {
    const TYPES: &'static [&'static str] = &["ASN", "ISP", "Enterprise"];

    fn decode(found: &Found<'_>, _language: &str) -> Result<Option<Self>, MaxMindDbError> {
        #[derive(Deserialize)]
        struct Raw<'d> {
            autonomous_system_number: Option<u32>,
            #[serde(borrow)]
            autonomous_system_organization: Option<&'d str>,
        }

        Ok(found.decode::<Raw<'_>>()?.map(|raw| Network {
            number: raw.autonomous_system_number,
            organization: raw.autonomous_system_organization.map(Box::from),
        }))
    }
}

/// Every word that [`Record::TYPES`] has anywhere.
const ALL_TYPES: [&str; 6] = ["City", "Country", "Enterprise", "Location", "ASN", "ISP"];

/// How many decoded records a database keeps. Many addresses share a record,
/// and a batch's addresses share few; the table takes 100 to 200 KiB.
const CACHED_RECORDS: usize = 4096;

/// How many addresses are tried when a database is opened.
const PROBES: u32 = 1024;

/// A database of records `R`, searched by address.
#[derive(Debug)]
pub(crate) struct Database<R> {
    reader: Reader<Vec<u8>>,
    language: String,
    cache: Cache<R>,
}

impl<R: Record> Database<R> {
    /// Opens the database in `bytes`, the data file `name`.
    ///
    /// The frame of the file is checked, and addresses all over the address
    /// space are tried. The whole is not walked: that takes seconds for a City
    /// database. Damage that was missed shows as an error of
    /// [`lookup`](Self::lookup).
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the file is no such database, or damaged.
    pub(crate) fn open(name: &str, bytes: Vec<u8>, language: &str) -> Result<Self, Error> {
        let reader = Reader::from_source(bytes).map_err(|error| damaged(name, &error))?;
        let kind = &reader.metadata().database_type;
        let says = |words: &[&str]| words.iter().any(|word| kind.contains(word));
        // A type that names no known kind is given the benefit of the doubt:
        // other makers of databases call theirs what they like.
        if says(&ALL_TYPES) && !says(R::TYPES) {
            let message = format!("a database of type {kind} cannot be used as `{name}`");
            return Err(Error::data(name, message));
        }
        let mut database = Database {
            reader,
            language: language.to_owned(),
            cache: Cache::new(CACHED_RECORDS),
        };
        database.probe().map_err(|error| damaged(name, &error))?;
        Ok(database)
    }

    /// Looks up addresses spread over IPv4 and over the part of IPv6 in use,
    /// 2000::/3.
    fn probe(&mut self) -> Result<(), MaxMindDbError> {
        for probe in 0..PROBES {
            let spread = probe.wrapping_mul(0x9e37_79b9);
            self.lookup(IpAddr::from(spread.to_be_bytes()))?;
            let high = 0x2000_0000 | spread >> 3;
            self.lookup(IpAddr::from((u128::from(high) << 96).to_be_bytes()))?;
        }
        Ok(())
    }

    /// Returns the record for `address`, if there is one.
    ///
    /// # Errors
    ///
    /// Where the database is damaged at this address.
    pub(crate) fn lookup(&mut self, address: IpAddr) -> Result<Option<&R>, MaxMindDbError> {
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Ok(None);
        }
        let found = self.reader.lookup(address)?;
        let Some(offset) = found.offset() else {
            return Ok(None);
        };
        self.cache
            .get_or_insert(offset, || R::decode(&found, &self.language))
    }
}

fn damaged(name: &str, error: &MaxMindDbError) -> Error {
    Error::data(
        name,
        format!("not a usable MaxMind-format database: {error}"),
    )
}
