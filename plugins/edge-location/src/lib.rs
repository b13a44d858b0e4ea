//! Says where CloudFront's edge locations are: `x_edge_location` (`SFO53-P9`)
//! becomes a code, a city, a country and coordinates.
//!
//! - [`EdgeLocation`] is the plugin, [`Config`] what can be configured;
//! - `table` holds the codes and finds the code in an edge location's name.

mod config;
mod table;

use canopy_sdk::prelude::*;

pub use crate::config::Config;
use crate::table::Table;

/// The plugin.
#[derive(Debug)]
pub struct EdgeLocation {
    table: Table,
}

/// What it reads.
#[derive(Input)]
pub struct Request<'a> {
    x_edge_location: &'a str,
}

/// What it makes.
#[derive(Output)]
pub struct Edge {
    /// The edge location's airport code; null where its name has none.
    #[canopy(low_cardinality)]
    edge_code: Nullable<Text>,
    /// The edge location's city; null where the code is unknown.
    #[canopy(low_cardinality)]
    edge_city: Nullable<Text>,
    /// The edge location's country, ISO 3166-1 alpha-2; null where the code is unknown.
    #[canopy(low_cardinality)]
    edge_country: Nullable<Text>,
    /// Degrees north of the edge location's airport; null where the code is unknown.
    edge_latitude: Nullable<Float>,
    /// Degrees east of the edge location's airport; null where the code is unknown.
    edge_longitude: Nullable<Float>,
}

impl Plugin for EdgeLocation {
    type Config = Config;
    type Input<'a> = Request<'a>;
    type Output = Edge;
    const PURITY: Purity = Purity::PerDistinct;

    fn new(config: Config, _data: &Data) -> Result<Self, Error> {
        config.check()?;
        Ok(EdgeLocation {
            table: Table::with(&config.locations),
        })
    }

    fn row(&mut self, request: Request<'_>, row: &mut Row<Edge>) -> RowResult {
        let code = table::code(request.x_edge_location);
        row.edge_code.set(code);
        if let Some(place) = code.and_then(|code| self.table.get(code)) {
            row.edge_city.set(&*place.city);
            row.edge_country.set(&*place.country);
            row.edge_latitude.set(place.latitude);
            row.edge_longitude.set(place.longitude);
        }
        Ok(Verdict::Keep)
    }
}

canopy_sdk::export!(EdgeLocation);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_code_is_placed() {
        let made = EdgeLocationHarness::default().run(json!([{ "x_edge_location": "SFO53-P9" }]));
        assert_eq!(
            made.rows,
            json!([{
                "edge_code": "SFO",
                "edge_city": "San Francisco",
                "edge_country": "US",
                "edge_latitude": 37.62,
                "edge_longitude": -122.38,
            }])
        );
    }

    #[test]
    fn an_unknown_code_is_kept_without_a_place() {
        let made = EdgeLocationHarness::default()
            .run(json!([{ "x_edge_location": "QQQ1-C1" }, { "x_edge_location": "" }]));
        let nowhere = |code: Option<&str>| {
            json!({
                "edge_code": code,
                "edge_city": null,
                "edge_country": null,
                "edge_latitude": null,
                "edge_longitude": null,
            })
        };
        assert_eq!(made.rows, json!([nowhere(Some("QQQ")), nowhere(None)]));
    }

    #[test]
    fn the_configuration_adds_and_overrides_codes() {
        let place =
            |city| json!({ "city": city, "country": "NL", "latitude": 1.5, "longitude": 2 });
        let config = json!({ "locations": { "QQQ": place("Here"), "AMS": place("There") } });
        let made = EdgeLocationHarness::new(config)
            .run(json!([{ "x_edge_location": "QQQ1-C1" }, { "x_edge_location": "AMS50-P1" }]));
        assert_eq!(made.rows[0]["edge_city"], "Here");
        assert_eq!(made.rows[1]["edge_city"], "There");
        assert_eq!(made.rows[1]["edge_latitude"], 1.5);
    }

    #[test]
    fn a_wrong_configuration_names_its_key() {
        let place = |country: &str, latitude: f64| json!({ "city": "X", "country": country, "latitude": latitude, "longitude": 0 });
        for (code, place, key) in [
            ("sfo", place("US", 0.0), "locations.sfo"),
            ("SFO5", place("US", 0.0), "locations.SFO5"),
            ("SFO", place("USA", 0.0), "locations.SFO.country"),
            ("SFO", place("US", 91.0), "locations.SFO.latitude"),
            ("SFO", json!({ "city": "X" }), "locations.SFO"),
        ] {
            match EdgeLocationHarness::new(json!({ "locations": { code: place } })).configure() {
                Err(Error::Config { key: found, .. }) => assert_eq!(found, key),
                other => panic!("{other:?}"),
            }
        }
    }

    type EdgeLocationHarness = Harness<EdgeLocation>;
}
