//! Tags requests with where the viewer's address is and whose network it is
//! in, from MaxMind-format databases that the operator supplies.
//!
//! - [`GeoTag`] is the plugin, [`Config`] what can be configured;
//! - `database` opens a database and decodes what is wanted of its records;
//! - `cache` keeps decoded records, which many addresses share.

mod cache;
mod config;
mod database;

use std::net::IpAddr;

use canopy_sdk::prelude::*;

use crate::config::Column;
pub use crate::config::Config;
use crate::database::{Database, Network, Place};

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
        let city = open("city", data, language)?;
        let country = open("country", data, language)?;
        let asn = open("asn", data, language)?;
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

fn open<R: database::Record>(
    name: &str,
    data: &Data,
    language: &str,
) -> Result<Option<Database<R>>, Error> {
    let bytes = data.read_optional(name)?;
    bytes
        .map(|bytes| Database::open(name, bytes, language))
        .transpose()
}

canopy_sdk::export!(GeoTag);
