//! Opening a plugin: its configuration and data checked, its columns known.

use std::path::PathBuf;
use std::sync::Arc;

use canopy_batch::{Column, Kind, schema};

use crate::chain::new_column_type;
use crate::contract::v0_1;
use crate::descriptor::{DescribeError, shorten};
use crate::failure::Failure;
use crate::host::{Host, Loaded};
use crate::instance::{Instance, is_lower_name};
use crate::plugin::{OutputColumn, Plugin, PluginParts};
use crate::settings::{OnError, PluginSettings, check_config, check_data};

/// Columns a plugin may read, and may make. Far more than any needs; a bound
/// all the same, because every column of a batch costs time and memory.
const MAX_COLUMNS: usize = 256;

/// A plugin cannot be opened as it is configured. Nothing has run but
/// `describe` and `configure`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The plugin could not say what it is.
    #[error("plugin `{plugin}`")]
    Describe {
        /// The plugin's name.
        plugin: String,
        /// Why.
        #[source]
        source: DescribeError,
    },
    /// The plugin's own JSON Schema is none, or costs too much to check with: a
    /// fault of the plugin.
    #[error("plugin `{plugin}` has a configuration schema that cannot be used: {message}")]
    ConfigSchema {
        /// The plugin's name.
        plugin: String,
        /// What is wrong.
        message: String,
    },
    /// The configuration does not fit the plugin's schema.
    #[error(
        "plugin `{plugin}`: configuration{}: {message}",
        if key.is_empty() { String::new() } else { format!(" key `{key}`") }
    )]
    Config {
        /// The plugin's name.
        plugin: String,
        /// The key at fault, dotted; empty for the whole.
        key: String,
        /// What is wrong with it.
        message: String,
    },
    /// A data file that the plugin cannot work without is not granted.
    #[error(
        "plugin `{plugin}` needs the data file `{name}` ({doc}); grant it with \
         data.{name} = \"PATH\""
    )]
    MissingData {
        /// The plugin's name.
        plugin: String,
        /// The plugin's name for the file.
        name: String,
        /// What it is for.
        doc: String,
    },
    /// A data file is granted that the plugin does not know.
    #[error("plugin `{plugin}` has no data file `{name}`; it wants {wanted}")]
    UnknownData {
        /// The plugin's name.
        plugin: String,
        /// The name granted.
        name: String,
        /// The names it knows.
        wanted: String,
    },
    /// A data file granted cannot be read.
    #[error("plugin `{plugin}`: data file `{name}` at {}", path.display())]
    UnreadableData {
        /// The plugin's name.
        plugin: String,
        /// The plugin's name for the file.
        name: String,
        /// Where it should be.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A data file is larger than the memory of the plugin that is to hold it.
    #[error(
        "plugin `{plugin}`: data file `{name}` has {} MiB, more than the plugin's {} MiB of \
         memory; raise limits.memory",
        bytes.div_ceil(1 << 20), limit_bytes >> 20
    )]
    DataTooLarge {
        /// The plugin's name.
        plugin: String,
        /// The plugin's name for the file.
        name: String,
        /// The file's bytes.
        bytes: u64,
        /// The plugin's memory limit, in bytes.
        limit_bytes: u64,
    },
    /// `configure` failed.
    #[error("plugin `{plugin}` could not be configured")]
    Configure {
        /// The plugin's name.
        plugin: String,
        /// Why.
        #[source]
        source: Failure,
    },
    /// A column that `configure` returned is against the rules.
    #[error("plugin `{plugin}` declares column `{column}`, {message}")]
    Column {
        /// The plugin's name.
        plugin: String,
        /// The column.
        column: String,
        /// What is wrong with it.
        message: String,
    },
    /// `on-error = "null"` asks for null where it cannot be.
    #[error(
        "plugin `{plugin}`: on-error = \"null\" needs every output to be nullable, and column \
         `{column}` is not; use \"quarantine\" or \"fail\""
    )]
    OnErrorNull {
        /// The plugin's name.
        plugin: String,
        /// The column.
        column: String,
    },
}

impl Host {
    /// Opens a plugin: checks its configuration against its schema, its data
    /// files, then configures a first instance and checks the columns it
    /// declares.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; all variants are faults of the configuration or of the
    /// plugin that no data changes.
    pub fn open(&self, loaded: &Loaded, settings: PluginSettings) -> Result<Plugin, OpenError> {
        let plugin = settings.name.clone();
        let descriptor = loaded.describe().map_err(|source| OpenError::Describe {
            plugin: plugin.clone(),
            source,
        })?;
        let config_json = check_config(&plugin, &settings.config, &descriptor)?;
        check_data(&plugin, &settings, &descriptor)?;

        let configure_error = |source| OpenError::Configure {
            plugin: plugin.clone(),
            source,
        };
        let data = Arc::new(settings.data);
        let mut instance =
            Instance::new(loaded, &settings.limits, Arc::clone(&data)).map_err(configure_error)?;
        instance.refill_log(&settings.limits, &[]);
        let schema = instance
            .configure(&settings.limits, &config_json)
            .map_err(|failure| match failure {
                Failure::Config { key, message } => OpenError::Config {
                    plugin: plugin.clone(),
                    key,
                    message,
                },
                failure => configure_error(failure),
            })?;
        let (inputs, outputs) = columns(&plugin, &schema)?;
        let on_error = on_error(&plugin, settings.on_error, &outputs)?;
        let parts = PluginParts {
            name: plugin.into(),
            loaded: loaded.clone(),
            descriptor,
            config_json,
            data,
            limits: settings.limits,
            on_error,
            schema,
            inputs,
            outputs,
        };
        Ok(Plugin::new(parts, instance))
    }
}

type Columns = (Vec<(String, Kind)>, Vec<OutputColumn>);

/// Checks the columns that `configure` returned.
fn columns(plugin: &str, schema: &v0_1::Schema) -> Result<Columns, OpenError> {
    let wrong = |column: &str, message: &str| {
        Err(OpenError::Column {
            plugin: plugin.to_owned(),
            column: shorten(column),
            message: message.to_owned(),
        })
    };
    for columns in [schema.inputs.len(), schema.outputs.len()] {
        if columns > MAX_COLUMNS {
            return wrong(
                "…",
                &format!("one of {columns}; at most {MAX_COLUMNS} are taken"),
            );
        }
    }
    for input in &schema.inputs {
        let name = &input.name;
        if !(1..=64).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong(
                name,
                "to read, which is not 1 to 64 ASCII letters, digits and signs",
            );
        }
    }
    let inputs = schema
        .inputs
        .iter()
        .map(|input| (input.name.clone(), input.kind.into()))
        .collect();
    let mut outputs: Vec<OutputColumn> = Vec::with_capacity(schema.outputs.len());
    for output in &schema.outputs {
        if !is_lower_name(&output.name) {
            return wrong(
                &output.name,
                "which is not lower-case letters, digits and `_` (at most 64, no digit first)",
            );
        }
        if outputs.iter().any(|other| other.column.name == output.name) {
            return wrong(&output.name, "twice");
        }
        outputs.push(output_column(output));
    }
    Ok((inputs, outputs))
}

fn output_column(output: &v0_1::OutputColumn) -> OutputColumn {
    let kind = output.kind.into();
    let base = schema::base_column(&output.name);
    OutputColumn {
        replaces: base.is_some(),
        column: Column {
            name: output.name.clone().into(),
            column_type: match base {
                Some(base) if base.column_type.kind() == kind => base.column_type,
                _ => new_column_type(kind, output.low_cardinality),
            },
            nullable: output.nullable,
            doc: shorten(&output.doc).into(),
        },
    }
}

/// Returns what happens to rows that fail: the setting, or the default.
fn on_error(
    plugin: &str,
    setting: Option<OnError>,
    outputs: &[OutputColumn],
) -> Result<OnError, OpenError> {
    let not_nullable = outputs.iter().find(|output| !output.column.nullable);
    match (setting, not_nullable) {
        (Some(OnError::Null), Some(output)) => Err(OpenError::OnErrorNull {
            plugin: plugin.to_owned(),
            column: output.column.name.to_string(),
        }),
        (Some(setting), _) => Ok(setting),
        (None, None) if outputs.iter().all(|output| !output.replaces) => Ok(OnError::Null),
        (None, _) => Ok(OnError::Quarantine),
    }
}
