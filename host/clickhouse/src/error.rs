//! What can go wrong with ClickHouse, and what then becomes of the records.

use std::time::Duration;

use crate::encode::EncodeError;
use crate::engine::EngineError;
use crate::server::Server;
use crate::sql::IdentifierError;

/// What becomes of the records of a batch that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// The same batch may go in later: try again with the same token.
    Retry,
    /// The batch holds a value that cannot be stored: isolate the record.
    BadData,
    /// No batch goes in until someone changes the set-up.
    Permanent,
}

/// ClickHouse, or the way to it, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection, or it broke.
    #[error(
        "cannot reach ClickHouse at {url}: check that it runs there, that the address and port \
         are those of its HTTP interface, and that no firewall is between"
    )]
    Unreachable {
        /// The server's address.
        url: String,
        /// What the connection said.
        #[source]
        source: clickhouse::error::Error,
    },
    /// No answer in time. Whether ClickHouse did what was asked is unknown.
    #[error("ClickHouse at {url} did not answer within {} s", after.as_secs_f32())]
    TimedOut {
        /// The server's address.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// The user or password was refused.
    #[error(
        "ClickHouse at {url} refused the user `{user}` or its password (code {code}): check both"
    )]
    Denied {
        /// The server's address.
        url: String,
        /// The user.
        user: String,
        /// ClickHouse's code: 192, 193, 194 or 516.
        code: u32,
    },
    /// The database does not exist.
    #[error(
        "ClickHouse at {url} has no database `{database}`: create it and its tables with \
         `canopy schema apply`, or name another"
    )]
    NoDatabase {
        /// The server's address.
        url: String,
        /// The database.
        database: String,
    },
    /// A table or a column that Canopy writes does not exist.
    #[error(
        "ClickHouse's tables are not what this version of Canopy writes (code {code}: {message}): \
         bring them up to date with `canopy schema apply`"
    )]
    Outdated {
        /// ClickHouse's code: 16 or 60.
        code: u32,
        /// ClickHouse's message.
        message: String,
    },
    /// ClickHouse answered with an exception.
    #[error("ClickHouse refused (code {code}, {name}): {message}")]
    Exception {
        /// ClickHouse's code.
        code: u32,
        /// ClickHouse's name for the code, such as `TOO_MANY_PARTS`; empty
        /// where the answer did not hold it.
        name: String,
        /// The exception's text, without code, name and version.
        message: String,
    },
    /// The answer was no ClickHouse exception: a proxy's page, for example.
    #[error("ClickHouse at {url} answered unintelligibly: {answer}")]
    Answer {
        /// The server's address.
        url: String,
        /// The answer's first line, cut to 300 bytes.
        answer: String,
    },
    /// The request could not be made or the answer not be read.
    #[error("failed to talk to ClickHouse at {url}")]
    Protocol {
        /// The server's address.
        url: String,
        /// What the client said.
        #[source]
        source: clickhouse::error::Error,
    },
    /// A row of an answer is not what was expected.
    #[error("failed to read ClickHouse's answer")]
    Row(#[source] serde_json::Error),
    /// The server is older than what Canopy needs.
    #[error("ClickHouse at {url} is version {version}; Canopy needs {needed} or later")]
    TooOld {
        /// The server's address.
        url: String,
        /// Its version.
        version: String,
        /// The oldest that will do.
        needed: &'static str,
    },
    /// The batch cannot be turned into an insert.
    #[error("failed to encode the batch")]
    Encode(#[from] EncodeError),
    /// A name that cannot be a table's, a column's or a database's.
    #[error(transparent)]
    Identifier(#[from] IdentifierError),
    /// The embedded engine could not be started.
    #[error("the embedded engine does not run")]
    Engine(#[from] EngineError),
}

impl Error {
    /// Returns what becomes of the records of a batch that failed with this.
    ///
    /// Wrong passwords, missing tables and the like are permanent for the
    /// request, yet usually mended within minutes: a caller with a durable
    /// source should hold the records back rather than give them up.
    pub fn disposition(&self) -> Disposition {
        match self {
            Error::Unreachable { .. }
            | Error::TimedOut { .. }
            | Error::Answer { .. }
            | Error::Protocol { .. }
            | Error::Engine(_) => Disposition::Retry,
            Error::Encode(_) => Disposition::BadData,
            Error::Denied { .. }
            | Error::NoDatabase { .. }
            | Error::Outdated { .. }
            | Error::Row(_)
            | Error::TooOld { .. }
            | Error::Identifier(_) => Disposition::Permanent,
            Error::Exception { code, message, .. } => of_exception(*code, message),
        }
    }

    /// Whether the connection itself failed, so that a new one, or a new
    /// engine, may help.
    pub(crate) fn is_connection(&self) -> bool {
        matches!(
            self,
            Error::Unreachable { .. } | Error::TimedOut { .. } | Error::Engine(_)
        )
    }

    /// Makes sense of the `clickhouse` crate's error, which keeps ClickHouse's
    /// code only within its text.
    pub(crate) fn from_client(
        source: clickhouse::error::Error,
        server: &Server,
        timeout: Duration,
    ) -> Error {
        use clickhouse::error::Error as Client;
        let url = server.url.clone();
        match source {
            Client::BadResponse(text) => Error::from_answer(&text, server),
            Client::TimedOut => Error::TimedOut {
                url,
                after: timeout,
            },
            Client::Network(_) => Error::Unreachable { url, source },
            // How the crate reports that the server hung up during an upload.
            Client::Other(_) | Client::Decompression(_) | Client::NotEnoughData => {
                Error::Unreachable { url, source }
            }
            source => Error::Protocol { url, source },
        }
    }

    /// Says what a missing table or column means where it is Canopy's own
    /// insert, not a user's query, that misses it.
    pub(crate) fn of_insert(self) -> Error {
        match self {
            Error::Exception {
                code: code @ (16 | 60),
                message,
                ..
            } => Error::Outdated { code, message },
            other => other,
        }
    }

    fn from_answer(text: &str, server: &Server) -> Error {
        let url = server.url.clone();
        let Some(exception) = Exception::parse(text) else {
            let first = text.lines().next().unwrap_or_default();
            let cut = (0..=first.len().min(300))
                .rev()
                .find(|&at| first.is_char_boundary(at))
                .unwrap_or(0);
            return Error::Answer {
                url,
                answer: first[..cut].to_owned(),
            };
        };
        let Exception {
            code,
            name,
            message,
        } = exception;
        match code {
            192..=194 | 516 => Error::Denied {
                url,
                user: server.user.clone(),
                code,
            },
            81 => Error::NoDatabase {
                url,
                database: quoted_name(&message).unwrap_or_else(|| server.database.clone()),
            },
            _ => Error::Exception {
                code,
                name,
                message,
            },
        }
    }
}

/// Returns the first name that ClickHouse put in backticks.
fn quoted_name(message: &str) -> Option<String> {
    let (_, rest) = message.split_once('`')?;
    let (name, _) = rest.split_once('`')?;
    Some(name.to_owned())
}

/// An exception's text taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Exception {
    code: u32,
    name: String,
    message: String,
}

impl Exception {
    /// Reads `Code: 60. DB::Exception: text (UNKNOWN_TABLE) (version 26.7.2.1)`,
    /// of which all but the code may be missing.
    fn parse(text: &str) -> Option<Exception> {
        let rest = text.trim().strip_prefix("Code: ")?;
        let digits = rest.find(|c: char| !c.is_ascii_digit());
        let (code, rest) = rest.split_at(digits.unwrap_or(rest.len()));
        let code = code.parse().ok()?;
        let mut message = rest.trim_start_matches(['.', ',', ' ']);
        message = message.strip_prefix("DB::Exception: ").unwrap_or(message);
        if let Some(at) = message.rfind(" (version ") {
            message = &message[..at];
        }
        let mut name = "";
        if let Some(inner) = message.strip_suffix(')')
            && let Some(at) = inner.rfind('(')
            && is_code_name(&inner[at + 1..])
        {
            name = &inner[at + 1..];
            message = &inner[..at];
        }
        Some(Exception {
            code,
            name: name.to_owned(),
            message: message.trim_end().to_owned(),
        })
    }
}

fn is_code_name(text: &str) -> bool {
    text.contains('_')
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit())
}

/// What becomes of the records after an exception. Names in the order of the
/// codes; an unknown code is permanent only where it must be, so that a code
/// of a newer ClickHouse never costs a record.
fn of_exception(code: u32, message: &str) -> Disposition {
    match code {
        // TOO_MANY_PARTS is two things: a merge backlog, which passes, and an
        // insert that spans more partitions than the server allows, which
        // does not.
        252 if message.contains("max_partitions_per_insert_block")
            || message.contains("partitions for single INSERT block") =>
        {
            Disposition::Permanent
        }
        // CANNOT_PARSE_TEXT, _ESCAPE_SEQUENCE, _QUOTED_STRING, _INPUT_ASSERTION_FAILED,
        // ATTEMPT_TO_READ_AFTER_EOF, CANNOT_READ_ALL_DATA, CANNOT_PARSE_DATE, _DATETIME,
        // ARGUMENT_OUT_OF_BOUND, CANNOT_PARSE_NUMBER, TOO_LARGE_STRING_SIZE,
        // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE, CANNOT_PARSE_UUID, DECIMAL_OVERFLOW,
        // VIOLATED_CONSTRAINT, CANNOT_PARSE_IPV4, CANNOT_PARSE_IPV6.
        6 | 25 | 26 | 27 | 32 | 33 | 38 | 41 | 69 | 72 | 131 | 321 | 376 | 407 | 469 | 675
        | 676 => Disposition::BadData,
        // DUPLICATE_COLUMN, NO_SUCH_COLUMN_IN_TABLE, NUMBER_OF_COLUMNS_DOESNT_MATCH, BAD_ARGUMENTS, ILLEGAL_COLUMN,
        // UNKNOWN_FUNCTION, UNKNOWN_IDENTIFIER, NOT_IMPLEMENTED, UNKNOWN_TYPE,
        // TYPE_MISMATCH, UNKNOWN_TABLE, SYNTAX_ERROR, CANNOT_CONVERT_TYPE, UNKNOWN_FORMAT,
        // UNKNOWN_SETTING, INCORRECT_DATA, INCOMPATIBLE_COLUMNS, READONLY,
        // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN, ACCESS_DENIED.
        15 | 16 | 20 | 36 | 44 | 46 | 47 | 48 | 50 | 53 | 60 | 62 | 70 | 73 | 115 | 117 | 122
        | 164 | 349 | 497 => Disposition::Permanent,
        // TIMEOUT_EXCEEDED, TOO_SLOW, CANNOT_ALLOCATE_MEMORY, QUOTA_EXCEEDED,
        // TOO_MANY_SIMULTANEOUS_QUERIES, NO_FREE_CONNECTION, SOCKET_TIMEOUT,
        // NETWORK_ERROR, NO_ZOOKEEPER, ABORTED, MEMORY_LIMIT_EXCEEDED,
        // TABLE_IS_READ_ONLY, NOT_ENOUGH_SPACE, TOO_MANY_PARTS, UNKNOWN_STATUS_OF_INSERT,
        // KEEPER_EXCEPTION and the rest.
        _ => Disposition::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Error {
        let server = Server::parse("http://u:secret@ch.example.com").unwrap();
        Error::from_client(
            clickhouse::error::Error::BadResponse(text.into()),
            &server,
            Duration::from_secs(1),
        )
    }

    #[test]
    fn an_exception_is_taken_apart() {
        let text = "Code: 27. DB::Exception: Cannot parse (at row 1). (CANNOT_PARSE_INPUT_ASSERTION_FAILED) (version 26.7.2.1)";
        assert_eq!(
            Exception::parse(text).unwrap(),
            Exception {
                code: 27,
                name: "CANNOT_PARSE_INPUT_ASSERTION_FAILED".into(),
                message: "Cannot parse (at row 1).".into(),
            }
        );
        let bare = Exception::parse("Code: 241").unwrap();
        assert_eq!((bare.code, bare.name.as_str()), (241, ""));
        assert_eq!(Exception::parse("503 Service Unavailable"), None);
        assert_eq!(Exception::parse("Code: x"), None);
    }

    #[test]
    fn too_many_parts_is_two_things() {
        let backlog = error(
            "Code: 252. DB::Exception: Too many parts (3000) in table. Merges are processing significantly slower than inserts. (TOO_MANY_PARTS)",
        );
        assert_eq!(backlog.disposition(), Disposition::Retry);
        let span = error(
            "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100). The limit is controlled by 'max_partitions_per_insert_block' setting. (TOO_MANY_PARTS)",
        );
        assert_eq!(span.disposition(), Disposition::Permanent);
    }

    #[test]
    fn each_code_decides_what_becomes_of_the_records() {
        let of = |code: u32| error(&format!("Code: {code}. DB::Exception: text")).disposition();
        for code in [
            159, 160, 173, 201, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 254, 265, 279,
            285, 286, 319, 364, 394, 425, 439, 473, 519, 574, 735, 745, 749, 999, 12345,
        ] {
            assert_eq!(of(code), Disposition::Retry, "{code}");
        }
        for code in [
            16, 20, 36, 44, 46, 47, 48, 53, 60, 62, 73, 81, 115, 117, 122, 164, 192, 193, 194, 349,
            497, 516,
        ] {
            assert_eq!(of(code), Disposition::Permanent, "{code}");
        }
        for code in [6, 26, 27, 32, 38, 41, 69, 72, 131, 321, 376, 407, 675, 676] {
            assert_eq!(of(code), Disposition::BadData, "{code}");
        }
    }

    #[test]
    fn messages_say_what_to_do_and_never_the_password() {
        for (text, expected) in [
            (
                "Code: 516. DB::Exception: u: Authentication failed",
                "check both",
            ),
            (
                "Code: 81. DB::Exception: Database `logs` does not exist. (UNKNOWN_DATABASE)",
                "no database `logs`: create it and its tables with `canopy schema apply`",
            ),
            ("<html>Bad gateway", "unintelligibly: <html>Bad gateway"),
        ] {
            let message = error(text).to_string();
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn an_answer_without_a_code_is_tried_again() {
        assert_eq!(error("502 Bad Gateway").disposition(), Disposition::Retry);
    }
}
