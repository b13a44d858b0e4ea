//! Why a call of a plugin gave nothing to use.

use std::time::Duration;

use crate::check::{OutputError, Problem};

/// Why a call gave nothing to use: an error the guest returned, a trap, a limit
/// passed, or an answer that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The guest trapped; a panic is a trap.
    #[error("{trap}{}", said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default())]
    Trap {
        /// wasmtime's name of the trap.
        trap: String,
        /// The guest's last log line at level error, if it wrote one.
        said: Option<String>,
    },
    /// The call ran longer than its deadline.
    #[error("ran longer than the {deadline:?} it had; raise limits.deadline or mend the plugin")]
    Deadline {
        /// The deadline of this call: of a part of a batch, its share.
        deadline: Duration,
    },
    /// The guest wanted more memory than it may have, and could not go on.
    #[error("needs more than its {} MiB of memory; raise limits.memory or mend the plugin", limit_bytes >> 20)]
    Memory {
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// The guest returned more bytes than it may.
    #[error("returned more bytes than limits.output-bytes allows for a batch")]
    TooMuchReturned,
    /// What the guest returned breaks the canonical ABI, such as a pointer out
    /// of its memory or a message that is not UTF-8; or its functions have
    /// other types than the contract's.
    #[error("broke the contract: {message}")]
    Abi {
        /// wasmtime's account of it.
        message: String,
    },
    /// The guest said that its configuration is wrong.
    #[error("configuration{}: {message}", if key.is_empty() { String::new() } else { format!(" key `{key}`") })]
    Config {
        /// The key, dotted; empty for the whole.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// The guest said that a data file is missing or damaged.
    #[error("data file `{name}`: {message}")]
    Data {
        /// The name under which the plugin asked for it.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The guest said which row made the call fail.
    #[error("{message}")]
    Input {
        /// The row, from 0 in the call's rows.
        row: u32,
        /// What is wrong with it.
        message: String,
    },
    /// Any other error the guest returned.
    #[error("{message}")]
    Other {
        /// The guest's message.
        message: String,
    },
    /// The output does not hold together.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A new instance's `configure` returned other columns than the first's.
    #[error("`configure` returned other columns than before under the same configuration")]
    Unsteady,
    /// The instance had to be replaced, and a new one could not be made.
    #[error("could not be started again: {0}")]
    Restart(Box<Failure>),
}

/// Whom a failure lays the blame on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// Some row of the call: look for it.
    SomeRow,
    /// This row of the call.
    Row(u32),
    /// Not the rows: no part of the batch would fare better.
    Plugin,
}

impl Failure {
    pub(crate) fn blame(&self) -> Blame {
        match self {
            Failure::Input { row, .. } => Blame::Row(*row),
            Failure::Config { .. }
            | Failure::Data { .. }
            | Failure::Unsteady
            | Failure::Restart(_) => Blame::Plugin,
            Failure::Trap { .. }
            | Failure::Deadline { .. }
            | Failure::Memory { .. }
            | Failure::TooMuchReturned
            | Failure::Abi { .. }
            | Failure::Other { .. }
            | Failure::Output(_) => Blame::SomeRow,
        }
    }

    /// Whether the instance can be used again: only where it ended its call
    /// itself, with an error as the contract has it.
    pub(crate) fn spares_instance(&self) -> bool {
        matches!(
            self,
            Failure::Config { .. }
                | Failure::Data { .. }
                | Failure::Input { .. }
                | Failure::Other { .. }
        )
    }

    /// Whether parts of the batch fail exactly where the whole did: false for
    /// limits on time and size, which parts may keep.
    pub(crate) fn is_of_one_row(&self) -> bool {
        !matches!(
            self,
            Failure::Deadline { .. }
                | Failure::Memory { .. }
                | Failure::TooMuchReturned
                | Failure::Output(OutputError {
                    problem: Problem::TooLarge { .. }
                        | Problem::CopiesTooLarge { .. }
                        | Problem::TooManyRows { .. },
                    ..
                })
        )
    }
}
