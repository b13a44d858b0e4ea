//! A plugin that does whatever wrong its input says.
//!
//! It reads a text column of commands, one a row (`!trap`, `!loop`, `!utf8`;
//! see `commands.rs`), and makes the columns its configuration names. A row
//! without a command is a value: its text, or the number or truth it spells.
//! Written against the contract itself, not with the SDK, which would not let
//! it do most of this.
#![cfg(target_family = "wasm")]

mod columns;
mod commands;

// Generated code has no doc comments of ours.
#[allow(missing_docs, unreachable_pub)]
mod bindings {
    wit_bindgen::generate!({ world: "plugin", path: "../../../../wit" });
}

use std::cell::RefCell;

use bindings::canopy::plugin::host;
use bindings::canopy::plugin::types::{
    Column, ConfigError, DataError, DataFile, Descriptor, Error, InputColumn, Kind, Level, Output,
    OutputColumn, Purity, Schema,
};
use bindings::exports::canopy::plugin::guest::Guest;
use serde_json::Value;

const CONFIG_SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "inputs": {"type": "array"},
    "outputs": {"type": "array"},
    "configure": {"type": "string"},
    "read": {"type": "string"},
    "input_name_bytes": {"type": "integer"},
    "column_from_data": {"type": "boolean"}
  },
  "additionalProperties": false
}"#;

/// A column it makes.
struct Made {
    column: OutputColumn,
    /// The input it is copied from; none: made from the commands.
    from: Option<usize>,
}

/// What it says of its purity. A test changes the bytes in the component, so
/// the compiler must not see through it.
static PURITY: &str = "purity: per row ";

thread_local! {
    static MADE: RefCell<Vec<Made>> = const { RefCell::new(Vec::new()) };
}

struct Hazards;

bindings::export!(Hazards with_types_in bindings);

impl Guest for Hazards {
    fn describe() -> Descriptor {
        Descriptor {
            name: "hazards".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "Does whatever wrong its input says.".to_owned(),
            config_schema: CONFIG_SCHEMA.to_owned(),
            data: vec![DataFile {
                name: "table".to_owned(),
                doc: "any file".to_owned(),
                required: false,
            }],
            purity: match std::hint::black_box(PURITY) {
                "purity: distinct" => Purity::PerDistinct,
                _ => Purity::PerRow,
            },
        }
    }

    fn configure(config_json: String) -> Result<Schema, Error> {
        let config: Value = serde_json::from_str(&config_json).map_err(|error| {
            Error::Config(ConfigError {
                key: String::new(),
                message: error.to_string(),
            })
        })?;
        misconfigure(config["configure"].as_str().unwrap_or_default())?;
        if let Some(name) = config["read"].as_str() {
            let answer = match host::read_data(name) {
                Ok(bytes) => format!("{name} has {} bytes", bytes.len()),
                Err(error) => format!("{name}: {}", error.name()),
            };
            host::log(Level::Info, &answer);
        }
        let length = config["input_name_bytes"].as_u64().unwrap_or_default();
        let mut made = made_columns(&config["outputs"]);
        if config["column_from_data"] == true {
            let name = host::read_data("table").unwrap_or_default();
            made[0].column.name = String::from_utf8_lossy(&name).into_owned();
        }
        let schema = Schema {
            inputs: match length {
                0 => inputs(&config["inputs"]),
                length => vec![InputColumn {
                    name: "x".repeat(length as usize),
                    kind: Kind::Text,
                }],
            },
            outputs: made.iter().map(|made| made.column.clone()).collect(),
        };
        MADE.set(made);
        Ok(schema)
    }

    fn transform(rows: u32, inputs: Vec<Column>) -> Result<Output, Error> {
        MADE.with_borrow(|made| commands::obey(rows as usize, inputs, made))
    }
}

fn misconfigure(hazard: &str) -> Result<(), Error> {
    match hazard {
        "trap" => trap("told to while configuring"),
        "loop" => spin(),
        "config" => Err(Error::Config(ConfigError {
            key: "rules.0".to_owned(),
            message: "told to".to_owned(),
        })),
        "data" => Err(Error::Data(DataError {
            name: "table".to_owned(),
            message: "told to".to_owned(),
        })),
        "other" => Err(Error::Other("told to".to_owned())),
        "escape" => Err(Error::Other(format!("\u{1b}[2J{}", "x".repeat(3 << 20)))),
        "grow" => grow(),
        _ => Ok(()),
    }
}

fn inputs(config: &Value) -> Vec<InputColumn> {
    let Some(inputs) = config.as_array() else {
        return vec![InputColumn {
            name: "cs_uri_stem".to_owned(),
            kind: Kind::Text,
        }];
    };
    inputs
        .iter()
        .map(|input| InputColumn {
            name: text(&input["name"]),
            kind: kind(&input["kind"]),
        })
        .collect()
}

fn made_columns(config: &Value) -> Vec<Made> {
    let default = serde_json::json!([{"name": "tag", "kind": "text", "nullable": true}]);
    let outputs = config.as_array().or(default.as_array());
    outputs
        .into_iter()
        .flatten()
        .map(|output| Made {
            column: OutputColumn {
                name: text(&output["name"]),
                kind: kind(&output["kind"]),
                nullable: output["nullable"] == true,
                low_cardinality: false,
                doc: "For tests.".to_owned(),
            },
            from: output["from"].as_u64().map(|input| input as usize),
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn kind(value: &Value) -> Kind {
    match value.as_str() {
        Some("int") => Kind::Int,
        Some("float") => Kind::Float,
        Some("timestamp") => Kind::Timestamp,
        Some("boolean") => Kind::Boolean,
        _ => Kind::Text,
    }
}

/// Traps as a panic does, after saying why.
fn trap(said: &str) -> ! {
    host::log(Level::Error, said);
    core::arch::wasm32::unreachable()
}

/// Never returns.
fn spin() -> ! {
    loop {
        std::hint::black_box(());
    }
}

/// Calls itself until the stack ends.
#[expect(unconditional_recursion, reason = "the stack is to end")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(depth) + recurse(std::hint::black_box(depth + 1))
}

/// Takes memory until there is none, then traps.
fn grow() -> ! {
    loop {
        leak(1);
    }
}

/// Takes `mebibytes` of memory for good.
fn leak(mebibytes: usize) {
    std::mem::forget(std::hint::black_box(vec![1_u8; mebibytes << 20]));
}
