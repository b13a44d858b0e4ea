//! What can be configured.

use canopy_sdk::prelude::*;

use crate::record::ENGLISH;

/// The plugin's configuration, as in canopy.toml.
#[config]
#[derive(Clone, Debug)]
#[serde(default)]
pub struct Config {
    /// What the names of the columns start with, before a `_`.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,31}$"))]
    pub(crate) prefix: String,
    /// The language of city names, as the database calls it: `en`, `de`,
    /// `pt-BR`. A city without a name in it keeps its English one.
    pub(crate) language: String,
    /// The columns to make. Absent: all that the given databases can fill.
    pub(crate) columns: Option<Vec<Column>>,
}

/// A column that can be made.
#[config]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// The country's code; of a city or country database.
    Country,
    /// The city's name; of a city database.
    City,
    /// Degrees north; of a city database.
    Latitude,
    /// Degrees east; of a city database.
    Longitude,
    /// The autonomous system's number; of an ASN database.
    Asn,
    /// The organization that runs it; of an ASN database.
    #[serde(rename = "as_org")]
    AsOrg,
}

impl Column {
    /// Every column that can be made.
    pub(crate) const ALL: [Column; 6] = [
        Column::Country,
        Column::City,
        Column::Latitude,
        Column::Longitude,
        Column::Asn,
        Column::AsOrg,
    ];

    /// Returns the column's name without the prefix.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Column::Country => "country",
            Column::City => "city",
            Column::Latitude => "latitude",
            Column::Longitude => "longitude",
            Column::Asn => "asn",
            Column::AsOrg => "as_org",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            prefix: "geo".to_owned(),
            language: ENGLISH.to_owned(),
            columns: None,
        }
    }
}

impl Config {
    /// Returns the columns to make, given what the databases can fill.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where the prefix makes no column name, or a column is
    /// asked for that no database can fill, or none is.
    pub(crate) fn columns(&self, can_fill: impl Fn(Column) -> bool) -> Result<Vec<Column>, Error> {
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let starts_well = self
            .prefix
            .starts_with(|first: char| first.is_ascii_lowercase());
        if !starts_well || self.prefix.len() > 32 || !self.prefix.bytes().all(is_name) {
            let message =
                "a prefix is at most 32 lower-case letters, digits and `_`, a letter first";
            return Err(Error::config("prefix", message));
        }
        let Some(wanted) = &self.columns else {
            return Ok(Column::ALL
                .into_iter()
                .filter(|column| can_fill(*column))
                .collect());
        };
        if wanted.is_empty() {
            return Err(Error::config("columns", "no column is selected"));
        }
        match wanted.iter().position(|column| !can_fill(*column)) {
            Some(index) => {
                let name = wanted[index].name();
                let message = format!("none of the given databases has what `{name}` needs");
                Err(Error::config(format!("columns.{index}"), message))
            }
            None => Ok(wanted.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_key(config: Config) -> String {
        match config.columns(|column| column == Column::Country) {
            Err(Error::Config { key, .. }) => key,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn columns_are_those_that_can_be_filled() {
        let columns = Config::default()
            .columns(|column| column != Column::City)
            .unwrap();
        assert_eq!(columns.len(), Column::ALL.len() - 1);
        assert!(!columns.contains(&Column::City));
    }

    #[test]
    fn an_error_names_the_key_at_fault() {
        let columns = |columns| Config {
            columns: Some(columns),
            ..Config::default()
        };
        assert_eq!(
            error_key(columns(vec![Column::Country, Column::Asn])),
            "columns.1"
        );
        assert_eq!(error_key(columns(vec![])), "columns");
        for prefix in ["", "1a", "Geo", "geo-", &"a".repeat(33)] {
            let prefix = prefix.to_owned();
            assert_eq!(
                error_key(Config {
                    prefix,
                    ..Config::default()
                }),
                "prefix"
            );
        }
    }
}
