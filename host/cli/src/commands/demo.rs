//! `canopy demo`

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use canopy_pipeline::{Chain, Lock, Settings, Source, settings};
use canopy_runtime::Host;
use canopy_traffic::{Generator, Incident, IncidentKind, Malformed, Pace, geo};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::files::write_whole;
use crate::project::{Project, ProjectArgs, first_party};
use crate::{exit, text};

/// Run the whole pipeline on this machine, with sample traffic
///
/// Makes a project in its own folder: an hour of traffic with incidents in it,
/// a chain of four plugins, an embedded ClickHouse. A second run finds what the
/// first one stored and adds nothing twice.
///
/// Example: canopy demo --lines 1000000
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The demo's folder
    #[arg(long, value_name = "DIR", default_value = "canopy-demo")]
    folder: PathBuf,

    /// How many lines of traffic
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    lines: u64,

    /// The embedded engine's library
    #[arg(long, value_name = "FILE", env = "CANOPY_ENGINE_LIBRARY")]
    library: Option<PathBuf>,
}

/// The plugins of the demo, in the chain's order. `geo-tag` looks the address
/// up before `redact` cuts it.
const PLUGINS: [&str; 4] = ["normalize-path", "edge-location", "geo-tag", "redact"];

/// How the demo's canopy.toml begins.
const HEADER: &str =
    "# The demo's chain, written by `canopy demo`. Paths are relative to this file.";

/// How much time the traffic spans; it ends now.
const WINDOW: Duration = Duration::from_secs(3_600);

pub(crate) async fn run(args: Args) -> Result<u8> {
    let folder = args.folder.as_path();
    let config = folder.join(settings::FILE_NAME);
    refuse_another_project(&config)?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let log = folder.join(format!("access-{}.log.gz", args.lines));
    if log.exists() {
        exit::outln!("traffic      {} from an earlier demo", log.display());
    } else {
        write(&log, &traffic(args.lines)?)?;
        exit::outln!(
            "traffic      {}: {} lines over an hour, with an error burst, a cache-miss storm and a bot flood",
            log.display(),
            text::count(args.lines)
        );
    }
    chain(folder, &config)?;

    let project = Project::open(&ProjectArgs {
        config: Some(config.clone()),
        library: args.library,
        ..ProjectArgs::default()
    })?;
    let sources = vec![Source::File(log)];
    let settings = super::run::run_settings(&project, &sources, false)?;
    let report = super::run::ingest(&project, sources, &settings).await?;
    exit::outln!("\n{}", super::summary::run(&report));
    let clickhouse = project.connect().await?;
    let signals = super::signals::golden(&clickhouse).await?;
    exit::outln!("{}", signals.trim_end());
    exit::outln!(
        "\nask it yourself:  canopy query --config {} \"SELECT edge_city, count() FROM cloudfront_logs GROUP BY 1 ORDER BY 2 DESC LIMIT 5\"",
        config.display()
    );
    if !report.books.balance() {
        bail!("the books do not balance: please report this");
    }
    Ok(exit::DONE)
}

/// Fails where canopy.toml is not the demo's own, which would be lost.
fn refuse_another_project(config: &Path) -> Result<()> {
    let text = match std::fs::read(config) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        text => text.with_context(|| format!("cannot read {}", config.display()))?,
    };
    if !text.starts_with(HEADER.as_bytes()) {
        bail!(
            "{} is not the demo's: give the demo a folder of its own with --folder",
            config.display()
        );
    }
    Ok(())
}

/// An hour of traffic ending now, with three incidents and a few damaged
/// lines, gzipped.
fn traffic(lines: u64) -> Result<Vec<u8>> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?;
    let start = now.saturating_sub(WINDOW);
    let mut settings = canopy_traffic::Settings::new(2026, start.as_millis() as u64);
    settings.pace = Pace::Spread {
        lines,
        window: WINDOW,
    };
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    settings.incidents = vec![
        Incident::new(IncidentKind::CacheMissStorm, minutes(15), minutes(5)),
        Incident::new(IncidentKind::ErrorBurst, minutes(30), minutes(8)),
        Incident::new(IncidentKind::BotFlood, minutes(48), minutes(6)),
    ];
    settings.malformed = Malformed {
        rate: 0.000_5,
        ..Malformed::default()
    };
    let mut generator = Generator::new(settings);
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    let mut block = Vec::new();
    let mut left = lines;
    while left > 0 {
        let now = left.min(4_096);
        generator.fill(&mut block, now);
        out.write_all(&block)?;
        block.clear();
        left -= now;
    }
    Ok(out.finish()?)
}

/// Writes canopy.toml, the geo databases and canopy.lock, as far as they are
/// not there.
fn chain(folder: &Path, config: &Path) -> Result<()> {
    let cities = folder.join("city.mmdb");
    let networks = folder.join("asn.mmdb");
    write(&cities, &geo::city_database())?;
    write(&networks, &geo::asn_database())?;
    let mut components = Vec::new();
    for name in PLUGINS {
        match first_party(name) {
            Some(path) => components.push((name, path)),
            None => bail!(
                "the plugin `{name}` is not beside canopy: build the plugins with `make plugins`"
            ),
        }
    }
    let wanted = toml(&components);
    write(config, wanted.as_bytes())?;
    let settings = Settings::read(config)?;
    let mut lock = Lock::read(folder)?;
    let before = lock.clone();
    let chain = Chain::add(&settings, &mut lock, &Host::new()?, &PLUGINS)?;
    if lock != before {
        lock.write(folder)?;
    }
    for plugin in chain.plugins() {
        exit::outln!(
            "plugin       {} {}: {}",
            canopy_batch::Stage::name(plugin),
            text::printable(&plugin.descriptor().version),
            text::printable(&plugin.descriptor().summary)
        );
    }
    Ok(())
}

/// The demo's canopy.toml.
fn toml(components: &[(&str, PathBuf)]) -> String {
    let mut out = format!("{HEADER}\n");
    for (name, path) in components {
        out.push_str(&format!(
            "\n[[plugin]]\nname = {}\nsource = {}\n",
            toml_edit::Value::from(*name),
            toml_edit::Value::from(path.display().to_string()),
        ));
        if *name == "geo-tag" {
            out.push_str("data = { city = \"city.mmdb\", asn = \"asn.mmdb\" }\n");
        }
    }
    out
}

/// Writes a file only where it would change.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    write_whole(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
