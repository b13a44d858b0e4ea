//! The geo databases are valid, and agree with the lines.

use std::net::IpAddr;

use crate::naive::{HOUR, parse, settings, write_text};
use canopy_traffic::geo;
use maxminddb::{Reader, geoip2};

fn databases() -> (Reader<Vec<u8>>, Reader<Vec<u8>>) {
    let open = |bytes| Reader::from_source(bytes).expect("a MaxMind DB");
    (open(geo::city_database()), open(geo::asn_database()))
}

#[test]
fn both_databases_are_valid() {
    let (city, asn) = databases();
    city.verify().unwrap();
    asn.verify().unwrap();
    assert_eq!(city.metadata().database_type, "Canopy-Sample-City");
    assert_eq!(asn.metadata().database_type, "Canopy-Sample-ASN");
    for reader in [&city, &asn] {
        assert_eq!(reader.metadata().ip_version, 6);
        assert_eq!(reader.metadata().languages, ["en"]);
        assert!(reader.metadata().build_time().is_ok());
        let networks = reader
            .networks(maxminddb::WithinOptions::default())
            .unwrap();
        assert_eq!(
            networks.count(),
            geo::places().len() * 2,
            "IPv4 and IPv6 of each"
        );
    }
}

#[test]
fn every_place_reads_back_at_both_ends_of_its_networks() {
    let (city, asn) = databases();
    for place in geo::places() {
        let first = u128::from(place.ipv6.0);
        let last = first | (u128::MAX >> place.ipv6.1);
        let first4 = u32::from(place.ipv4.0);
        let last4 = first4 | (u32::MAX >> place.ipv4.1);
        let addresses = [
            IpAddr::from(first.to_be_bytes()),
            IpAddr::from(last.to_be_bytes()),
            IpAddr::from(first4.to_be_bytes()),
            IpAddr::from(last4.to_be_bytes()),
        ];
        for address in addresses {
            let found = city.lookup(address).unwrap();
            let found: geoip2::City = found.decode().unwrap().expect("it is known");
            assert_eq!(found.country.iso_code, Some(place.country));
            assert_eq!(found.city.names.english, Some(place.city));
            assert!(found.country.names.english.is_some() && found.continent.code.is_some());
            let coordinates = (found.location.latitude, found.location.longitude);
            assert_eq!(
                coordinates,
                (Some(place.coordinates.0), Some(place.coordinates.1))
            );

            let found = asn.lookup(address).unwrap();
            let found: geoip2::Asn = found.decode().unwrap().expect("it is known");
            assert_eq!(found.autonomous_system_number, Some(place.asn));
            assert_eq!(
                found.autonomous_system_organization,
                Some(place.organization)
            );
        }
    }
}

#[test]
fn other_addresses_are_unknown() {
    let (city, asn) = databases();
    for address in [
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "2001:db8::1",
        "::1",
        "198.18.0.1",
    ] {
        let address: IpAddr = address.parse().unwrap();
        assert!(!city.lookup(address).unwrap().has_data(), "{address}");
        assert!(!asn.lookup(address).unwrap().has_data(), "{address}");
    }
}

#[test]
fn lines_say_the_same_country_and_operator() {
    let (city, asn) = databases();
    let (text, _) = write_text(&settings(5, 20_000, HOUR), 20_000);
    for line in parse(&text) {
        let address: IpAddr = line["c-ip"].parse().unwrap();
        let found: geoip2::City = city.lookup(address).unwrap().decode().unwrap().unwrap();
        assert_eq!(found.country.iso_code, Some(line["c-country"]));
        let found: geoip2::Asn = asn.lookup(address).unwrap().decode().unwrap().unwrap();
        assert_eq!(
            found.autonomous_system_number.unwrap().to_string(),
            line["asn"]
        );
    }
}
