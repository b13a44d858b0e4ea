//! `canopy schema`

use anyhow::{Context, Result, bail};
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
    refuse_lost_table(clickhouse, &settings).await?;
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

/// Fails where the table of log lines is gone and the ledger is not: records
/// that it has as stored would not be stored again, and be nowhere.
async fn refuse_lost_table(clickhouse: &ClickHouse, settings: &SchemaSettings) -> Result<()> {
    let database = schema::current(clickhouse, settings)
        .await
        .context("cannot look at the tables")?;
    let has = |name: &str| database.tables.contains_key(name);
    if has(schema::LOGS) || !has(schema::LEDGER) {
        return Ok(());
    }
    #[derive(serde::Deserialize)]
    struct Known {
        records: u64,
    }
    let name = &settings.database;
    let (logs, ledger) = (schema::LOGS, schema::LEDGER);
    let known: Vec<Known> = clickhouse
        .query_rows(&format!(
            "SELECT sum(inserted_records) AS records FROM {ledger} WHERE state = 'done'"
        ))
        .await
        .context("cannot read the ledger")?;
    match known.first() {
        Some(Known { records }) if *records > 0 => bail!(
            "the table {name}.{logs} is missing, but the ledger has {} records in it, which \
             would not be stored again: restore the table, or begin anew with `canopy query \
             \"DROP TABLE {name}.{ledger} SYNC\"`",
            crate::text::count(*records)
        ),
        _ => Ok(()),
    }
}

fn settings(project: &Project) -> Result<SchemaSettings> {
    let clickhouse = &project.settings.clickhouse;
    Ok(SchemaSettings {
        database: project.database()?,
        cluster: clickhouse.cluster.clone(),
        ttl_days: clickhouse.ttl_days,
    })
}
