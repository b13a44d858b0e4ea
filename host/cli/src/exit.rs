//! What the exit status of `canopy` means.

use std::process::ExitCode;

/// Everything asked for was done.
pub(crate) const DONE: u8 = 0;
/// It was not done; standard error says why. Status 2, a command line that
/// cannot be read, is clap's.
pub(crate) const FAILED: u8 = 1;
/// It was done, but some records were set aside: the summary says where.
pub(crate) const DONE_WITH_QUARANTINE: u8 = 3;

/// Prints an error with its causes on one line, and its hints below.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    // A reader that went away (`canopy query … | head`) is no failure.
    if error.chain().any(is_closed_pipe) {
        return ExitCode::from(DONE);
    }
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // A cause that its parent already tells is not told twice.
        if !line.contains(&text) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&text);
        }
    }
    eprintln!("error: {line}");
    ExitCode::from(FAILED)
}

fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
