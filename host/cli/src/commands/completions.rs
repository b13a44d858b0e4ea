//! `canopy completions`

use std::io::Write;

use anyhow::Result;
use clap_complete::Shell;

use crate::exit;

/// Print the completion script of a shell
///
/// Example: canopy completions bash > ~/.local/share/bash-completion/completions/canopy
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, command: &mut clap::Command) -> Result<u8> {
    // Into memory first: it panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "canopy", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(exit::DONE)
}
