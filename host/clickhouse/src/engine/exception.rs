//! Exceptions of ClickHouse.

/// An exception of ClickHouse, as its HTTP interface would report it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Exception {
    /// The error code, such as 60 for `UNKNOWN_TABLE`; 1002 (`UNKNOWN_EXCEPTION`)
    /// when the engine gave none.
    pub code: i32,
    /// The text, beginning `Code: N. DB::Exception:` and ending with the code's
    /// name in parentheses.
    pub message: String,
}

impl Exception {
    /// Reads the code out of the engine's text.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim_end();
        let code = text
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
            .and_then(|digits| digits.parse().ok());
        match code {
            Some(code) => Self {
                code,
                message: text.to_owned(),
            },
            None => Self::new(UNKNOWN_EXCEPTION, "UNKNOWN_EXCEPTION", text),
        }
    }

    /// An exception raised by this crate, in the engine's own form.
    pub(crate) fn new(code: i32, name: &str, text: impl std::fmt::Display) -> Self {
        Self {
            code,
            message: format!("Code: {code}. DB::Exception: {text} ({name})"),
        }
    }
}

/// ClickHouse's code for an exception without a code of its own.
const UNKNOWN_EXCEPTION: i32 = 1002;
