//! A bound on what a plugin's JSON Schema costs the host.
//!
//! The schema comes from the guest, and is compiled by the host, outside of
//! every limit that holds the guest. A few hundred bytes whose references
//! double twenty times would take gigabytes.

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

/// Values of the schema, every reference followed. The largest in use have
/// some hundred.
const MAX_VALUES: u32 = 10_000;

/// How deep values are nested, every reference followed.
const MAX_DEPTH: usize = 200;

/// Regular expressions, every reference followed, and the bytes of one.
const MAX_PATTERNS: u32 = 64;
const MAX_PATTERN_BYTES: usize = 1000;

/// Bytes of one regular expression compiled.
const COMPILED_PATTERN_BYTES: usize = 1 << 20;

/// Keywords that make a reference mean another place than its text says.
const REBASING: [&str; 6] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
];

/// Compiles a schema that [`check`] accepts, each expression within a bound.
pub(crate) fn compile(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    let patterns = PatternOptions::fancy_regex()
        .size_limit(COMPILED_PATTERN_BYTES)
        .dfa_size_limit(COMPILED_PATTERN_BYTES);
    jsonschema::options()
        .with_pattern_options(patterns)
        .build(schema)
}

/// Checks that compiling the schema costs little.
///
/// # Errors
///
/// What is too much, in a phrase.
pub(crate) fn check(schema: &Value) -> Result<(), String> {
    let mut walk = Walk {
        root: schema,
        values: 0,
        patterns: 0,
        following: Vec::new(),
    };
    walk.value(schema, 0)
}

struct Walk<'a> {
    root: &'a Value,
    values: u32,
    patterns: u32,
    /// The references that are being followed: a circle is followed once.
    following: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    /// Not memoised: what is compiled is the expanded schema, and its size is
    /// known after at most [`MAX_VALUES`] steps.
    fn value(&mut self, value: &'a Value, depth: usize) -> Result<(), String> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(format!(
                "with its references followed it has over {MAX_VALUES} values"
            ));
        }
        if depth > MAX_DEPTH {
            return Err(format!(
                "with its references followed it is over {MAX_DEPTH} levels deep"
            ));
        }
        match value {
            Value::Array(items) => items
                .iter()
                .try_for_each(|item| self.value(item, depth + 1)),
            Value::Object(members) => members
                .iter()
                .try_for_each(|(key, member)| self.member(key, member, depth)),
            _ => Ok(()),
        }
    }

    fn member(&mut self, key: &'a str, member: &'a Value, depth: usize) -> Result<(), String> {
        match (key, member) {
            ("$ref", Value::String(reference)) => self.reference(reference, depth)?,
            ("$id" | "id", Value::String(_)) if depth > 0 => {
                return Err(format!("`{key}` is taken at its top only"));
            }
            ("pattern", Value::String(pattern)) => self.pattern(pattern)?,
            ("patternProperties", Value::Object(properties)) => properties
                .keys()
                .try_for_each(|pattern| self.pattern(pattern))?,
            (key, Value::String(_) | Value::Bool(_)) if REBASING.contains(&key) => {
                return Err(format!("`{key}` is not taken; use `$ref` to a place in it"));
            }
            _ => {}
        }
        self.value(member, depth + 1)
    }

    fn reference(&mut self, reference: &'a str, depth: usize) -> Result<(), String> {
        let pointer = reference
            .strip_prefix('#')
            .filter(|pointer| pointer.is_empty() || pointer.starts_with('/'))
            .filter(|pointer| !pointer.contains('%'));
        let Some(pointer) = pointer else {
            return Err(format!(
                "the reference `{reference}` is not to a place in it, as `#/$defs/name` is"
            ));
        };
        let Some(target) = self.root.pointer(pointer) else {
            return Err(format!("the reference `{reference}` leads nowhere"));
        };
        if self.following.contains(&pointer) {
            return Ok(());
        }
        self.following.push(pointer);
        let walked = self.value(target, depth + 1);
        self.following.pop();
        walked
    }

    fn pattern(&mut self, pattern: &str) -> Result<(), String> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(format!(
                "with its references followed it has over {MAX_PATTERNS} patterns"
            ));
        }
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(format!(
                "a pattern has {} bytes, at most {MAX_PATTERN_BYTES} are taken",
                pattern.len()
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    fn definitions(count: usize, definition: impl Fn(usize) -> Value) -> Value {
        let definitions: Map<String, Value> = (0..count)
            .map(|index| (format!("a{index}"), definition(index)))
            .collect();
        json!({"$ref": "#/$defs/a0", "$defs": definitions})
    }

    fn reference(index: usize) -> Value {
        json!({"$ref": format!("#/$defs/a{index}")})
    }

    #[test]
    fn references_that_double_are_refused() {
        let schema = definitions(21, |index| match index {
            20 => json!({"type": "object"}),
            _ => json!({"anyOf": [reference(index + 1), reference(index + 1)]}),
        });
        assert!(check(&schema).unwrap_err().contains("10000 values"));
    }

    #[test]
    fn definitions_that_all_name_all_others_are_refused() {
        let schema = definitions(
            12,
            |_| json!({"anyOf": (0..12).map(reference).collect::<Vec<_>>()}),
        );
        assert!(check(&schema).unwrap_err().contains("10000 values"));
    }

    #[test]
    fn a_long_chain_of_references_is_refused() {
        let schema = definitions(5000, |index| match index {
            4999 => json!({"type": "object"}),
            _ => reference(index + 1),
        });
        assert!(check(&schema).unwrap_err().contains("200 levels"));
    }

    #[test]
    fn many_patterns_and_long_ones_are_refused() {
        let many: Map<String, Value> = (0..65)
            .map(|index| (format!("\\w{{40}}\\pL{{{index}}}"), json!({})))
            .collect();
        let error = check(&json!({"patternProperties": many})).unwrap_err();
        assert!(error.contains("64 patterns"), "{error}");
        let error = check(&json!({"pattern": "a".repeat(1001)})).unwrap_err();
        assert!(error.contains("1001 bytes"), "{error}");
        let large = json!({"pattern": "(\\p{L}{99}){99}"});
        assert_eq!(check(&large), Ok(()));
        assert!(compile(&large).is_err());
    }

    #[test]
    fn references_that_mean_another_place_are_refused() {
        for schema in [
            json!({"$ref": "other.json"}),
            json!({"$ref": "#name"}),
            json!({"$dynamicRef": "#name"}),
            json!({"not": {"$id": "other"}}),
        ] {
            assert!(check(&schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn a_schema_that_names_itself_is_taken() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"rules": {"type": "array", "items": {"$ref": "#/$defs/rule"}}},
            "$defs": {"rule": {
                "type": "object",
                "properties": {
                    "pattern": {"type": "string", "pattern": "^[a-z]+$"},
                    "else": {"$ref": "#/$defs/rule"},
                    "id": {"type": "string"},
                },
            }},
        });
        assert_eq!(check(&schema), Ok(()));
        assert!(compile(&schema).is_ok());
    }
}
