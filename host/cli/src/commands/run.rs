//! `canopy run`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, bail};
use canopy_batch::formats::Layout;
use canopy_clickhouse::ClickHouse;
use canopy_pipeline::chunk::ChunkSettings;
use canopy_pipeline::run::FLUSH_AFTER;
use canopy_pipeline::settings::FormatChoice;
use canopy_pipeline::{Chain, Progress, Report, RunSettings, Source};
use indicatif::{ProgressBar, ProgressStyle};

use crate::exit;
use crate::project::{Project, ProjectArgs};

/// Take logs through the plugins into ClickHouse
///
/// Reads real-time lines, standard logs (W3C) and JSON lines, gzipped or not,
/// and tells them apart by itself. Records that cannot be used are set aside
/// with their reason, never lost; the same input given again adds nothing twice.
///
/// Examples:
///
///   canopy run E2EXAMPLE.2026-11-24-*.gz
///
///   canopy run --follow access.log
///
///   zcat *.gz | canopy run --clickhouse https://db.example.com:8443 -
///
/// Exit status: 0 done, 1 failed, 2 usage, 3 done with records set aside.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Wait for more at the end of the file, until stopped with Ctrl-C
    #[arg(long)]
    follow: bool,

    /// The format of the logs, where it should not be detected
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<FormatArg>,

    /// Fail on the first record that cannot be used
    #[arg(long)]
    strict: bool,

    /// Where records that cannot be used go; by default in the store, with a
    /// server canopy-quarantine beside canopy.toml
    #[arg(long, value_name = "DIR")]
    quarantine: Option<PathBuf>,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    project: ProjectArgs,
}

/// A format of logs.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum FormatArg {
    /// CloudFront real-time log lines, with the fields of canopy.toml
    RealTime,
    /// CloudFront standard logs (W3C)
    Standard,
    /// CloudFront standard logging v2 as JSON lines
    Json,
}

impl From<FormatArg> for FormatChoice {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::RealTime => FormatChoice::RealTime,
            FormatArg::Standard => FormatChoice::Standard,
            FormatArg::Json => FormatChoice::Json,
        }
    }
}

pub(crate) async fn run(args: Args) -> Result<u8> {
    let project = Project::open(&args.project)?;
    let sources: Vec<Source> = args
        .files
        .iter()
        .map(|file| match file.to_str() {
            Some("-") => Source::Stdin,
            _ => Source::File(file.clone()),
        })
        .collect();
    let pipes = sources.iter().filter(|source| **source == Source::Stdin);
    if pipes.count() > 1 {
        bail!(exit::Usage("standard input (-) is given twice".to_owned()));
    }
    if args.follow && sources.len() > 1 {
        bail!(exit::Usage(
            "--follow takes one file: start one canopy for each (they share the embedded database)"
                .to_owned()
        ));
    }
    let settings = RunSettings {
        follow: args.follow,
        strict: args.strict,
        quarantine: args.quarantine.unwrap_or_else(|| project.quarantine()),
        format: args.format.map_or(project.settings.logs.format, Into::into),
        ..run_settings(&project, &sources, args.follow)?
    };
    let report = ingest(&project, sources, &settings).await?;
    if args.json {
        exit::outln!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        exit::outln!("{}", super::summary::run(&report).trim_end());
    }
    Ok(exit_status(&report, args.follow))
}

/// Returns the settings of a run of this project.
pub(crate) fn run_settings(
    project: &Project,
    sources: &[Source],
    follow: bool,
) -> Result<RunSettings> {
    let layout: Layout = project
        .settings
        .layout()
        .map_err(|message| anyhow::anyhow!(message))?;
    let live = follow || sources.iter().any(is_pipe);
    Ok(RunSettings {
        format: project.settings.logs.format,
        layout,
        sampling_rate: project.settings.logs.sampling_rate,
        chunks: ChunkSettings {
            flush_after: live.then_some(FLUSH_AFTER),
            ..ChunkSettings::default()
        },
        follow,
        strict: false,
        quarantine: project.quarantine(),
        locks: project.store().map(|store| store.join("sources")),
    })
}

/// Whether a source may give its lines slowly.
fn is_pipe(source: &Source) -> bool {
    match source {
        Source::Stdin => true,
        Source::File(path) => std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()),
    }
}

/// Opens chain and database, brings the schema up to date, and runs.
pub(crate) async fn ingest(
    project: &Project,
    sources: Vec<Source>,
    settings: &RunSettings,
) -> Result<Report> {
    canopy_pipeline::run::probe(&sources)?;
    let chain = project.chain()?;
    let clickhouse = project.connect().await?;
    super::schema::apply(project, &clickhouse, chain.new_columns()).await?;
    watched(sources, chain, &clickhouse, settings).await
}

/// Runs with a progress display and Ctrl-C ending it in good order.
async fn watched(
    sources: Vec<Source>,
    chain: Chain,
    clickhouse: &ClickHouse,
    settings: &RunSettings,
) -> Result<Report> {
    let progress = Arc::new(Progress::default());
    let total = total_bytes(&sources).filter(|_| !settings.follow);
    let bar = bar(total);
    let watcher = tokio::spawn({
        let (progress, bar) = (Arc::clone(&progress), bar.clone());
        async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(100)) => show(&bar, &progress),
                    () = asked_to_stop() => {
                        if progress.stop.swap(true, Ordering::Relaxed) {
                            // Asked twice: leave at once. Nothing is harmed by it.
                            std::process::exit(130);
                        }
                        bar.suspend(|| eprintln!("stopping: storing what was read (Ctrl-C again to leave at once)"));
                    }
                }
            }
        }
    });
    let result = canopy_pipeline::run(sources, chain, clickhouse, settings, &progress).await;
    watcher.abort();
    bar.finish_and_clear();
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            let stored = progress.inserted.load(Ordering::Relaxed);
            if stored > 0 {
                eprintln!(
                    "{} records were stored before it failed",
                    crate::text::count(stored)
                );
            }
            return Err(error.into());
        }
    };
    say_what_plugins_logged(&report);
    for source in &report.sources {
        if let Some(warning) = &source.warning {
            eprintln!("warning: {}", crate::text::printable(warning));
        }
    }
    Ok(report)
}

/// How many lines of each plugin's log are shown.
const SHOWN_LOG_LINES: usize = 20;

fn say_what_plugins_logged(report: &Report) {
    for plugin in &report.plugins {
        if let Some(example) = &plugin.nulled_example {
            eprintln!(
                "warning: {} failed on {} rows, whose columns of it are NULL; the first at {}",
                plugin.name,
                crate::text::count(plugin.nulled),
                crate::text::printable(example)
            );
        }
        let skipped = plugin.log.len().saturating_sub(SHOWN_LOG_LINES) as u64 + plugin.log_skipped;
        for line in plugin.log.iter().take(SHOWN_LOG_LINES) {
            eprintln!("{}: {}", plugin.name, crate::text::printable(line));
        }
        if skipped > 0 {
            eprintln!(
                "{}: and {} more lines",
                plugin.name,
                crate::text::count(skipped)
            );
        }
    }
}

/// Waits for Ctrl-C, or for the signal that a service manager ends a process
/// with.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

/// The size of all sources, where every one is a file that is not compressed.
fn total_bytes(sources: &[Source]) -> Option<u64> {
    sources
        .iter()
        .map(|source| match source {
            Source::File(path) if path.extension().is_none_or(|e| e != "gz") => {
                std::fs::metadata(path).ok().map(|metadata| metadata.len())
            }
            _ => None,
        })
        .sum()
}

fn bar(total: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left  {msg}",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {bytes} {bytes_per_sec}  {msg}",
        ),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is well formed"))
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_position(progress.bytes.load(Ordering::Relaxed));
    let inserted = progress.inserted.load(Ordering::Relaxed);
    let quarantined = progress.quarantined.load(Ordering::Relaxed);
    let mut message = format!("{} stored", crate::text::count(inserted));
    if quarantined > 0 {
        message.push_str(&format!(", {} set aside", crate::text::count(quarantined)));
    }
    bar.set_message(message);
}

/// The exit status that says how a run went. Following ends by being stopped;
/// any other source that was stopped is not all stored, and a script that goes
/// on to delete it must know.
fn exit_status(report: &Report, follow: bool) -> u8 {
    let broken = report.sources.iter().any(|source| source.broken);
    if broken || (report.stopped && !follow) {
        exit::FAILED
    } else if report.books.quarantined > 0 {
        exit::DONE_WITH_QUARANTINE
    } else {
        exit::DONE
    }
}
