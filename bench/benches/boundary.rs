//! What the boundary costs: every first-party plugin through the runtime
//! beside the same plugin called natively through the SDK, on the same rows.
//!
//! - *native*: `Plugin::row` for each row over input columns that are there,
//!   writing the output columns. No checks, no Arrow, no limits.
//! - *the plugin*: `canopy_runtime::Plugin::apply` as the pipeline calls it:
//!   input copied into the guest, the same rows, output copied out, checked,
//!   made Arrow arrays and put into the batch; deadline, limits and metering.
//!
//! Two batches for each plugin. In `NAME` the inputs of all rows differ, so
//! that both sides do the whole work for each row. In `NAME as it comes` they
//! are those of generated traffic, where the runtime asks a per-distinct
//! plugin about distinct rows alone and native code is called for each row.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray};
use canopy_batch::schema::base_column;
use canopy_batch::{Batch, Stage};
use canopy_bench::data::{Fields, distinct, lines, parse};
use canopy_bench::paired::{Pair, criterion, measure, work};
use canopy_bench::{BATCH_RECORDS, output, root};
use canopy_runtime::{Host, Plugin, PluginSettings, sha256_hex};
use canopy_sdk::columns::{Column, TextColumn, Values};
use canopy_sdk::testing::Harness;
use canopy_traffic::geo;
use criterion::Criterion;

fn main() {
    let mut bench = Bench {
        criterion: criterion(),
        host: Host::new().expect("the engine starts"),
        traffic: parse(Fields::All, lines(Fields::All, BATCH_RECORDS)),
    };
    let data = [("city", geo::city_database()), ("asn", geo::asn_database())];
    bench.plugin::<normalize_path::NormalizePath>("normalize-path", &[], &["cs_uri_stem"]);
    bench.plugin::<geo_tag::GeoTag>("geo-tag", &data, &["c_ip"]);
    bench.plugin::<edge_location::EdgeLocation>("edge-location", &[], &["x_edge_location"]);
    bench.plugin::<redact::Redact>(
        "redact",
        &[],
        &[
            "c_ip",
            "x_forwarded_for",
            "cs_uri_stem",
            "cs_uri_query",
            "cs_referer",
            "cs_cookie",
            "cs_headers",
        ],
    );
    bench.criterion.final_summary();
}

struct Bench {
    criterion: Criterion,
    host: Host,
    traffic: Batch,
}

impl Bench {
    /// Measures a plugin that reads the text columns `inputs`.
    fn plugin<P: canopy_sdk::Plugin>(
        &mut self,
        name: &str,
        data: &[(&str, Vec<u8>)],
        inputs: &[&str],
    ) {
        let all_differ = match inputs {
            // There are fewer edge locations in the world than rows.
            ["x_edge_location"] => numbered_locations(&self.traffic),
            _ => distinct(inputs, BATCH_RECORDS).expect("the traffic is varied enough"),
        };
        self.batch::<P>(name, name, data, inputs, all_differ);
        let as_it_comes = format!("{name} as it comes");
        let traffic = self.traffic.clone();
        self.batch::<P>(name, &as_it_comes, data, inputs, traffic);
    }

    fn batch<P: canopy_sdk::Plugin>(
        &mut self,
        plugin: &str,
        row: &str,
        data: &[(&str, Vec<u8>)],
        inputs: &[&str],
        batch: Batch,
    ) {
        let mut wasm = self.open(plugin, data);
        let read: Vec<&str> = wasm.inputs().iter().map(|(name, _)| &**name).collect();
        assert_eq!(read, inputs, "both sides read the same columns");

        let mut native = Harness::<P>::default();
        for (name, bytes) in data {
            native = native.with_data(name, bytes.clone());
        }
        native.configure().expect("the plugin takes its defaults");
        let rows = batch.row_count();
        let columns: Vec<Column> = inputs
            .iter()
            .map(|name| text_column(batch.column(name).expect("a column of the batch")))
            .collect();

        let pair = Pair {
            name: row,
            base: "native",
            records: rows,
            bytes: None,
        };
        let mut native = work((), |()| {
            native
                .transform(rows as u32, &columns)
                .expect("the plugin takes its columns")
        });
        let mut wasm = work(batch, |batch| {
            let outcome = wasm.apply(batch).expect("the plugin takes the batch");
            assert_eq!(outcome.batch.row_count(), rows, "no row fails");
            outcome
        });
        measure(&mut self.criterion, pair, &mut native, &mut wasm);
    }

    /// Opens a first-party plugin as `canopy run` does.
    fn open(&self, name: &str, data: &[(&str, Vec<u8>)]) -> Plugin {
        let path = root().join(format!("target/plugins/{name}.wasm"));
        let component = std::fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; run `make plugins`", path.display()));
        let artifact = self.host.compile(&component).expect("the plugin compiles");
        let loaded = self
            .host
            .load(&artifact, &sha256_hex(&artifact))
            .expect("the artifact was just made");
        let settings = PluginSettings {
            name: name.to_owned(),
            data: data
                .iter()
                .map(|(name, bytes)| file(name, bytes))
                .collect::<BTreeMap<_, _>>(),
            ..PluginSettings::default()
        };
        self.host.open(&loaded, settings).expect("the plugin opens")
    }
}

/// Writes a data file for a plugin to read.
fn file(name: &str, bytes: &[u8]) -> (String, PathBuf) {
    let path = output().join(format!("{name}.mmdb"));
    std::fs::create_dir_all(output())
        .and_then(|()| std::fs::write(&path, bytes))
        .expect("the data file can be written");
    (name.to_owned(), path)
}

/// Returns the column as the SDK has it.
fn text_column(array: &ArrayRef) -> Column {
    let text = array.as_string::<i32>();
    let rows = text.iter().map(Option::unwrap_or_default);
    Column {
        values: Values::Text(TextColumn::from_rows(rows)),
        validity: None,
    }
}

/// Gives every row's edge location (`FRA56-P1`) another number, so that all
/// differ and cost what they did.
fn numbered_locations(batch: &Batch) -> Batch {
    let column = base_column("x_edge_location").expect("a field of CloudFront");
    let locations: StringArray = batch
        .column(&column.name)
        .expect("a column of the batch")
        .as_string::<i32>()
        .iter()
        .zip(0..)
        .map(|(location, row)| {
            let code = location.and_then(|location| location.get(..3));
            code.map(|code| format!("{code}{}-P{}", 10 + row % 90, row / 90))
        })
        .collect();
    assert_eq!(locations.null_count(), 0, "every row has an edge location");
    let mut batch = batch.clone();
    batch.set_column(column, Arc::new(locations));
    batch
}
