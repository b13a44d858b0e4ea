//! The `canopy` command: CDN logs through WebAssembly plugins into ClickHouse.
//!
//! `main` reads the command line and calls one file of `commands/` for each
//! command; what they share is in `project` (settings, plugins, connection)
//! and `text` (how numbers and tables look).

#![allow(
    rustdoc::bare_urls,
    reason = "the arguments' doc comments are the help text, read in a terminal"
)]

mod build;
mod commands;
mod exit;
mod files;
mod project;
mod text;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// CDN logs through WebAssembly plugins into your own ClickHouse
///
/// Canopy reads CloudFront's logs, runs your plugins on every record, and
/// stores the rows in ClickHouse, each exactly once. Start with `canopy demo`.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(commands::demo::Args),
    Run(commands::run::Args),
    Query(commands::query::Args),
    Generate(commands::generate::Args),
    #[command(subcommand)]
    Plugin(commands::plugin::Command),
    Check(commands::check::Args),
    #[command(subcommand)]
    Schema(commands::schema::Command),
    #[command(subcommand)]
    Engine(commands::engine::Command),
    Completions(commands::completions::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(&error.into()),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => commands::demo::run(args).await,
            Command::Run(args) => commands::run::run(args).await,
            Command::Query(args) => commands::query::run(args).await,
            Command::Generate(args) => commands::generate::run(args),
            Command::Plugin(command) => commands::plugin::run(command),
            Command::Check(args) => commands::check::run(args).await,
            Command::Schema(command) => commands::schema::run(command).await,
            Command::Engine(command) => commands::engine::run(command).await,
            Command::Completions(args) => commands::completions::run(&args, &mut Cli::command()),
        }
    });
    // A thread may still wait on standard input: nobody waits for it.
    runtime.shutdown_background();
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => exit::fail(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_options_of_a_command_share_a_name() {
        Cli::command().debug_assert();
    }
}
