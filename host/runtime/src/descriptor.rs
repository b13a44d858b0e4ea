//! What a plugin says of itself.

use serde_json::Value;

use crate::contract::v0_1;
use crate::failure::Failure;

/// Bytes of a configuration schema that are read; the largest in use are a few
/// kilobytes.
const MAX_SCHEMA_BYTES: usize = 256 << 10;

/// Data files a plugin may want.
const MAX_DATA_FILES: usize = 64;

/// How often the host has to ask a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purity {
    /// About every row.
    PerRow,
    /// Once for each distinct tuple of inputs will do.
    PerDistinct,
}

/// A file of data a plugin wants, such as a geo database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// The name under which the plugin reads it, and the operator grants it.
    pub name: String,
    /// What it is for.
    pub doc: String,
    /// Whether the plugin cannot work without it.
    pub required: bool,
}

/// What a plugin says of itself: `descriptor` of the contract in `wit/`.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    /// Lower-case letters, digits and `-`.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// What it does, in one line.
    pub summary: String,
    /// The JSON Schema of its configuration, an object.
    pub config_schema: Value,
    /// The data files it wants.
    pub data: Vec<DataFile>,
    /// How often the host has to ask.
    pub purity: Purity,
}

/// A plugin could not say what it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescribeError {
    /// The call failed.
    #[error("the plugin failed to describe itself")]
    Failed(#[from] Failure),
    /// What it said breaks the contract's rules.
    #[error("the plugin describes itself wrongly: {field} {message}")]
    Field {
        /// The field of the descriptor.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

impl Descriptor {
    /// Checks what `describe` returned.
    pub(crate) fn check(raw: v0_1::Descriptor) -> Result<Self, DescribeError> {
        let wrong = |field, message: String| Err(DescribeError::Field { field, message });
        if !is_plugin_name(&raw.name) {
            return wrong(
                "name",
                format!(
                    "`{}` is not lower-case letters, digits and `-` (at most 64)",
                    shorten(&raw.name)
                ),
            );
        }
        if raw.version.is_empty() || raw.version.len() > 64 || !is_graphic(&raw.version) {
            return wrong(
                "version",
                format!("`{}` is not semver", shorten(&raw.version)),
            );
        }
        if raw.config_schema.len() > MAX_SCHEMA_BYTES {
            return wrong(
                "config-schema",
                format!(
                    "has {} bytes, at most {MAX_SCHEMA_BYTES} are read",
                    raw.config_schema.len()
                ),
            );
        }
        let config_schema: Value = match serde_json::from_str(&raw.config_schema) {
            Ok(schema @ Value::Object(_)) => schema,
            Ok(_) => return wrong("config-schema", "is not a JSON object".to_owned()),
            Err(error) => return wrong("config-schema", format!("is not JSON: {error}")),
        };
        if raw.data.len() > MAX_DATA_FILES {
            return wrong(
                "data",
                format!("names {} files, at most {MAX_DATA_FILES}", raw.data.len()),
            );
        }
        let data: Vec<DataFile> = raw
            .data
            .into_iter()
            .map(|file| DataFile {
                name: file.name,
                doc: shorten(&file.doc),
                required: file.required,
            })
            .collect();
        for (index, file) in data.iter().enumerate() {
            if !is_data_name(&file.name) {
                return wrong(
                    "data",
                    format!(
                        "name `{}` is not letters, digits, `.`, `_` and `-` (at most 64)",
                        shorten(&file.name)
                    ),
                );
            }
            if data[..index].iter().any(|other| other.name == file.name) {
                return wrong("data", format!("names `{}` twice", file.name));
            }
        }
        Ok(Descriptor {
            name: raw.name,
            version: raw.version,
            summary: shorten(&raw.summary),
            config_schema,
            data,
            purity: match raw.purity {
                v0_1::Purity::PerRow => Purity::PerRow,
                v0_1::Purity::PerDistinct => Purity::PerDistinct,
            },
        })
    }
}

fn is_graphic(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_data_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn is_plugin_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Cuts a guest's text to what fits in a message, and escapes what would steer
/// a terminal or turn text around.
pub(crate) fn shorten(text: &str) -> String {
    const MAX_CHARS: usize = 300;
    let mut short = String::with_capacity(text.len().min(2 * MAX_CHARS));
    let mut chars = text.chars();
    for character in chars.by_ref().take(MAX_CHARS) {
        match character {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                short.extend(character.escape_unicode());
            }
            character if character.is_control() => short.extend(character.escape_default()),
            character => short.push(character),
        }
    }
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(name: &str, config_schema: &str) -> v0_1::Descriptor {
        v0_1::Descriptor {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            summary: "Tags.".to_owned(),
            config_schema: config_schema.to_owned(),
            data: Vec::new(),
            purity: v0_1::Purity::PerRow,
        }
    }

    #[test]
    fn a_descriptor_by_the_rules_is_taken() {
        let descriptor = Descriptor::check(raw("geo-tag", r#"{"type":"object"}"#)).unwrap();
        assert_eq!(descriptor.config_schema["type"], "object");
    }

    #[test]
    fn a_name_or_schema_against_the_rules_is_named() {
        let wrong = |name, schema| {
            Descriptor::check(raw(name, schema))
                .unwrap_err()
                .to_string()
        };
        assert!(wrong("Geo Tag", "{}").contains("`Geo Tag`"));
        assert!(wrong("", "{}").contains("name"));
        assert!(wrong("a", "{").contains("is not JSON"));
        assert!(wrong("a", "[]").contains("not a JSON object"));
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shorten(&"é".repeat(400)).chars().count(), 301);
    }

    #[test]
    fn text_cannot_steer_a_terminal() {
        assert_eq!(shorten("a\u{1b}[2J\n\u{202e}b"), r"a\u{1b}[2J\n\u{202e}b");
    }

    #[test]
    fn data_files_have_short_plain_names() {
        for name in ["", "a b", "\u{1b}[2J", &"x".repeat(65)] {
            let mut descriptor = raw("geo-tag", "{}");
            descriptor.data.push(v0_1::DataFile {
                name: name.to_owned(),
                doc: String::new(),
                required: false,
            });
            let error = Descriptor::check(descriptor).unwrap_err().to_string();
            assert!(error.contains("at most 64"), "{error}");
        }
    }
}
