//! `canopy check`

use anyhow::Result;

use crate::exit;
use crate::project::{Project, ProjectArgs};

/// Check everything that can be known before running
///
/// Reads canopy.toml and canopy.lock, opens every plugin with its
/// configuration and data, checks that their columns fit together, and asks
/// the database. Reads no logs and changes nothing.
///
/// Example: canopy check --config canopy.toml
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do not ask the database
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    project: ProjectArgs,
}

pub(crate) async fn run(args: Args) -> Result<u8> {
    let project = Project::open(&args.project)?;
    match &project.file {
        Some(file) => println!("ok  settings    {}", file.display()),
        None => println!("ok  settings    none: the defaults"),
    }
    let layout = project
        .settings
        .layout()
        .map_err(|message| anyhow::anyhow!(message))?;
    println!("ok  logs        {} real-time fields", layout.len());
    let chain = project.chain()?;
    for plugin in chain.plugins() {
        let columns = |names: Vec<&str>| match names.is_empty() {
            true => "nothing".to_owned(),
            false => names.join(", "),
        };
        println!(
            "ok  plugin      {} {}: reads {}; makes {}",
            canopy_batch::Stage::name(plugin),
            plugin.descriptor().version,
            columns(
                plugin
                    .inputs()
                    .iter()
                    .map(|(name, _)| name.as_str())
                    .collect()
            ),
            columns(
                plugin
                    .outputs()
                    .iter()
                    .map(|output| output.column.name.as_ref())
                    .collect()
            ),
        );
    }
    if !args.offline {
        let clickhouse = project.connect().await?;
        println!(
            "ok  clickhouse  {} at {}",
            clickhouse.version(),
            match project.store() {
                Some(store) => format!("{} (embedded)", store.display()),
                None => clickhouse.server().url,
            }
        );
    }
    Ok(exit::DONE)
}
