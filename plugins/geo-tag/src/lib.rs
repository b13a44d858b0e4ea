//! Tags requests with where the viewer's address is and whose network it is
//! in, from MaxMind-format databases that the operator supplies.
//!
//! - [`GeoTag`] is the plugin, [`Config`] what can be configured;
//! - `database` opens a database and looks addresses up;
//! - `record` decodes what is wanted of its records;
//! - `cache` keeps decoded records, which many addresses share.

mod cache;
mod config;
mod database;
mod record;

use std::net::IpAddr;

use canopy_sdk::prelude::*;

use crate::config::Column;
pub use crate::config::Config;
use crate::database::{Database, Slot};
use crate::record::{Network, Place, Record};

/// The plugin.
#[derive(Debug)]
pub struct GeoTag {
    prefix: String,
    columns: Vec<Column>,
    city: Option<Database<Place>>,
    country: Option<Database<Place>>,
    asn: Option<Database<Network>>,
}

/// What it reads.
#[derive(Input)]
pub struct Request<'a> {
    c_ip: &'a str,
}

/// What it makes; the prefix is put in front of the names.
#[derive(Output)]
pub struct Tags {
    /// The viewer's country, ISO 3166-1 alpha-2, by the geo database.
    #[canopy(low_cardinality)]
    country: Nullable<Text>,
    /// The viewer's city by the geo database.
    city: Nullable<Text>,
    /// Degrees north of the viewer's area by the geo database.
    latitude: Nullable<Float>,
    /// Degrees east of the viewer's area by the geo database.
    longitude: Nullable<Float>,
    /// The autonomous system number of the viewer's network by the ASN database.
    asn: Nullable<Int>,
    /// The organization that runs the viewer's network by the ASN database.
    as_org: Nullable<Text>,
}

impl Plugin for GeoTag {
    type Config = Config;
    type Input<'a> = Request<'a>;
    type Output = Tags;
    const PURITY: Purity = Purity::PerDistinct;
    const DATA: &'static [DataFile] = &[
        DataFile::optional("city", "A City database: country, city, coordinates."),
        DataFile::optional("country", "A Country database: country."),
        DataFile::optional(
            "asn",
            "An ASN or ISP database: network number and organization.",
        ),
    ];

    fn new(config: Config, data: &Data) -> Result<Self, Error> {
        let language = &config.language;
        let city = open(Slot::CITY, data, language)?;
        let country = open(Slot::COUNTRY, data, language)?;
        let asn = open(Slot::ASN, data, language)?;
        if city.is_none() && country.is_none() && asn.is_none() {
            let message =
                "no database is given: at least one of `city`, `country` and `asn` is needed";
            return Err(Error::data("city", message));
        }
        let columns = config.columns(|column| match column {
            Column::Country => city.is_some() || country.is_some(),
            Column::City | Column::Latitude | Column::Longitude => city.is_some(),
            Column::Asn | Column::AsOrg => asn.is_some(),
        })?;
        Ok(GeoTag {
            prefix: config.prefix,
            columns,
            city,
            country,
            asn,
        })
    }

    fn columns(&self, schema: &mut Schema) {
        for column in Column::ALL {
            if !self.columns.contains(&column) {
                schema.leave_out_output(column.name());
            }
        }
        schema.prefix_outputs(&format!("{}_", self.prefix));
    }

    fn row(&mut self, request: Request<'_>, row: &mut Row<Tags>) -> RowResult {
        let Ok(address) = request.c_ip.parse::<IpAddr>() else {
            return Ok(Verdict::Keep);
        };
        // An IPv4 address in IPv6 clothes (`::ffff:192.0.2.7`) is looked up as
        // what it is.
        let address = address.to_canonical();
        if let Some(database) = &mut self.city
            && let Some(place) = database.lookup(address)?
        {
            row.country.set(place.country.as_deref());
            row.city.set(place.city.as_deref());
            row.latitude
                .set(place.coordinates.map(|(latitude, _)| latitude));
            row.longitude
                .set(place.coordinates.map(|(_, longitude)| longitude));
        }
        // The country database is given for its countries: it has the last word.
        if let Some(database) = &mut self.country
            && let Some(place) = database.lookup(address)?
            && let Some(country) = &place.country
        {
            row.country.set(&**country);
        }
        if let Some(database) = &mut self.asn
            && let Some(network) = database.lookup(address)?
        {
            row.asn.set(network.number.map(i64::from));
            row.as_org.set(network.organization.as_deref());
        }
        Ok(Verdict::Keep)
    }
}

fn open<R: Record>(slot: Slot, data: &Data, language: &str) -> Result<Option<Database<R>>, Error> {
    let bytes = data.read_optional(slot.name)?;
    bytes
        .map(|bytes| Database::open(slot, bytes, language))
        .transpose()
}

canopy_sdk::export!(GeoTag);

#[cfg(test)]
mod fixture;

#[cfg(test)]
mod tests {
    use canopy_traffic::geo;
    use proptest::prelude::*;

    use super::fixture::{Value, database, map};
    use super::*;

    fn sample() -> Harness<GeoTag> {
        Harness::<GeoTag>::default()
            .with_data("city", geo::city_database())
            .with_data("asn", geo::asn_database())
    }

    fn column_names(mut harness: Harness<GeoTag>) -> Vec<String> {
        let schema = harness.configure().unwrap();
        schema.outputs().map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn every_sample_network_is_tagged_as_the_databases_say() {
        let mut harness = sample();
        for place in geo::places() {
            let tags = json!({
                "geo_country": place.country,
                "geo_city": place.city,
                "geo_latitude": place.coordinates.0,
                "geo_longitude": place.coordinates.1,
                "geo_asn": place.asn,
                "geo_as_org": place.organization,
            });
            let ipv4 = place.ipv4.0.to_string();
            let mapped = format!("::ffff:{ipv4}");
            let ipv6 = place.ipv6.0.to_string();
            let made = harness.run(json!([{ "c_ip": ipv4 }, { "c_ip": mapped }, { "c_ip": ipv6 }]));
            assert_eq!(made.rows, json!([tags, tags, tags]), "{place:?}");
        }
    }

    #[test]
    fn what_is_unknown_is_null() {
        let made = sample().run(json!([{ "c_ip": "192.0.2.1" }, { "c_ip": "" }, { "c_ip": "x" }]));
        let nothing = json!({
            "geo_country": null,
            "geo_city": null,
            "geo_latitude": null,
            "geo_longitude": null,
            "geo_asn": null,
            "geo_as_org": null,
        });
        assert_eq!(made.rows, json!([nothing, nothing, nothing]));
        assert_eq!(made.rejected, []);
    }

    #[test]
    fn columns_are_those_that_the_databases_can_fill() {
        let harness = |name, file| Harness::<GeoTag>::default().with_data(name, file);
        assert_eq!(
            column_names(harness("city", geo::city_database())),
            ["geo_country", "geo_city", "geo_latitude", "geo_longitude"]
        );
        assert_eq!(
            column_names(harness("country", geo::city_database())),
            ["geo_country"]
        );
        assert_eq!(
            column_names(harness("asn", geo::asn_database())),
            ["geo_asn", "geo_as_org"]
        );
    }

    #[test]
    fn prefix_and_columns_can_be_chosen() {
        let config = json!({ "prefix": "viewer", "columns": ["as_org", "city"] });
        let harness = Harness::<GeoTag>::new(config)
            .with_data("city", geo::city_database())
            .with_data("asn", geo::asn_database());
        assert_eq!(column_names(harness), ["viewer_city", "viewer_as_org"]);
    }

    #[test]
    fn the_country_database_has_the_last_word_on_countries() {
        let country = |code| map([("country", map([("iso_code", Value::Text(code))]))]);
        let mut harness = Harness::<GeoTag>::default()
            .with_data("city", database("Test-City", 6, &country("AT")))
            .with_data("country", database("Test-Country", 4, &country("CH")));
        let made = harness.run(json!([{ "c_ip": "192.0.2.1" }, { "c_ip": "2001:db8::1" }]));
        assert_eq!(made.rows[0]["geo_country"], "CH");
        // The country database has no IPv6.
        assert_eq!(made.rows[1]["geo_country"], "AT");
    }

    #[test]
    fn city_names_come_in_a_language_or_else_in_english() {
        let names = map([("de", Value::Text("Wien")), ("en", Value::Text("Vienna"))]);
        let file = database("Test-City", 6, &map([("city", map([("names", names)]))]));
        for (language, city) in [("de", "Wien"), ("en", "Vienna"), ("pt-BR", "Vienna")] {
            let made = Harness::<GeoTag>::new(json!({ "language": language }))
                .with_data("city", file.clone())
                .run(json!([{ "c_ip": "192.0.2.1" }]));
            assert_eq!(made.rows[0]["geo_city"], city);
        }
    }

    #[test]
    fn coordinates_may_be_floats_but_must_be_on_earth() {
        let run = |latitude| {
            let location = map([("latitude", latitude), ("longitude", Value::Float(16.4))]);
            let file = database("Test-City", 6, &map([("location", location)]));
            let made = Harness::<GeoTag>::default()
                .with_data("city", file)
                .run(json!([{ "c_ip": "192.0.2.1" }]));
            (
                made.rows[0]["geo_latitude"].clone(),
                made.rows[0]["geo_longitude"].clone(),
            )
        };
        assert_eq!(run(Value::Float(48.2)), (json!(48.2), json!(16.4)));
        assert_eq!(run(Value::Double(48.2)), (json!(48.2), json!(16.4)));
        assert_eq!(run(Value::Double(f64::NAN)), (json!(null), json!(null)));
        assert_eq!(run(Value::Unsigned(91)), (json!(null), json!(null)));
    }

    #[track_caller]
    fn check_refused(harness: Harness<GeoTag>, expected: &str) {
        let mut harness = harness;
        let error = harness.configure().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn a_database_that_cannot_be_used_is_refused() {
        let given = |name, file: Vec<u8>| Harness::<GeoTag>::default().with_data(name, file);
        let city = geo::city_database();
        check_refused(
            Harness::<GeoTag>::default(),
            "data file `city`: no database is given: at least one of",
        );
        let unusable = "data file `city`: not a usable MaxMind-format database: ";
        check_refused(given("city", b"not a database".to_vec()), unusable);
        check_refused(given("city", Vec::new()), unusable);
        check_refused(given("city", city[..city.len() / 2].to_vec()), unusable);
        check_refused(
            given("city", database("Test", 6, &Value::Unsigned(1))),
            unusable,
        );
        check_refused(
            given("city", geo::asn_database()),
            "data file `city`: a database of type Canopy-Sample-ASN cannot be used",
        );
        check_refused(
            given("asn", city.clone()),
            "data file `asn`: a database of type Canopy-Sample-City cannot be used",
        );
        check_refused(
            Harness::<GeoTag>::new(json!({ "columns": ["asn"] })).with_data("city", city),
            "configuration key `columns.0`: none of the given databases",
        );
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..20),
            in_data in any::<bool>(),
        ) {
            let mut city = geo::city_database();
            let mut asn = geo::asn_database();
            for file in [&mut city, &mut asn] {
                // Data and metadata are the smaller part of these files, and
                // the part where damage is interesting.
                let start = if in_data { file.len() * 2 / 3 } else { 0 };
                let length = file.len() - start;
                for (place, byte) in &damage {
                    file[start + place.index(length)] = *byte;
                }
            }
            let mut harness = Harness::<GeoTag>::default().with_data("city", city).with_data("asn", asn);
            if harness.configure().is_ok() {
                let addresses = geo::places()
                    .flat_map(|place| [place.ipv4.0.to_string(), place.ipv6.0.to_string()]);
                let rows: Vec<_> = addresses.map(|address| json!({ "c_ip": address })).collect();
                harness.run(json!(rows));
            }
        }
    }
}
