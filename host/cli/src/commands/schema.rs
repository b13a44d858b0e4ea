//! `canopy schema`

use anyhow::{Context, Result};
use canopy_batch::Column;
use canopy_clickhouse::ClickHouse;
use canopy_clickhouse::schema::{self, Change, SchemaSettings};

use crate::exit;
use crate::project::{Project, ProjectArgs};

/// The tables: create them, bring them up to date, print them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Create the tables and add the plugins' columns, where they are missing
    ///
    /// Safe to repeat: what is there already is left alone.
    ///
    /// Example: canopy schema apply --clickhouse https://db.example.com:8443
    Apply(ProjectArgs),
    /// Print the statements that `apply` would run on an empty server
    ///
    /// Example: canopy schema show > schema.sql
    Show(ProjectArgs),
}

pub(crate) async fn run(command: Command) -> Result<u8> {
    match command {
        Command::Apply(args) => {
            let project = Project::open(&args)?;
            let chain = project.chain()?;
            let clickhouse = project.connect().await?;
            let changes = apply(&project, &clickhouse, chain.new_columns()).await?;
            for change in &changes {
                exit::outln!("{change}");
            }
            if changes.is_empty() {
                exit::outln!("the schema is up to date");
            }
        }
        Command::Show(args) => {
            let project = Project::open(&args)?;
            let chain = project.chain()?;
            for statement in schema::statements(&settings(&project)?)? {
                exit::outln!("{};\n", statement.trim_end());
            }
            for column in chain.new_columns() {
                exit::outln!(
                    "-- added by a plugin: {} {}, {}",
                    column.name,
                    schema::clickhouse_type(column),
                    crate::text::printable(&column.doc)
                );
            }
        }
    }
    Ok(exit::DONE)
}

/// Creates what is missing, the plugins' columns included, and returns what
/// that was.
pub(crate) async fn apply(
    project: &Project,
    clickhouse: &ClickHouse,
    new_columns: &[Column],
) -> Result<Vec<Change>> {
    let settings = settings(project)?;
    let mut changes = schema::apply(clickhouse, &settings)
        .await
        .context("cannot bring the schema up to date")?;
    changes.extend(
        schema::add_columns(clickhouse, &settings, new_columns)
            .await
            .context("cannot add the plugins' columns")?,
    );
    Ok(changes)
}

fn settings(project: &Project) -> Result<SchemaSettings> {
    let clickhouse = &project.settings.clickhouse;
    Ok(SchemaSettings {
        database: project.database()?,
        cluster: clickhouse.cluster.clone(),
        ttl_days: clickhouse.ttl_days,
    })
}
