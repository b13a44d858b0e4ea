//! Geo databases for the invented addresses: what a MaxMind City and an ASN
//! database would say, had they heard of the networks this crate makes up.
//!
//! They let the demo and tests run the `geo-tag` plugin for real, with no
//! download and no licence. Countries and autonomous system numbers are the
//! same as `c-country` and `asn` in the log lines.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::mmdb::{Database, Value};
use crate::networks::{
    IPV4_PREFIX_BITS, IPV6_PREFIX_BITS, NETWORKS, Network, ipv4_network, ipv6_network,
};

/// When the databases say they were built: a constant, so that the same crate
/// makes the same bytes. 2026-11-01T00:00:00Z.
const BUILT_AT_SECONDS: u64 = 1_793_491_200;

/// A network and what the databases say of its addresses.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Place {
    /// First IPv4 address and bits of the prefix.
    pub ipv4: (Ipv4Addr, u32),
    /// First IPv6 address and bits of the prefix.
    pub ipv6: (Ipv6Addr, u32),
    /// ISO 3166-1 alpha-2.
    pub country: &'static str,
    /// English name.
    pub city: &'static str,
    /// Degrees north and east.
    pub coordinates: (f64, f64),
    /// Autonomous system number.
    pub asn: u32,
    /// Who operates it.
    pub organization: &'static str,
}

/// Returns all networks that traffic comes from.
pub fn places() -> impl ExactSizeIterator<Item = Place> {
    NETWORKS.iter().enumerate().map(|(index, network)| Place {
        ipv4: (Ipv4Addr::from_bits(ipv4_network(index)), IPV4_PREFIX_BITS),
        ipv6: (Ipv6Addr::from_bits(ipv6_network(index)), IPV6_PREFIX_BITS),
        country: network.country,
        city: network.city,
        coordinates: (network.latitude, network.longitude),
        asn: network.operator.asn,
        organization: network.operator.name,
    })
}

/// Returns a database (`.mmdb`) of type `Canopy-Sample-City` with the fields of
/// a City database: `city.names.en`, `continent.code`, `country.iso_code`,
/// `country.names.en`, `location.latitude` and `location.longitude`.
pub fn city_database() -> Vec<u8> {
    let mut database = Database::new();
    for (index, network) in NETWORKS.iter().enumerate() {
        let offset = database.add(&city(network));
        insert(&mut database, index, offset);
    }
    database.into_file(
        "Canopy-Sample-City",
        "Invented networks of generated CloudFront logs: places",
        BUILT_AT_SECONDS,
    )
}

/// Returns a database (`.mmdb`) of type `Canopy-Sample-ASN` with the fields of
/// an ASN database: `autonomous_system_number` and
/// `autonomous_system_organization`.
pub fn asn_database() -> Vec<u8> {
    let mut database = Database::new();
    let mut offsets: Vec<(u32, usize)> = Vec::new();
    for (index, network) in NETWORKS.iter().enumerate() {
        let operator = network.operator;
        let known = offsets.iter().find(|(asn, _)| *asn == operator.asn);
        let offset = match known {
            Some((_, offset)) => *offset,
            None => {
                let offset = database.add(&Value::Map(vec![
                    ("autonomous_system_number", Value::Uint32(operator.asn)),
                    ("autonomous_system_organization", Value::Text(operator.name)),
                ]));
                offsets.push((operator.asn, offset));
                offset
            }
        };
        insert(&mut database, index, offset);
    }
    database.into_file(
        "Canopy-Sample-ASN",
        "Invented networks of generated CloudFront logs: operators",
        BUILT_AT_SECONDS,
    )
}

fn insert(database: &mut Database, network: usize, offset: usize) {
    let ipv4 = u128::from(ipv4_network(network));
    database.insert(ipv4, 96 + IPV4_PREFIX_BITS, offset);
    database.insert(ipv6_network(network), IPV6_PREFIX_BITS, offset);
}

fn city(network: &Network) -> Value {
    let english = |name| Value::Map(vec![("en", Value::Text(name))]);
    Value::Map(vec![
        ("city", Value::Map(vec![("names", english(network.city))])),
        (
            "continent",
            Value::Map(vec![("code", Value::Text(continent(network.country)))]),
        ),
        (
            "country",
            Value::Map(vec![
                ("iso_code", Value::Text(network.country)),
                ("names", english(network.country_name)),
            ]),
        ),
        (
            "location",
            Value::Map(vec![
                ("latitude", Value::Double(network.latitude)),
                ("longitude", Value::Double(network.longitude)),
            ]),
        ),
    ])
}

fn continent(country: &str) -> &'static str {
    match country {
        "US" | "CA" | "MX" => "NA",
        "BR" | "AR" | "CL" => "SA",
        "IN" | "JP" | "KR" | "SG" | "MY" | "ID" | "TR" | "AE" => "AS",
        "AU" | "NZ" => "OC",
        "ZA" | "NG" | "KE" => "AF",
        _ => "EU",
    }
}
