//! `canopy generate`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use canopy_pipeline::units::HumanDuration;
use canopy_traffic::{
    Format, Generator, Incident, Layout, Malformed, Pace, Pacer, Profile, Settings, Step,
};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::{exit, text};

/// Lines written at a time.
const BLOCK_LINES: u64 = 4_096;

/// Generate realistic CloudFront traffic
///
/// Writes log lines as fast as they go (--lines), or at a rate as if they
/// happened now (--rate). The same seed and start give the same bytes.
///
/// Examples:
///
///   canopy generate --lines 100000 --seed 7 --out access.log.gz
///
///   canopy generate --lines 50000 --incident error-burst@40%+10%
///
///   canopy generate --rate 500 --for 10m | canopy run -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// How many lines
    #[arg(
        long,
        value_name = "N",
        required_unless_present = "rate",
        conflicts_with = "rate"
    )]
    lines: Option<u64>,

    /// Lines a second, in real time
    #[arg(long, value_name = "R")]
    rate: Option<f64>,

    /// How long traffic goes on, such as 10m; with --lines: the time they span
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<HumanDuration>,

    /// Which traffic: the same seed gives the same
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// When it starts, seconds since 1970 UTC; by default so that it ends now,
    /// with --rate: now
    #[arg(long, value_name = "SECONDS")]
    start: Option<u64>,

    /// What the site is
    #[arg(long, value_parser = ["mixed", "shop", "api", "video"], default_value = "mixed")]
    profile: String,

    /// The form of the lines
    #[arg(long, value_parser = ["real-time", "standard", "json"], default_value = "real-time")]
    format: String,

    /// Fields of real-time lines, by commas; by default all 71
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    fields: Vec<String>,

    /// What goes wrong and when: error-burst, cache-miss-storm, bot-flood,
    /// origin-slow or silence, @START+DURATION in time or percent; repeatable
    #[arg(long = "incident", value_name = "KIND@START+DURATION")]
    incidents: Vec<String>,

    /// The share of damaged lines, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    malformed: f64,

    /// The sampling rate in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 100.0)]
    sampling: f64,

    /// The file to write, gzipped where it ends in .gz; by default standard
    /// output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// How long generated traffic spans where nothing says so.
const DEFAULT_WINDOW: Duration = Duration::from_secs(3_600);

pub(crate) fn run(args: Args) -> Result<u8> {
    if let Some(rate) = args.rate
        && !(rate > 0.0 && rate.is_finite())
    {
        return usage(format!("--rate {rate}: lines a second, above 0"));
    }
    if !(0.0..=1.0).contains(&args.malformed) {
        return usage(format!(
            "--malformed {}: a share from 0 to 1",
            args.malformed
        ));
    }
    if !(args.sampling > 0.0 && args.sampling <= 100.0) {
        return usage(format!(
            "--sampling {}: a percentage, above 0 to 100",
            args.sampling
        ));
    }
    let settings = settings(&args)?;
    let paced = args.rate.map(|_| {
        let pacer = Pacer::new(settings.start_ms);
        match args.duration {
            Some(HumanDuration(duration)) => pacer.for_duration(duration),
            None => pacer,
        }
    });
    let header = matches!(settings.format, Format::Standard);
    let mut generator = Generator::new(settings);
    let mut out = Output::open(args.out.as_deref())?;
    let mut block = Vec::new();
    if header {
        generator.write_header(&mut block);
    }
    match paced {
        Some(pacer) => pace(&mut generator, &pacer, &mut out, block)?,
        None => {
            let mut left = args.lines.unwrap_or_default();
            while left > 0 {
                let lines = left.min(BLOCK_LINES);
                generator.fill(&mut block, lines);
                out.write_all(&block)?;
                block.clear();
                left -= lines;
            }
        }
    }
    out.finish()?;
    let truth = generator.truth();
    if let Some(path) = &args.out {
        eprintln!(
            "{}: {} lines, {} of them damaged, {} of text",
            path.display(),
            text::count(truth.lines),
            text::count(truth.malformed()),
            text::bytes(truth.bytes_written),
        );
    }
    Ok(exit::DONE)
}

fn usage(message: String) -> Result<u8> {
    Err(exit::Usage(message).into())
}

fn settings(args: &Args) -> Result<Settings> {
    let window = args.duration.map_or(DEFAULT_WINDOW, |duration| duration.0);
    let now = now_ms()?;
    let start_ms = match (args.start, args.rate) {
        (Some(seconds), _) => seconds
            .checked_mul(1_000)
            .context("--start is too far in the future")?,
        (None, Some(_)) => now,
        (None, None) => now.saturating_sub(window.as_millis() as u64),
    };
    let mut settings = Settings::new(args.seed, start_ms);
    settings.pace = match (args.lines, args.rate) {
        (_, Some(rate)) => Pace::Rate(rate),
        (lines, None) => Pace::Spread {
            lines: lines.unwrap_or_default().max(1),
            window,
        },
    };
    if args.rate.is_some() {
        // A rate is meant as it is said, at night too.
        settings.diurnal = 0.0;
    }
    settings.profile = Profile::ALL
        .iter()
        .find(|(name, _)| *name == args.profile)
        .map(|(_, profile)| *profile)
        .unwrap_or_default();
    settings.sampling_percent = args.sampling;
    settings.malformed = Malformed {
        rate: args.malformed,
        ..Malformed::default()
    };
    settings.incidents = args
        .incidents
        .iter()
        .map(|text| Incident::parse(text, window))
        .collect::<Result<_, _>>()
        .map_err(|error| exit::Usage(format!("--incident: {error}")))?;
    settings.format = match args.format.as_str() {
        "standard" => Format::Standard,
        "json" => Format::Json,
        _ if args.fields.is_empty() => Format::RealTime(Layout::all()),
        _ => Format::RealTime(
            Layout::from_names(args.fields.iter().map(String::as_str))
                .map_err(|error| exit::Usage(format!("--fields: {error}")))?,
        ),
    };
    Ok(settings)
}

fn now_ms() -> Result<u64> {
    Ok(SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?
        .as_millis() as u64)
}

/// Writes lines when they are due.
fn pace(
    generator: &mut Generator,
    pacer: &Pacer,
    out: &mut Output,
    mut block: Vec<u8>,
) -> Result<()> {
    let started = Instant::now();
    loop {
        match pacer.step(started.elapsed(), generator.next_ms()) {
            Step::Write { until_ms } => {
                generator.fill_until(&mut block, until_ms, BLOCK_LINES);
                out.write_all(&block)?;
                block.clear();
            }
            Step::Wait(wait) => {
                out.flush()?;
                std::thread::sleep(wait);
            }
            Step::Done => return Ok(()),
        }
    }
}

/// Where lines go.
enum Output {
    Plain(Box<dyn Write>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

impl Output {
    fn open(path: Option<&std::path::Path>) -> Result<Output> {
        let Some(path) = path else {
            return Ok(Output::Plain(Box::new(std::io::stdout().lock())));
        };
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(if path.extension().is_some_and(|e| e == "gz") {
            Output::Gzip(Box::new(GzEncoder::new(
                BufWriter::new(file),
                Compression::fast(),
            )))
        } else {
            Output::Plain(Box::new(BufWriter::new(file)))
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Output::Plain(out) => out.write_all(bytes),
            Output::Gzip(out) => out.write_all(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Output::Plain(out) => out.flush(),
            Output::Gzip(out) => out.flush(),
        }
    }

    fn finish(self) -> std::io::Result<()> {
        match self {
            Output::Plain(mut out) => out.flush(),
            Output::Gzip(out) => out.finish()?.flush(),
        }
    }
}

/// Returns lines for trying a plugin: real-time, all fields, always the same.
pub(crate) fn sample_lines(lines: u64) -> Vec<u8> {
    // 2026-01-01T00:00:00Z
    let mut settings = Settings::new(1, 1_767_225_600_000);
    settings.pace = Pace::Spread {
        lines,
        window: DEFAULT_WINDOW,
    };
    let mut out = Vec::new();
    Generator::new(settings).fill(&mut out, lines);
    out
}
