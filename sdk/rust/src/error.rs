//! How a plugin says that something is wrong.

use std::fmt;

/// Why a plugin cannot be configured, or cannot work on a whole batch;
/// `error` of the contract.
///
/// A row that cannot be handled is not an error of this type: see
/// [`Reject`](crate::Reject).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is wrong.
    Config {
        /// The key at fault, dotted (`rules.0.match`); empty for the whole.
        key: String,
        /// What is wrong with it.
        message: String,
    },
    /// A data file is missing or cannot be used.
    Data {
        /// The name under which the plugin asked for it.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// Anything else.
    Other(String),
}

impl Error {
    /// Returns the error of a wrong configuration; `key` is dotted, or empty
    /// for the whole.
    pub fn config(key: impl Into<String>, message: impl fmt::Display) -> Self {
        Error::Config {
            key: key.into(),
            message: message.to_string(),
        }
    }

    /// Returns the error of a data file that cannot be used.
    pub fn data(name: impl Into<String>, message: impl fmt::Display) -> Self {
        Error::Data {
            name: name.into(),
            message: message.to_string(),
        }
    }

    /// Returns an error that is about neither.
    pub fn other(message: impl fmt::Display) -> Self {
        Error::Other(message.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Config { key, message } if key.is_empty() => {
                write!(f, "configuration: {message}")
            }
            Error::Config { key, message } => write!(f, "configuration key `{key}`: {message}"),
            Error::Data { name, message } => write!(f, "data file `{name}`: {message}"),
            Error::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}
