//! `canopy query`

use std::io::Write;

use anyhow::{Context, Result};

use crate::exit;
use crate::project::{Project, ProjectArgs};

/// Ask the database
///
/// Examples:
///
///   canopy query "SELECT sc_status, count() FROM cloudfront_logs GROUP BY 1"
///
///   canopy query --csv "SELECT * FROM cloudfront_logs LIMIT 1000" > rows.csv
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The query, in ClickHouse's SQL
    sql: String,

    /// One JSON object a row
    #[arg(long, conflicts_with = "csv")]
    json: bool,

    /// CSV with a header
    #[arg(long)]
    csv: bool,

    #[command(flatten)]
    project: ProjectArgs,
}

pub(crate) async fn run(args: Args) -> Result<u8> {
    let format = match (args.json, args.csv) {
        (true, _) => "JSONEachRow",
        (_, true) => "CSVWithNames",
        _ => "PrettyCompactMonoBlock",
    };
    let project = Project::open(&args.project)?;
    let clickhouse = project.connect_existing().await?;
    let answer = clickhouse
        .query_bytes(&args.sql, format)
        .await
        .context("the query failed")?;
    std::io::stdout().write_all(&answer)?;
    Ok(exit::DONE)
}
