//! `canopy plugin`

mod add;
mod info;
mod test;

use std::path::PathBuf;

use anyhow::{Context, Result};
use canopy_runtime::sha256_hex;

use crate::{build, exit};

/// Plugins: build, try, add to the chain, remove
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Build(BuildArgs),
    Test(test::Args),
    Add(add::AddArgs),
    Remove(add::RemoveArgs),
    List(info::ListArgs),
    Info(info::InfoArgs),
}

/// Build a Rust plugin into a component
///
/// Compiles the crate for wasm32-unknown-unknown and makes a component of it.
///
/// Example: canopy plugin build plugins/normalize-path --out normalize-path.wasm
#[derive(Debug, clap::Args)]
pub(crate) struct BuildArgs {
    /// The plugin's folder, where its Cargo.toml is
    #[arg(default_value = ".")]
    folder: PathBuf,

    /// The component to write; by default NAME.wasm in the plugin's folder
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Where cargo builds; several plugins may share one
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
}

pub(crate) fn run(command: Command) -> Result<u8> {
    match command {
        Command::Build(args) => build(args),
        Command::Test(args) => test::run(args),
        Command::Add(args) => add::add(args),
        Command::Remove(args) => add::remove(args),
        Command::List(args) => info::list(args),
        Command::Info(args) => info::info(args),
    }
}

fn build(args: BuildArgs) -> Result<u8> {
    let built = build::build_plugin(
        &args.folder,
        args.out.as_deref(),
        args.target_dir.as_deref(),
    )
    .with_context(|| format!("cannot build the plugin in {}", args.folder.display()))?;
    let bytes =
        std::fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    exit::outln!(
        "{}  {}  sha256 {}",
        built.display(),
        crate::text::bytes(bytes.len() as u64),
        sha256_hex(&bytes)
    );
    Ok(exit::DONE)
}
