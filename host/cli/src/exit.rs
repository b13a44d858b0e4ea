//! What the exit status of `canopy` means, and how an error is told.

use std::process::ExitCode;

use canopy_clickhouse::engine::MissingLibrary;
use canopy_pipeline::{ChainError, RunError};

use crate::text;

/// Everything asked for was done.
pub(crate) const DONE: u8 = 0;
/// It was not done; standard error says why.
pub(crate) const FAILED: u8 = 1;
/// The command line cannot be meant as it is.
pub(crate) const USAGE: u8 = 2;
/// It was done, but some records were set aside: the summary says where.
pub(crate) const DONE_WITH_QUARANTINE: u8 = 3;

/// A command line that clap takes and that makes no sense all the same.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Prints to standard output; a reader that went away is an error to return,
/// where `println!` would panic.
macro_rules! outln {
    ($($argument:tt)*) => {{
        use std::io::Write as _;
        writeln!(std::io::stdout(), $($argument)*)?
    }};
}
pub(crate) use outln;

/// Prints an error with its causes on one line, and what to do below it.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    // A reader that went away (`canopy query … | head`) is no failure. Only an
    // error of standard output itself: a connection that broke is one.
    if is_closed_pipe(error) {
        return ExitCode::from(DONE);
    }
    // Messages quote plugins, servers and logs.
    eprintln!("error: {}", text::printable_lines(&line(error)));
    if let Some(hint) = error.chain().find_map(hint) {
        eprintln!("hint: {}", text::printable_lines(&hint));
    }
    let is_usage = error.chain().any(|cause| cause.is::<Usage>());
    ExitCode::from(if is_usage { USAGE } else { FAILED })
}

/// Returns the error and its causes, a cause that its parent already tells
/// left out.
fn line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    let mut last = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if !line.is_empty() && last.ends_with(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
        last = text;
    }
    line
}

/// Returns the next step, where an error knows one.
fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<ChainError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<RunError>() {
        return error.hint();
    }
    error.is::<MissingLibrary>().then(|| {
        "get it with `canopy engine fetch`, say where it is with --library, or name a server with \
         --clickhouse"
            .to_owned()
    })
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn only_a_reader_that_went_away_is_no_failure() {
        let broken = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(is_closed_pipe(&broken().into()));
        let lost = canopy_pipeline::feed::FeedError {
            path: "a.log".into(),
            source: broken(),
        };
        assert!(!is_closed_pipe(&RunError::from(lost).into()));
    }

    #[test]
    fn causes_are_told_on_one_line_and_none_twice() {
        let error = anyhow!("no such file").context("cannot read a.log");
        assert_eq!(line(&error), "cannot read a.log: no such file");
        let told = anyhow!("no such file").context("cannot read a.log: no such file");
        assert_eq!(line(&told), "cannot read a.log: no such file");
    }
}
