//! The configuration: JSON text to the plugin's own type.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Nothing can be configured: any key is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "No configuration")]
pub struct NoConfig {}

/// Reads a configuration.
///
/// # Errors
///
/// [`Error::Config`] with the dotted path of the key at fault.
pub(crate) fn parse<C: DeserializeOwned>(json: &str) -> Result<C, Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let config = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let key = if path == "." { "" } else { &path };
        Error::config(dotted(key), error.inner())
    })?;
    deserializer
        .end()
        .map_err(|error| Error::config("", error))?;
    Ok(config)
}

/// Turns `rules[0].match` into the contract's `rules.0.match`.
fn dotted(path: &str) -> String {
    path.replace('[', ".").replace(']', "")
}

/// Returns the JSON Schema of a configuration type, as text.
pub(crate) fn schema<C: JsonSchema>() -> String {
    schemars::schema_for!(C).as_value().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        #[expect(dead_code, reason = "only the error is of interest")]
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        #[expect(dead_code, reason = "only the error is of interest")]
        limit: u8,
    }

    fn key(json: &str) -> String {
        match parse::<Config>(json) {
            Err(Error::Config { key, .. }) => key,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_error_names_the_key_at_fault() {
        assert_eq!(
            key(r#"{"rules":[{"limit":1},{"limit":"x"}]}"#),
            "rules.1.limit"
        );
        assert_eq!(key(r#"{"rules":[{"limit":1},{}]}"#), "rules.1");
        assert_eq!(key(r#"{"rules":[{"limti":1}]}"#), "rules.0.limti");
        assert_eq!(key(r#"{"rules":[]} 1"#), "");
        assert_eq!(key("[]"), "");
    }

    #[test]
    fn nothing_to_configure_allows_no_key() {
        assert!(parse::<NoConfig>("{}").is_ok());
        assert!(parse::<NoConfig>(r#"{"a":1}"#).is_err());
        assert!(schema::<NoConfig>().contains(r#""additionalProperties":false"#));
    }
}
