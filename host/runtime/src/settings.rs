//! What the operator says of a plugin, checked against what the plugin says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::config_schema;
use crate::descriptor::{Descriptor, shorten};
use crate::limits::Limits;
use crate::open::OpenError;

/// What happens to a row that a plugin cannot handle, and with it to the row's
/// record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The row goes on with null in the plugin's columns. All of them must be
    /// nullable.
    Null,
    /// The row's record is set aside with the reason.
    Quarantine,
    /// The whole batch fails, to be tried again.
    Fail,
}

/// One plugin of the chain, as configured.
#[derive(Clone, Debug, Default)]
pub struct PluginSettings {
    /// The name under which records are rejected and metrics are kept.
    pub name: String,
    /// The plugin's configuration: an object, or null for an empty one.
    pub config: Value,
    /// The data files granted: the plugin's name for each, and its path.
    pub data: BTreeMap<String, PathBuf>,
    /// What happens to rows that fail. Default: [`OnError::Null`] when every
    /// output is a new nullable column or there is none, else
    /// [`OnError::Quarantine`].
    pub on_error: Option<OnError>,
    /// What the plugin may use.
    pub limits: Limits,
}

/// Returns the configuration as the plugin gets it, after checking it against
/// the plugin's schema.
pub(crate) fn check_config(
    plugin: &str,
    config: &Value,
    descriptor: &Descriptor,
) -> Result<String, OpenError> {
    let config = match config {
        Value::Null => &Value::Object(serde_json::Map::new()),
        config => config,
    };
    let unusable = |message: String| OpenError::ConfigSchema {
        plugin: plugin.to_owned(),
        message: shorten(&message),
    };
    config_schema::check(&descriptor.config_schema).map_err(unusable)?;
    let validator = config_schema::compile(&descriptor.config_schema)
        .map_err(|error| unusable(error.to_string()))?;
    if let Some(error) = validator.iter_errors(config).next() {
        let mut key = dotted(error.instance_path().as_str());
        let message = match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                if let [unexpected, ..] = unexpected.as_slice() {
                    if !key.is_empty() {
                        key.push('.');
                    }
                    key.push_str(unexpected);
                }
                format!(
                    "there is no such key; {}",
                    known_keys(&descriptor.config_schema)
                )
            }
            ValidationErrorKind::Required { property } => {
                format!("{property} is missing")
            }
            _ => error.to_string(),
        };
        return Err(OpenError::Config {
            plugin: plugin.to_owned(),
            key,
            message: shorten(&message),
        });
    }
    Ok(config.to_string())
}

/// Turns the JSON pointer `/rules/0/pattern` into `rules.0.pattern`.
fn dotted(pointer: &str) -> String {
    pointer
        .trim_start_matches('/')
        .split('/')
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect::<Vec<_>>()
        .join(".")
}

/// Names the keys of the top level.
fn known_keys(schema: &Value) -> String {
    match schema.get("properties").and_then(Value::as_object) {
        Some(properties) if !properties.is_empty() => {
            let keys: Vec<String> = properties.keys().map(|key| format!("`{key}`")).collect();
            format!("the plugin knows {}", keys.join(", "))
        }
        _ => "the plugin takes no configuration".to_owned(),
    }
}

/// Checks that the files granted are ones the plugin wants, are there and fit
/// into its memory, and that those it cannot work without are granted.
pub(crate) fn check_data(
    plugin: &str,
    settings: &PluginSettings,
    descriptor: &Descriptor,
) -> Result<(), OpenError> {
    for (name, path) in &settings.data {
        if !descriptor.data.iter().any(|file| file.name == *name) {
            let wanted: Vec<String> = descriptor
                .data
                .iter()
                .map(|file| format!("`{}`", file.name))
                .collect();
            return Err(OpenError::UnknownData {
                plugin: plugin.to_owned(),
                name: name.clone(),
                wanted: if wanted.is_empty() {
                    "none".to_owned()
                } else {
                    wanted.join(", ")
                },
            });
        }
        let unreadable = |source| OpenError::UnreadableData {
            plugin: plugin.to_owned(),
            name: name.clone(),
            path: path.clone(),
            source,
        };
        let bytes = std::fs::File::open(path)
            .and_then(|file| file.metadata())
            .and_then(|metadata| match metadata.is_file() {
                true => Ok(metadata.len()),
                false => Err(std::io::ErrorKind::IsADirectory.into()),
            })
            .map_err(unreadable)?;
        if bytes >= settings.limits.memory_bytes {
            return Err(OpenError::DataTooLarge {
                plugin: plugin.to_owned(),
                name: name.clone(),
                bytes,
                limit_bytes: settings.limits.memory_bytes,
            });
        }
    }
    let missing = descriptor
        .data
        .iter()
        .find(|file| file.required && !settings.data.contains_key(&file.name));
    match missing {
        None => Ok(()),
        Some(file) => Err(OpenError::MissingData {
            plugin: plugin.to_owned(),
            name: file.name.clone(),
            doc: file.doc.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::{DataFile, Purity};
    use serde_json::json;

    fn descriptor() -> Descriptor {
        Descriptor {
            name: "geo-tag".to_owned(),
            version: "0.1.0".to_owned(),
            summary: String::new(),
            config_schema: json!({
                "type": "object",
                "properties": {
                    "prefix": {"type": "string", "pattern": "^[a-z_]+$"},
                    "rules": {"type": "array", "items": {
                        "type": "object",
                        "properties": {"pattern": {"type": "string"}},
                        "required": ["pattern"],
                        "additionalProperties": false,
                    }},
                },
                "additionalProperties": false,
            }),
            data: vec![DataFile {
                name: "city".to_owned(),
                doc: "a MaxMind city database".to_owned(),
                required: true,
            }],
            purity: Purity::PerRow,
        }
    }

    fn message(config: Value) -> String {
        check_config("geo", &config, &descriptor())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_configuration_that_fits_is_passed_on_as_json() {
        let config = check_config("geo", &json!({"prefix": "geo"}), &descriptor());
        assert_eq!(config.unwrap(), r#"{"prefix":"geo"}"#);
        assert_eq!(
            check_config("geo", &Value::Null, &descriptor()).unwrap(),
            "{}"
        );
    }

    #[test]
    fn the_key_at_fault_is_named() {
        let wrong = message(json!({"rules": [{"pattern": "a"}, {"pattern": 7}]}));
        assert!(
            wrong.contains("`rules.1.pattern`") && wrong.contains("string"),
            "{wrong}"
        );
        let missing = message(json!({"rules": [{}]}));
        assert!(
            missing.contains("`rules.0`") && missing.contains("\"pattern\" is missing"),
            "{missing}"
        );
        let unknown = message(json!({"prefx": "geo"}));
        assert!(
            unknown.contains("`prefx`") && unknown.contains("knows `prefix`, `rules`"),
            "{unknown}"
        );
        let whole = message(json!([1]));
        assert!(whole.contains("object"), "{whole}");
    }

    #[test]
    fn data_files_are_checked_before_the_plugin_sees_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("city.mmdb");
        let message = |data: &[(&str, &PathBuf)], memory_bytes| {
            let settings = PluginSettings {
                data: data
                    .iter()
                    .map(|&(name, path)| (name.to_owned(), path.clone()))
                    .collect(),
                limits: Limits {
                    memory_bytes,
                    ..Limits::default()
                },
                ..PluginSettings::default()
            };
            check_data("geo", &settings, &descriptor()).map_err(|error| error.to_string())
        };
        let missing = message(&[], 1000).unwrap_err();
        assert!(
            missing.contains("`city`") && missing.contains("a MaxMind city database"),
            "{missing}"
        );
        let unreadable = message(&[("city", &path)], 1000).unwrap_err();
        assert!(unreadable.contains("city.mmdb"), "{unreadable}");
        std::fs::write(&path, [0; 100]).unwrap();
        let unknown = message(&[("city", &path), ("asn", &path)], 1000).unwrap_err();
        assert!(
            unknown.contains("`asn`") && unknown.contains("wants `city`"),
            "{unknown}"
        );
        let large = message(&[("city", &path)], 100).unwrap_err();
        assert!(large.contains("limits.memory"), "{large}");
        assert_eq!(message(&[("city", &path)], 1000), Ok(()));
    }
}
