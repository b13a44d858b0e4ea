//! Names and literals that may stand in SQL.
//!
//! SQL is made of fixed text, checked [`Identifier`]s and escaped literals,
//! never of text that came from outside.

use std::fmt;

/// A name of a database, table, column or cluster: a letter or `_`, then
/// letters, digits and `_`, at most 64 bytes.
///
/// ClickHouse allows more in backticks; Canopy does not need it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identifier(String);

/// A name that is not an [`Identifier`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot be a name in ClickHouse here: it must begin with a letter or `_`, go on with \
     letters, digits and `_`, and have at most 64 characters"
)]
pub struct IdentifierError(String);

impl Identifier {
    /// Checks `name`.
    ///
    /// # Errors
    ///
    /// [`IdentifierError`], naming it.
    pub fn new(name: &str) -> Result<Identifier, IdentifierError> {
        let valid = name.len() <= 64
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name
                .bytes()
                .next()
                .is_some_and(|first| !first.is_ascii_digit());
        if valid {
            Ok(Identifier(name.to_owned()))
        } else {
            Err(IdentifierError(name.to_owned()))
        }
    }

    /// Returns the name, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    /// Writes the name in backticks, as SQL wants it wherever the name could
    /// be a keyword (`timestamp`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// Returns `text` as a string literal, quotes included.
///
/// Source: <https://clickhouse.com/docs/sql-reference/syntax#string>.
pub(crate) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0' => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_identifiers() {
        for name in ["canopy", "_x", "geo_city2", &"a".repeat(64)] {
            assert_eq!(Identifier::new(name).unwrap().as_str(), name);
        }
        for name in ["", "1a", "a-b", "a`b", "a.b", "ä", "a b", &"a".repeat(65)] {
            assert!(Identifier::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_literal_ends_where_it_should() {
        assert_eq!(literal(r"it's \ here"), r"'it\'s \\ here'");
        assert_eq!(literal("a\nb\0"), r"'a\nb\0'");
    }
}
