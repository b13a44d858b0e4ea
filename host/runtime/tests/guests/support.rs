//! A host, the guest, batches of commands, and books that must balance.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::Schema;
use bytes::Bytes;
use canopy_batch::schema::base_column;
use canopy_batch::{Batch, Outcome, Records, Stage};
use canopy_runtime::{Host, Loaded, Plugin, PluginSettings, sha256_hex};
use serde_json::{Value, json};

/// The host of all tests.
pub(crate) fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::new().unwrap())
}

/// The bytes of the guest's component.
pub(crate) fn component() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/guests/hazards.wasm");
        std::fs::read(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; build it with `make guests`", path.display())
        })
    })
}

/// The guest's artifact, compiled once.
pub(crate) fn artifact() -> &'static [u8] {
    static ARTIFACT: OnceLock<Vec<u8>> = OnceLock::new();
    ARTIFACT.get_or_init(|| host().compile(component()).unwrap())
}

/// The guest, loaded once.
pub(crate) fn guest() -> &'static Loaded {
    static GUEST: OnceLock<Loaded> = OnceLock::new();
    GUEST.get_or_init(|| host().load(artifact(), &sha256_hex(artifact())).unwrap())
}

/// Settings for the guest with this configuration.
pub(crate) fn settings(config: Value) -> PluginSettings {
    PluginSettings {
        name: "hazards".to_owned(),
        config,
        ..PluginSettings::default()
    }
}

/// Opens the guest.
pub(crate) fn open(settings: PluginSettings) -> Plugin {
    host().open(guest(), settings).unwrap_or_else(|error| {
        panic!("{}", chain(&error));
    })
}

/// Opens the guest as it is by default: a new nullable text column `tag`.
pub(crate) fn open_default() -> Plugin {
    open(settings(json!({})))
}

/// Returns why the guest cannot be opened, with all causes.
pub(crate) fn open_error(settings: PluginSettings) -> String {
    chain(&host().open(guest(), settings).unwrap_err())
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// A batch of one record for each row, with one column, the commands.
pub(crate) fn batch(commands: &[&str]) -> Batch {
    batch_of(&[(
        "cs_uri_stem",
        Arc::new(StringArray::from(commands.to_vec())),
    )])
}

/// A batch of one record for each row, with base columns.
pub(crate) fn batch_of(columns: &[(&str, ArrayRef)]) -> Batch {
    let rows = columns[0].1.len();
    let mut records = Records::new(Bytes::from(vec![b'r'; rows]));
    (0..rows).for_each(|row| records.push(row..row + 1, row as u64 + 1));
    let schema = Schema::new(
        columns
            .iter()
            .map(|(name, _)| base_column(name).unwrap().arrow())
            .collect::<Vec<_>>(),
    );
    let arrays = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    let columns = RecordBatch::try_new(Arc::new(schema), arrays).unwrap();
    Batch::new(columns, Arc::new(records), (0..rows as u32).collect())
}

/// Applies the plugin and checks that the books balance.
pub(crate) fn apply(plugin: &mut Plugin, batch: Batch) -> Outcome {
    let before: HashSet<u32> = batch.origins().iter().copied().collect();
    let outcome = plugin.apply(batch).unwrap();
    let after: HashSet<u32> = outcome.batch.origins().iter().copied().collect();
    let rejected: HashSet<u32> = outcome.rejected.iter().map(|r| r.record).collect();
    assert_eq!(
        rejected.len(),
        outcome.rejected.len(),
        "each record is rejected once"
    );
    assert!(after.is_disjoint(&rejected));
    assert!(after.is_subset(&before) && rejected.is_subset(&before));
    assert_eq!(
        before.len() as u64,
        after.len() as u64 + rejected.len() as u64 + outcome.dropped
    );
    outcome
}

/// Runs the commands through a plugin opened by default.
pub(crate) fn run(commands: &[&str]) -> Outcome {
    apply(&mut open_default(), batch(commands))
}

/// The values of the column `tag`.
pub(crate) fn tags(outcome: &Outcome) -> Vec<Option<&str>> {
    let column = outcome.batch.column("tag").unwrap();
    column.as_string::<i32>().iter().collect()
}

/// Returns the one reason for which records were set aside, after checking that
/// exactly these were.
pub(crate) fn rejected<'a>(outcome: &'a Outcome, records: &[u32]) -> &'a str {
    let found: Vec<u32> = outcome.rejected.iter().map(|r| r.record).collect();
    let first = outcome.rejected.first();
    assert_eq!(found, records, "the first of them: {first:?}");
    assert!(outcome.rejected.iter().all(|r| &*r.stage == "hazards"));
    &outcome.rejected[0].reason
}

/// The guest's component with a text replaced everywhere by one of the same
/// length.
pub(crate) fn patched(from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = component().to_vec();
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from)
        .map(|(place, _)| place)
        .collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place..place + to.len()].copy_from_slice(to);
    }
    bytes
}
