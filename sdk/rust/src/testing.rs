//! Running a plugin natively, as `cargo test` does: no WebAssembly, the same
//! columns.
//!
//! ```
//! # use canopy_sdk::prelude::*;
//! # #[derive(Output)]
//! # struct Doubled {
//! #     /// Twice the bytes.
//! #     doubled: Int,
//! # }
//! # /// Doubles the bytes.
//! # #[plugin]
//! # fn double(sc_bytes: i64, row: &mut Row<Doubled>) {
//! #     row.doubled.set(2 * sc_bytes);
//! # }
//! let made = Harness::<Double>::default().run(json!([{ "sc_bytes": 21 }]));
//! assert_eq!(made.rows, json!([{ "doubled": 42 }]));
//! ```

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::columns::{Column, Kind, Millis, TextColumn, Values, bit};
use crate::error::Error;
use crate::host::{Data, Level, Told, told};
use crate::output::{Boolean, Float, Int, Nullable, Text, Timestamp, Writer};
use crate::plugin::{Instance, Plugin};
use crate::row::Transformed;
use crate::schema::Schema;

/// A plugin under test, given rows as JSON objects from column name to value.
pub struct Harness<P: Plugin> {
    config: Value,
    data: BTreeMap<String, Vec<u8>>,
    instance: Option<Instance<P>>,
}

impl<P: Plugin> Default for Harness<P> {
    /// Returns the plugin with an empty configuration.
    fn default() -> Self {
        Harness::new(Value::Object(Map::new()))
    }
}

/// What a plugin made of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// The rows that go on: a JSON array of objects from output column to
    /// value. Timestamps are milliseconds since the epoch.
    pub rows: Value,
    /// For each of `rows`, the input row it comes from.
    pub sources: Vec<u32>,
    /// The rejected input rows, and why.
    pub rejected: Vec<(u32, String)>,
    /// What was logged.
    pub log: Vec<(Level, String)>,
    /// What was counted.
    pub counters: BTreeMap<String, u64>,
}

impl<P: Plugin> Harness<P> {
    /// Returns the plugin under a configuration, a JSON object.
    pub fn new(config: Value) -> Self {
        Harness {
            config,
            data: BTreeMap::new(),
            instance: None,
        }
    }

    /// Grants the data file `name` with these bytes.
    #[must_use]
    pub fn with_data(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.data.insert(name.to_owned(), bytes.into());
        self
    }

    /// Configures the plugin, where it was not yet, and returns its columns.
    ///
    /// # Errors
    ///
    /// What the plugin says is wrong with its configuration or data.
    pub fn configure(&mut self) -> Result<&Schema, Error> {
        Ok(self.instance()?.schema())
    }

    /// Runs rows through the plugin as one batch: `rows` is a JSON array of
    /// objects. A column that an object lacks is null in that row.
    ///
    /// # Panics
    ///
    /// Where the plugin cannot be configured, a row names a column that the
    /// plugin does not read, or a value is not of the column's kind: the test
    /// is wrong.
    pub fn run(&mut self, rows: Value) -> Made {
        match self.try_run(&rows) {
            Ok(made) => made,
            Err(error) => panic!("{error}"),
        }
    }

    fn try_run(&mut self, rows: &Value) -> Result<Made, Error> {
        let rows = objects(rows)?;
        let instance = self.instance()?;
        let inputs = columns(instance.schema(), &rows)?;
        drop(told());
        let transformed = instance.transform(rows.len() as u32, &inputs)?;
        let rejected: Vec<u32> = transformed.rejected.iter().map(|(row, _)| *row).collect();
        let same_rows = transformed.source_rows.is_none();
        let sources = transformed.source_rows.unwrap_or_else(|| {
            (0..rows.len() as u32)
                .filter(|row| !rejected.contains(row))
                .collect()
        });
        // The host refuses the whole answer then.
        if let Some(row) = sources.iter().find(|row| rejected.contains(row)) {
            return Err(Error::other(format_args!(
                "row {row} was rejected and goes on"
            )));
        }
        let made = (0..sources.len())
            .map(|index| {
                // Where the rows are the same, rejected ones keep their place.
                let row = if same_rows {
                    sources[index] as usize
                } else {
                    index
                };
                let names = instance.schema().outputs().map(|(name, _)| name.to_owned());
                let values = transformed.columns.iter().map(|column| json(column, row));
                Value::Object(names.zip(values).collect())
            })
            .collect();
        let Told { log, counters } = told();
        Ok(Made {
            rows: Value::Array(made),
            sources,
            rejected: transformed.rejected,
            log,
            counters,
        })
    }

    /// Runs a batch of columns through the plugin, the way the host does:
    /// `inputs` are the columns it reads in their order, each with `rows` rows.
    /// For benchmarks.
    ///
    /// # Errors
    ///
    /// What the plugin says is wrong with its configuration or data, or where
    /// the columns are not those it reads.
    pub fn transform(&mut self, rows: u32, inputs: &[Column]) -> Result<Transformed, Error> {
        self.instance()?.transform(rows, inputs)
    }

    /// Returns the JSON Schema of the plugin's configuration.
    ///
    /// # Panics
    ///
    /// If it is not JSON, which cannot happen.
    pub fn config_schema(&self) -> Value {
        crate::config::schema::<P::Config>()
            .parse()
            .expect("a JSON Schema is JSON")
    }

    fn instance(&mut self) -> Result<&mut Instance<P>, Error> {
        if self.instance.is_none() {
            let data = Data::of_files(self.data.clone());
            self.instance = Some(Instance::new(&self.config.to_string(), &data)?);
        }
        self.instance
            .as_mut()
            .ok_or_else(|| Error::other("there is no instance"))
    }
}

fn objects(rows: &Value) -> Result<Vec<&Map<String, Value>>, Error> {
    let array = rows.as_array();
    let objects: Option<Vec<_>> =
        array.and_then(|rows| rows.iter().map(Value::as_object).collect());
    objects.ok_or_else(|| Error::other("rows are a JSON array of objects"))
}

/// Builds the input columns out of JSON rows.
fn columns(schema: &Schema, rows: &[&Map<String, Value>]) -> Result<Vec<Column>, Error> {
    for (index, row) in rows.iter().enumerate() {
        if let Some(name) = row
            .keys()
            .find(|key| schema.inputs().all(|(name, _)| name != *key))
        {
            let message = format_args!("row {index}: the plugin does not read `{name}`");
            return Err(Error::other(message));
        }
    }
    schema
        .inputs()
        .map(|(name, kind)| {
            let values: Vec<&Value> = rows
                .iter()
                .map(|row| row.get(name).unwrap_or(&Value::Null))
                .collect();
            column(kind, &values).ok_or_else(|| {
                Error::other(format_args!("a value of `{name}` is not of kind {kind}"))
            })
        })
        .collect()
}

fn column(kind: Kind, values: &[&Value]) -> Option<Column> {
    let mut column = Vec::with_capacity(1);
    match kind {
        Kind::Text => fill(
            Nullable::<Text>::default(),
            values,
            &mut column,
            |cell, value| {
                cell.set(value.as_str()?);
                Some(())
            },
        )?,
        Kind::Int => fill(
            Nullable::<Int>::default(),
            values,
            &mut column,
            |cell, value| {
                cell.set(value.as_i64()?);
                Some(())
            },
        )?,
        Kind::Float => fill(
            Nullable::<Float>::default(),
            values,
            &mut column,
            |cell, value| {
                cell.set(value.as_f64()?);
                Some(())
            },
        )?,
        Kind::Timestamp => fill(
            Nullable::<Timestamp>::default(),
            values,
            &mut column,
            |cell, value| {
                cell.set(Millis(value.as_i64()?));
                Some(())
            },
        )?,
        Kind::Boolean => fill(
            Nullable::<Boolean>::default(),
            values,
            &mut column,
            |cell, value| {
                cell.set(value.as_bool()?);
                Some(())
            },
        )?,
    }
    column.pop()
}

fn fill<W: Writer>(
    mut writer: W,
    values: &[&Value],
    column: &mut Vec<Column>,
    set: impl Fn(&mut W, &Value) -> Option<()>,
) -> Option<()> {
    for value in values {
        if !value.is_null() {
            set(&mut writer, value)?;
        }
        writer.finish_row();
    }
    writer.take(column);
    Some(())
}

/// Returns row `row` of an output column.
fn json(column: &Column, row: usize) -> Value {
    if column.validity.as_ref().is_some_and(|bits| !bit(bits, row)) {
        return Value::Null;
    }
    match &column.values {
        Values::Text(text) => text_of(text, row).into(),
        Values::Int(values) | Values::Timestamp(values) => values[row].into(),
        Values::Float(values) => values[row].into(),
        Values::Boolean(bits) => bit(bits, row).into(),
    }
}

fn text_of(text: &TextColumn, row: usize) -> String {
    let range = text.offsets()[row] as usize..text.offsets()[row + 1] as usize;
    String::from_utf8_lossy(&text.bytes()[range]).into_owned()
}
