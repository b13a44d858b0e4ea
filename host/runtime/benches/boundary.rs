//! What the boundary costs: `normalize-path` as a plugin against the same
//! function called natively on the same column.
//!
//! `cargo bench -p canopy-runtime`, after `make plugins`. Prints nanoseconds a
//! row, the least of many rounds, and the plugin's as a multiple of native.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::Schema;
use bytes::Bytes;
use canopy_batch::schema::base_column;
use canopy_batch::{Batch, Records, Stage};
use canopy_runtime::{Host, Plugin, PluginSettings, sha256_hex};
use canopy_sdk::{Text, Writer};
use normalize_path::{Config, Normalizer};

const ROWS: usize = 10_000;
const ROUNDS: usize = 300;

fn main() {
    let mut plugin = plugin();
    // Every path once: a per-distinct plugin is asked about each row.
    compare("all paths differ", &mut plugin, &batch(ROWS));
    // As in real traffic, where the host asks about distinct paths alone.
    compare("500 distinct paths", &mut plugin, &batch(500));
}

fn plugin() -> Plugin {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins/normalize-path.wasm");
    let component = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `make plugins`", path.display()));
    let host = Host::new().expect("the engine starts");
    let artifact = host.compile(&component).expect("the plugin compiles");
    let loaded = host
        .load(&artifact, &sha256_hex(&artifact))
        .expect("the artifact was just made");
    let settings = PluginSettings {
        name: "normalize-path".to_owned(),
        ..PluginSettings::default()
    };
    host.open(&loaded, settings).expect("the plugin opens")
}

/// A batch of [`ROWS`] rows with this many distinct paths.
fn batch(distinct: usize) -> Batch {
    let paths: StringArray = (0..ROWS)
        .map(|row| {
            let id = (row % distinct) * 7919 + 100_000;
            Some(match row % 4 {
                0 => format!("/api/v2/users/{id}/orders/{}", id * 31),
                1 => format!("/static/js/app.{id:08x}9f3c.js"),
                2 => format!("/products/{id:08x}-1a2b-4c3d-8e9f-0123456789ab/reviews"),
                _ => format!("/blog/2026/11/24/a-post-about-things-{id}.html"),
            })
        })
        .collect();
    let mut records = Records::new(Bytes::from(vec![b'r'; ROWS]));
    (0..ROWS).for_each(|row| records.push(row..row + 1, row as u64));
    let schema = Schema::new(vec![base_column("cs_uri_stem").expect("a field").arrow()]);
    let columns = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(paths) as ArrayRef])
        .expect("the column is text");
    Batch::new(columns, Arc::new(records), (0..ROWS as u32).collect())
}

fn compare(what: &str, plugin: &mut Plugin, batch: &Batch) {
    let normalizer = Normalizer::new(&Config::default()).expect("the default is valid");
    let column = Arc::clone(batch.column("cs_uri_stem").expect("it was just made"));
    let paths = column.as_string::<i32>();
    let mut native = Duration::MAX;
    let mut called = Duration::MAX;
    // In turns, so that both meet the same moods of the machine.
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut out = Text::default();
        for path in paths {
            normalizer.template(path.unwrap_or_default(), &mut out);
            out.finish_row();
        }
        black_box(out);
        native = native.min(start.elapsed());

        let input = batch.clone();
        let start = Instant::now();
        black_box(plugin.apply(input).expect("no row fails"));
        called = called.min(start.elapsed());
    }
    let per_row = |time: Duration| time.as_nanos() as f64 / ROWS as f64;
    println!(
        "{what}: native {:.0} ns/row, plugin {:.0} ns/row, {:.2} x native",
        per_row(native),
        per_row(called),
        called.as_secs_f64() / native.as_secs_f64(),
    );
}
