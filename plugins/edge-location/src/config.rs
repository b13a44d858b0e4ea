//! What can be configured.

use std::collections::BTreeMap;

use canopy_sdk::prelude::*;

use crate::table;

/// The plugin's configuration, as in canopy.toml.
#[config]
#[derive(Clone, Debug, Default)]
#[serde(default)]
pub struct Config {
    /// Places of codes that the built-in table lacks or has wrong, by code.
    pub(crate) locations: BTreeMap<String, Location>,
}

/// Where the edge locations of a code are.
#[config]
#[derive(Clone, Debug)]
pub(crate) struct Location {
    /// The city's name.
    pub(crate) city: String,
    /// Its country, ISO 3166-1 alpha-2.
    #[schemars(regex(pattern = "^[A-Z]{2}$"))]
    pub(crate) country: String,
    /// Degrees north.
    #[schemars(range(min = -90, max = 90))]
    pub(crate) latitude: f64,
    /// Degrees east.
    #[schemars(range(min = -180, max = 180))]
    pub(crate) longitude: f64,
}

impl Config {
    /// Checks what the schema cannot say, and, so that a component is safe in
    /// any host, what it can.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a key that is no code, or a value out of range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (name, location) in &self.locations {
            let key = format!("locations.{name}");
            if table::code(name) != Some(name) {
                return Err(Error::config(key, "a code is three capital letters"));
            }
            let country = location.country.as_bytes();
            if country.len() != 2 || !country.iter().all(u8::is_ascii_uppercase) {
                let message = "a country is two capital letters (ISO 3166-1 alpha-2)";
                return Err(Error::config(key + ".country", message));
            }
            for (field, degrees, most) in [
                ("latitude", location.latitude, 90.0),
                ("longitude", location.longitude, 180.0),
            ] {
                if degrees.is_nan() || degrees.abs() > most {
                    let message = format!("{degrees} is not between -{most} and {most}");
                    return Err(Error::config(format!("{key}.{field}"), message));
                }
            }
        }
        Ok(())
    }
}
