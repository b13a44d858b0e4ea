//! `canopy query`

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use anyhow::{Context, Result};

use crate::exit;
use crate::project::{Project, ProjectArgs};
use crate::text::printable_lines;

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
    let mut stdout = std::io::stdout();
    let shown = shown(&answer, stdout.is_terminal());
    stdout.write_all(&shown)?;
    Ok(exit::DONE)
}

/// Returns what of an answer is printed: all of it, except that a terminal
/// gets no control characters. Logs are full of what strangers sent.
fn shown(answer: &[u8], is_terminal: bool) -> Cow<'_, [u8]> {
    if is_terminal {
        let text = String::from_utf8_lossy(answer);
        Cow::Owned(printable_lines(&text).into_bytes())
    } else {
        Cow::Borrowed(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_is_spared_control_characters() {
        let answer = b"a\tb\n\x1b[2J\xff\n";
        assert_eq!(*shown(answer, false), answer[..]);
        assert_eq!(
            *shown(answer, true),
            *"a\tb\n\\u{1b}[2J\u{fffd}\n".as_bytes()
        );
    }
}
