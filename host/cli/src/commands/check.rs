//! `canopy check`

use anyhow::Result;

use crate::project::{Project, ProjectArgs};
use crate::{exit, text};

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
        Some(file) => exit::outln!("ok  settings    {}", file.display()),
        None => exit::outln!("ok  settings    none: the defaults"),
    }
    let layout = project
        .settings
        .layout()
        .map_err(|message| anyhow::anyhow!(message))?;
    exit::outln!("ok  logs        {} real-time fields", layout.len());
    let chain = project.chain()?;
    for plugin in chain.plugins() {
        let columns = |names: Vec<&str>| match names.is_empty() {
            true => "nothing".to_owned(),
            false => names.join(", "),
        };
        exit::outln!(
            "ok  plugin      {} {}: reads {}; makes {}",
            canopy_batch::Stage::name(plugin),
            text::printable(&plugin.descriptor().version),
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
        exit::outln!("ok  clickhouse  {}", database(&project).await?);
    }
    Ok(exit::DONE)
}

/// Asks the database; one that is not there yet is not made.
async fn database(project: &Project) -> Result<String> {
    if let Some(store) = project.store()
        && !store.join("data").exists()
    {
        return Ok(format!(
            "{} will be made, by {}",
            store.display(),
            project.library()?.display()
        ));
    }
    let clickhouse = project.connect_existing().await?;
    let place = match project.store() {
        Some(store) => format!("{} (embedded)", store.display()),
        None => clickhouse.server().url,
    };
    Ok(format!("{} at {place}", clickhouse.version()))
}
