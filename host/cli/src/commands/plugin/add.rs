//! `canopy plugin add` and `remove`: editing canopy.toml and canopy.lock.
//!
//! The edited text is parsed and the whole chain opened before either file is
//! written, so a plugin that does not fit leaves both as they were.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use canopy_batch::Stage;
use canopy_pipeline::{Chain, Lock, Settings, settings};
use canopy_runtime::{Host, Plugin};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use crate::files::write_whole;
use crate::project::{ProjectArgs, first_party, first_party_names};
use crate::{exit, text};

/// Add a plugin to the chain, or pin it anew
///
/// Adds it to canopy.toml (made where there is none) and pins the component's
/// sha256 in canopy.lock, after checking its configuration, its data files, and
/// that its columns fit the chain. A plugin already in canopy.toml is pinned as
/// its component is now.
///
/// Examples:
///
///   canopy plugin add normalize-path
///
///   canopy plugin add ./target/tenant.wasm --plugin-config '{"prefix":"tenant"}'
///
///   canopy plugin add geo-tag --data city=GeoLite2-City.mmdb
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct AddArgs {
    /// A component's path, the name of a first-party plugin, or of one in
    /// canopy.toml
    plugin: String,

    /// Its name in the chain; by default the one it gives itself
    #[arg(long)]
    name: Option<String>,

    /// Its configuration, a JSON object
    #[arg(long, value_name = "JSON")]
    plugin_config: Option<String>,

    /// A data file it may read; may be given several times
    #[arg(long, value_name = "NAME=FILE")]
    data: Vec<String>,

    /// What happens to a row it fails on
    #[arg(long, value_parser = ["null", "quarantine", "fail"])]
    on_error: Option<String>,

    #[command(flatten)]
    project: ProjectArgs,
}

/// Remove a plugin from canopy.toml and canopy.lock
///
/// Columns it made stay in ClickHouse, with what is in them.
///
/// Example: canopy plugin remove geo-tag
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// Its name in the chain
    plugin: String,

    #[command(flatten)]
    project: ProjectArgs,
}

/// canopy.toml as text that can be edited without losing its comments.
struct File {
    path: PathBuf,
    document: DocumentMut,
}

impl File {
    fn open(args: &ProjectArgs) -> Result<File> {
        let path = args
            .config
            .clone()
            .unwrap_or_else(|| PathBuf::from(settings::FILE_NAME));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        // The reader's errors are the better ones.
        Settings::from_text(&text, &path)?;
        Ok(File {
            document: text.parse()?,
            path,
        })
    }

    fn settings(&self) -> Result<Settings> {
        Ok(Settings::from_text(&self.document.to_string(), &self.path)?)
    }

    fn plugins(&mut self) -> Result<&mut ArrayOfTables> {
        self.document
            .entry("plugin")
            .or_insert(Item::ArrayOfTables(ArrayOfTables::new()))
            .as_array_of_tables_mut()
            .context("canopy.toml: write plugins as [[plugin]] tables")
    }

    fn write(&self) -> Result<()> {
        write_whole(&self.path, self.document.to_string().as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

pub(crate) fn add(args: AddArgs) -> Result<u8> {
    let mut file = File::open(&args.project)?;
    let before = file.settings()?;
    let host = Host::new()?;
    let known = before.plugin(&args.plugin).is_some();
    if known && (args.plugin_config.is_some() || !args.data.is_empty() || args.on_error.is_some()) {
        bail!(
            "`{}` is in {} already: change its settings there, then run `canopy plugin add {0}` to pin it anew",
            args.plugin,
            file.path.display()
        );
    }
    let name = if known {
        args.plugin.clone()
    } else {
        let entry = entry(&args, &before, &host)?;
        let name = entry["name"].as_str().unwrap_or_default().to_owned();
        file.plugins()?.push(entry);
        name
    };

    let settings = file.settings()?;
    let mut lock = Lock::read(&settings.folder)?;
    let chain = Chain::add(&settings, &mut lock, &host, &[&name])?;
    if !known {
        file.write()?;
    }
    lock.write(&settings.folder)?;

    let plugin = chain
        .plugins()
        .iter()
        .find(|plugin| plugin.name() == name)
        .context("the plugin just added is not in the chain")?;
    exit::outln!("{}", added(plugin, &lock).trim_end());
    Ok(exit::DONE)
}

/// Builds the `[[plugin]]` table of a plugin new to the chain.
fn entry(args: &AddArgs, before: &Settings, host: &Host) -> Result<Table> {
    let given = Path::new(&args.plugin);
    let source = if given.is_file() {
        given.to_owned()
    } else if let Some(path) = first_party(&args.plugin) {
        path
    } else if args.plugin.contains("://") {
        bail!(
            "`{}`: this version adds plugins from paths and by first-party name only",
            args.plugin
        );
    } else {
        let names = first_party_names();
        let meant = match settings::closest(&args.plugin, names.iter().map(String::as_str)) {
            Some(name) => format!("did you mean `{name}`?"),
            None if names.is_empty() => "`make plugins` builds those beside canopy".to_owned(),
            None => format!("there are {}", names.join(", ")),
        };
        bail!(
            "`{}` is neither a component's file nor a first-party plugin ({meant})",
            args.plugin
        );
    };
    let name = match &args.name {
        Some(name) => name.clone(),
        None => super::info::describe(&source, host)?.name,
    };
    if before.plugin(&name).is_some() {
        bail!(
            "there is a plugin `{name}` already: remove it first, or give this one another name with --name"
        );
    }
    let mut table = Table::new();
    table["name"] = value(name);
    table["source"] = value(relative(&source, &before.folder)?);
    if let Some(config) = &args.plugin_config {
        let config: serde_json::Value =
            serde_json::from_str(config).context("--plugin-config is not JSON")?;
        if !config.is_object() {
            bail!("--plugin-config is a JSON object, such as '{{\"prefix\":\"geo\"}}'");
        }
        table["config"] = value(toml_value(&config)?);
    }
    if !args.data.is_empty() {
        let mut data = InlineTable::new();
        for (name, path) in data_files(&args.data)? {
            data.insert(&name, relative(&path, &before.folder)?.into());
        }
        table["data"] = value(data);
    }
    if let Some(on_error) = &args.on_error {
        table["on-error"] = value(on_error);
    }
    Ok(table)
}

/// Reads `NAME=FILE` arguments.
pub(crate) fn data_files(arguments: &[String]) -> Result<BTreeMap<String, PathBuf>> {
    arguments
        .iter()
        .map(|argument| match argument.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok((name.to_owned(), PathBuf::from(path)))
            }
            _ => bail!("--data {argument}: write NAME=FILE, such as city=GeoLite2-City.mmdb"),
        })
        .collect()
}

/// Returns a path as seen from the folder of canopy.toml: below it relative,
/// elsewhere absolute.
fn relative(path: &Path, folder: &Path) -> Result<String> {
    let absolute = path
        .canonicalize()
        .with_context(|| format!("cannot find {}", path.display()))?;
    let base = folder
        .canonicalize()
        .with_context(|| format!("cannot find {}", folder.display()))?;
    let shown = absolute.strip_prefix(&base).unwrap_or(&absolute);
    Ok(shown
        .to_str()
        .with_context(|| format!("{} is not valid UTF-8", shown.display()))?
        .to_owned())
}

fn toml_value(json: &serde_json::Value) -> Result<Value> {
    Ok(match json {
        serde_json::Value::Null => {
            bail!("--plugin-config holds null, which TOML cannot: leave the key out")
        }
        serde_json::Value::Bool(flag) => (*flag).into(),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Array(items) => {
            let items: Result<Array> = items.iter().map(toml_value).collect();
            Value::Array(items?)
        }
        serde_json::Value::Object(fields) => {
            let mut table = InlineTable::new();
            for (key, field) in fields {
                table.insert(key, toml_value(field)?);
            }
            Value::InlineTable(table)
        }
    })
}

/// Says what a plugin asks for and what it adds.
fn added(plugin: &Plugin, lock: &Lock) -> String {
    let mut out = format!(
        "added {} {}: {}\n",
        plugin.name(),
        text::printable(&plugin.descriptor().version),
        text::printable(&plugin.descriptor().summary)
    );
    out.push_str(&super::info::columns(plugin));
    if let Some(locked) = lock.get(plugin.name()) {
        out.push_str(&format!("  pinned    sha256 {}\n", locked.sha256));
    }
    out
}

pub(crate) fn remove(args: RemoveArgs) -> Result<u8> {
    let mut file = File::open(&args.project)?;
    let settings = file.settings()?;
    if settings.plugin(&args.plugin).is_none() {
        let names = settings.plugins.iter().map(|plugin| plugin.name.as_str());
        match settings::closest(&args.plugin, names) {
            Some(name) => bail!(
                "{} has no plugin `{}` (did you mean `{name}`?)",
                file.path.display(),
                args.plugin
            ),
            None => bail!("{} has no plugin `{}`", file.path.display(), args.plugin),
        }
    }
    file.plugins()?
        .retain(|plugin| plugin.get("name").and_then(Item::as_str) != Some(&args.plugin));
    // What is left must still fit together before anything is written.
    let settings = file.settings()?;
    let mut lock = Lock::read(&settings.folder)?;
    lock.remove(&args.plugin);
    Chain::open(&settings, &mut lock, &Host::new()?)
        .with_context(|| format!("without `{}` the chain does not work", args.plugin))?;
    file.write()?;
    lock.write(&settings.folder)?;
    exit::outln!(
        "removed {}; the columns it made stay in ClickHouse",
        args.plugin
    );
    Ok(exit::DONE)
}
