//! `canopy plugin test`

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use canopy_batch::formats::{self, Format, Parser};
use canopy_batch::{Batch, Stage};
use canopy_runtime::{Host, Limits, PluginSettings};

use crate::project::{Project, ProjectArgs, first_party};
use crate::{exit, text};

/// The rows of a full batch: the lines of a chunk, see
/// [`canopy_pipeline::chunk::ChunkSettings`].
const MAX_BATCH_ROWS: usize = 32_768;

/// How many bytes of sample lines are read at most.
const MAX_SAMPLE_BYTES: u64 = 64 << 20;

/// Try a plugin on sample lines, without a database
///
/// Shows the columns it reads and the columns it makes side by side, the rows
/// it drops or rejects, and what it cost.
///
/// Examples:
///
///   canopy plugin test target/plugins/normalize-path.wasm
///
///   canopy plugin test tenant.wasm --lines access.log --plugin-config '{"prefix":"t"}'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// A component's path, or the name of a first-party plugin or of one in
    /// canopy.toml, which is then tried as it is set there
    plugin: String,

    /// Log lines to run it on; - is standard input; by default generated ones
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,

    /// How many rows to show
    #[arg(long, default_value_t = 10)]
    show: usize,

    /// Its configuration, a JSON object
    #[arg(long, value_name = "JSON")]
    plugin_config: Option<String>,

    /// A data file it may read; may be given several times
    #[arg(long, value_name = "NAME=FILE")]
    data: Vec<String>,

    #[command(flatten)]
    project: ProjectArgs,
}

pub(crate) fn run(args: Args) -> Result<u8> {
    let project = Project::open(&args.project)?;
    let entry = project.settings.plugin(&args.plugin);
    let path = match entry {
        Some(entry) => project.settings.resolve(Path::new(&entry.source)),
        None => first_party(&args.plugin).unwrap_or_else(|| PathBuf::from(&args.plugin)),
    };
    let host = Host::new()?;
    let loaded = super::info::load(&path, &host)?;
    let mut settings = match entry {
        Some(entry) => entry.runtime_settings(&project.settings.folder),
        None => PluginSettings {
            name: loaded.describe()?.name,
            ..PluginSettings::default()
        },
    };
    if let Some(config) = &args.plugin_config {
        settings.config = serde_json::from_str(config).context("--plugin-config is not JSON")?;
    }
    settings.data.extend(super::add::data_files(&args.data)?);
    let (name, limits) = (settings.name.clone(), settings.limits.clone());
    let mut plugin = host.open(&loaded, settings)?;
    let batch = sample(&args, &project)?;
    let records = batch.row_count();
    if records == 0 {
        bail!("there is no line to run `{name}` on");
    }

    let started = Instant::now();
    let outcome = plugin.apply(batch.clone())?;
    let took = started.elapsed();
    let inputs: Vec<&str> = plugin
        .inputs()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let outputs: Vec<&str> = plugin
        .outputs()
        .iter()
        .map(|output| output.column.name.as_ref())
        .collect();
    exit::outln!(
        "{}",
        side_by_side(&batch, &outcome.batch, &inputs, &outputs, args.show)
    );
    for rejected in outcome.rejected.iter().take(args.show) {
        exit::outln!(
            "line {} rejected: {}",
            batch.records().position(rejected.record),
            text::printable(&rejected.reason)
        );
    }
    for line in plugin.take_log() {
        exit::outln!("log {:?}: {}", line.level, text::printable(&line.message));
    }
    let metrics = plugin.metrics();
    exit::outln!(
        "{} rows in, {} out, {} dropped, {} rejected, {} failed and nulled",
        text::count(metrics.rows_in),
        text::count(metrics.rows_out),
        text::count(metrics.dropped),
        text::count(metrics.rejected),
        text::count(metrics.nulled),
    );
    if let Some(example) = &metrics.nulled_example {
        exit::outln!("the first failed row: {}", text::printable(example));
    }
    for (counter, value) in &metrics.counters {
        exit::outln!("counter {counter} = {}", text::count(*value));
    }
    exit::outln!(
        "{}",
        cost(took, records, metrics.peak_memory_bytes, &limits)
    );
    Ok(exit::DONE)
}

/// From how many rows on the time of a batch tells that of a full one.
const MIN_TELLING_ROWS: usize = 500;

/// Says what the batch cost beside what it may, and whether that is close.
fn cost(took: Duration, records: usize, memory_bytes: u64, limits: &Limits) -> String {
    // What `canopy run` gives a plugin at once.
    let full = took
        .mul_f64(MAX_BATCH_ROWS as f64 / records as f64)
        .max(took);
    let time_share = full.as_secs_f64() / limits.deadline.as_secs_f64();
    let memory_share = memory_bytes as f64 / limits.memory_bytes as f64;
    let mut out = format!(
        "{} ns/row: {} for these {} rows",
        text::count((took.as_nanos() / records as u128) as u64),
        text::duration(took),
        text::count(records as u64),
    );
    // A first call's fixed costs say nothing about a full batch.
    let tells = records >= MIN_TELLING_ROWS;
    if tells {
        out.push_str(&format!(
            ", about {} for a full batch of {} ({} of its deadline of {})",
            text::duration(full),
            text::count(MAX_BATCH_ROWS as u64),
            text::percent(time_share, 1.0),
            text::duration(limits.deadline),
        ));
    } else {
        out.push_str(", too few to say what a full batch takes");
    }
    out.push_str(&format!(
        "\n{} of memory ({} of its {})",
        text::bytes(memory_bytes),
        text::percent(memory_share, 1.0),
        text::bytes(limits.memory_bytes),
    ));
    if tells && time_share > 0.5 {
        out.push_str("\nclose to its deadline: make it faster, or raise limits.deadline");
    }
    if memory_share > 0.5 {
        out.push_str("\nclose to its memory: hold less, or raise limits.memory");
    }
    out
}

/// Returns the sample lines as a batch.
fn sample(args: &Args, project: &Project) -> Result<Batch> {
    let lines = match &args.lines {
        Some(path) => {
            let mut bytes = Vec::new();
            let reader: Box<dyn Read> = if path.as_os_str() == "-" {
                Box::new(std::io::stdin())
            } else {
                Box::new(
                    std::fs::File::open(path)
                        .with_context(|| format!("cannot read {}", path.display()))?,
                )
            };
            gunzipped(reader)
                .take(MAX_SAMPLE_BYTES)
                .read_to_end(&mut bytes)
                .with_context(|| format!("cannot read {}", path.display()))?;
            bytes
        }
        None => crate::commands::generate::sample_lines(1_000),
    };
    let layout = project
        .settings
        .layout()
        .map_err(|message| anyhow::anyhow!(message))?;
    let format = match args.lines {
        Some(_) => formats::detect(&lines, &layout)?,
        None => Format::RealTime(canopy_batch::formats::Layout::all()),
    };
    let mut parser = Parser::new(format, project.settings.logs.sampling_rate);
    let parsed = parser.parse_lines(Bytes::from(lines), 1);
    for rejected in parsed.rejected.iter().take(args.show) {
        eprintln!(
            "line {} is no log line: {}",
            parsed.batch.records().position(rejected.record),
            text::printable(&rejected.reason)
        );
    }
    Ok(parsed.batch)
}

/// Gunzips where the first bytes say so.
fn gunzipped(mut reader: Box<dyn Read>) -> Box<dyn Read> {
    let mut head = [0; 2];
    let mut length = 0;
    while length < 2 {
        match reader.read(&mut head[length..]) {
            Ok(0) | Err(_) => break,
            Ok(more) => length += more,
        }
    }
    let whole = std::io::Cursor::new(head[..length].to_vec()).chain(reader);
    if head == [0x1f, 0x8b] {
        Box::new(flate2::read::MultiGzDecoder::new(whole))
    } else {
        Box::new(whole)
    }
}

/// Returns a table of inputs and outputs, row by row of the output.
fn side_by_side(
    before: &Batch,
    after: &Batch,
    inputs: &[&str],
    outputs: &[&str],
    show: usize,
) -> String {
    // Each record was one row before, in the records' order.
    let mut row_of_record = vec![0; before.records().len()];
    for (row, &record) in before.origins().iter().enumerate() {
        row_of_record[record as usize] = row;
    }
    let cell = |batch: &Batch, name: &str, row: usize| match batch.column(name) {
        Some(column) => shortened(&text::printable(&text::value(column, row))),
        None => String::new(),
    };
    let mut rows = Vec::new();
    for (row, &record) in after.origins().iter().take(show).enumerate() {
        let mut cells = vec![before.records().position(record).to_string()];
        for name in inputs {
            cells.push(cell(before, name, row_of_record[record as usize]));
        }
        cells.push("→".to_owned());
        for name in outputs {
            cells.push(cell(after, name, row));
        }
        rows.push(cells);
    }
    let header: Vec<&str> = std::iter::once("line")
        .chain(inputs.iter().copied())
        .chain(std::iter::once(""))
        .chain(outputs.iter().copied())
        .collect();
    text::table(&header, &rows, &[0])
}

/// Cuts what would break the table.
fn shortened(text: &str) -> String {
    const WIDTH: usize = 48;
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    text.chars().take(WIDTH - 1).chain(['…']).collect()
}
