//! Writes lines to stdout, and how fast they came to stderr:
//!
//! ```text
//! cargo run --release -p canopy-traffic --example lines -- 1000000 [45|all|standard|json] [seed] > lines.log
//! ```
//!
//! The lines are spread over 24 hours from 2026-11-24T00:00:00Z.

use std::io::Write;
use std::time::{Duration, Instant};

use canopy_traffic::{Format, Generator, Layout, Pace, Settings};

const START_MS: u64 = 1_795_478_400_000;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let lines = args
        .next()
        .map_or(1_000, |text| text.parse().expect("a number of lines"));
    let format = match args.next().as_deref() {
        None | Some("all") => Format::RealTime(Layout::all()),
        Some("standard") => Format::Standard,
        Some("json") => Format::Json,
        Some(count) => Format::RealTime(Layout::first(count.parse().expect("a number of fields"))),
    };
    let seed = args.next().map_or(1, |text| text.parse().expect("a seed"));

    let mut settings = Settings::new(seed, START_MS);
    settings.format = format;
    settings.pace = Pace::Spread {
        lines,
        window: Duration::from_secs(86_400),
    };
    let mut generator = Generator::new(settings);
    let mut stdout = std::io::stdout().lock();
    let mut block = Vec::with_capacity(1 << 20);
    let mut busy = Duration::ZERO;
    generator.write_header(&mut block);
    let mut left = lines;
    while left > 0 {
        let count = left.min(1_000);
        let start = Instant::now();
        generator.fill(&mut block, count);
        busy += start.elapsed();
        stdout.write_all(&block)?;
        block.clear();
        left -= count;
    }
    let truth = generator.truth();
    eprintln!(
        "{lines} lines of {:.0} bytes, {:.0} ns each, hit ratio {:.1}%",
        truth.bytes_written as f64 / lines as f64,
        busy.as_nanos() as f64 / lines as f64,
        truth.hit_ratio() * 100.0,
    );
    Ok(())
}
