//! A MaxMind-format database, searched by address.

use std::net::IpAddr;

use canopy_sdk::Error;
use maxminddb::{MaxMindDbError, Reader};

use crate::cache::Cache;
use crate::record::Record;

/// What a data file is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// The data file's name.
    pub(crate) name: &'static str,
    /// Words of which a database's type has one if it fits.
    pub(crate) types: &'static [&'static str],
}

impl Slot {
    /// A database of cities.
    pub(crate) const CITY: Slot = Slot {
        name: "city",
        types: &["City", "Enterprise", "Location"],
    };
    /// A database of countries, or more.
    pub(crate) const COUNTRY: Slot = Slot {
        name: "country",
        types: &["Country", "City", "Enterprise", "Location"],
    };
    /// A database of networks.
    pub(crate) const ASN: Slot = Slot {
        name: "asn",
        types: &["ASN", "ISP", "Enterprise"],
    };
}

/// Words in the types of all databases that are known to fit somewhere, or
/// known to fit nowhere.
const KNOWN_TYPES: [&str; 9] = [
    "City",
    "Country",
    "Enterprise",
    "Location",
    "ASN",
    "ISP",
    "Anonymous",
    "Connection-Type",
    "Domain",
];

/// How many decoded records a database keeps: many addresses share a record.
/// The table takes 100 to 300 KiB.
const CACHED_RECORDS: usize = 4096;

/// How many addresses of each IP version are tried when a database is opened.
const PROBES: u32 = 1024;

/// A database of records `R`.
#[derive(Debug)]
pub(crate) struct Database<R> {
    reader: Reader<Vec<u8>>,
    language: String,
    cache: Cache<R>,
}

impl<R: Record> Database<R> {
    /// Opens the database in `bytes`, which was given for `slot`.
    ///
    /// The frame of the file is checked, and addresses all over the address
    /// space are tried. The whole is not walked: that takes seconds for a City
    /// database. Damage that was missed is an error of
    /// [`lookup`](Self::lookup).
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the file is no such database, or damaged.
    pub(crate) fn open(slot: Slot, bytes: Vec<u8>, language: &str) -> Result<Self, Error> {
        let damaged = |error: MaxMindDbError| {
            let message = format!("not a usable MaxMind-format database: {error}");
            Error::data(slot.name, message)
        };
        let reader = Reader::from_source(bytes).map_err(damaged)?;
        let kind = &reader.metadata().database_type;
        let says = |words: &[&str]| words.iter().any(|word| kind.contains(word));
        // A type that names no known kind is given the benefit of the doubt:
        // other makers of databases call theirs what they like.
        if says(&KNOWN_TYPES) && !says(slot.types) {
            let message = format!("a database of type {kind} cannot be used for this");
            return Err(Error::data(slot.name, message));
        }
        let mut database = Database {
            reader,
            language: language.to_owned(),
            cache: Cache::new(CACHED_RECORDS),
        };
        database.probe().map_err(damaged)?;
        Ok(database)
    }

    /// Looks up addresses spread over IPv4 and over 2000::/3, the part of IPv6
    /// in use.
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
