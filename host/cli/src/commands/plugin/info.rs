//! `canopy plugin list` and `info`

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use canopy_pipeline::Lock;
use canopy_runtime::{Descriptor, Host, Loaded, Plugin, sha256_hex};

use crate::project::{Project, ProjectArgs, first_party};
use crate::{exit, text};

/// List the plugins of the chain
///
/// Example: canopy plugin list --json
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    project: ProjectArgs,
}

/// Show what a plugin is: its columns, its configuration, its data files
///
/// Example: canopy plugin info geo-tag
#[derive(Debug, clap::Args)]
pub(crate) struct InfoArgs {
    /// A component's path, or the name of a first-party plugin or of one in
    /// canopy.toml
    plugin: String,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    project: ProjectArgs,
}

pub(crate) fn list(args: ListArgs) -> Result<u8> {
    let project = Project::open(&args.project)?;
    let lock = Lock::read(&project.settings.folder)?;
    let locked: Vec<_> = project
        .settings
        .plugins
        .iter()
        .map(|entry| (entry, lock.get(&entry.name)))
        .collect();
    if args.json {
        let rows: Vec<_> = locked
            .iter()
            .map(|(entry, locked)| {
                serde_json::json!({
                    "name": entry.name,
                    "source": entry.source,
                    "locked": locked,
                })
            })
            .collect();
        exit::outln!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(exit::DONE);
    }
    if locked.is_empty() {
        exit::outln!("no plugins: add one with `canopy plugin add`");
        return Ok(exit::DONE);
    }
    let rows: Vec<Vec<String>> = locked
        .iter()
        .map(|(entry, locked)| match locked {
            Some(locked) => vec![
                entry.name.clone(),
                text::printable(&locked.version),
                few(&locked.inputs),
                few(&locked.outputs),
                locked.sha256.chars().take(12).collect(),
            ],
            None => vec![
                entry.name.clone(),
                "not added".to_owned(),
                String::new(),
                String::new(),
                String::new(),
            ],
        })
        .collect();
    exit::outln!(
        "{}",
        text::table(
            &["plugin", "version", "reads", "makes", "sha256"],
            &rows,
            &[]
        )
    );
    Ok(exit::DONE)
}

/// Names the first of some columns, given as `name: kind`.
fn few(columns: &[String]) -> String {
    const SHOWN: usize = 3;
    let names = columns.iter().map(|column| match column.split_once(':') {
        Some((name, _)) => name,
        None => column,
    });
    let mut few = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    if columns.len() > SHOWN {
        let _ = write!(few, " and {} more", columns.len() - SHOWN);
    }
    few
}

pub(crate) fn info(args: InfoArgs) -> Result<u8> {
    let project = Project::open(&args.project)?;
    let path = match project.settings.plugin(&args.plugin) {
        Some(entry) => project.settings.resolve(Path::new(&entry.source)),
        None => first_party(&args.plugin).unwrap_or_else(|| PathBuf::from(&args.plugin)),
    };
    let host = Host::new()?;
    let bytes = read(&path)?;
    let descriptor = describe(&path, &host)?;
    let schema = &descriptor.config_schema;
    if args.json {
        let data: Vec<_> = descriptor
            .data
            .iter()
            .map(|file| {
                serde_json::json!({ "name": file.name, "doc": file.doc, "required": file.required })
            })
            .collect();
        exit::outln!(
            "{}",
            serde_json::to_string_pretty(&serde_json::json!({
                "name": descriptor.name,
                "version": descriptor.version,
                "summary": descriptor.summary,
                "component": path,
                "bytes": bytes.len(),
                "sha256": sha256_hex(&bytes),
                "data": data,
                "config-schema": schema,
            }))?
        );
        return Ok(exit::DONE);
    }
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} {}: {}",
        descriptor.name,
        text::printable(&descriptor.version),
        text::printable(&descriptor.summary)
    );
    let _ = writeln!(
        out,
        "  component {} ({}, sha256 {})",
        path.display(),
        text::bytes(bytes.len() as u64),
        sha256_hex(&bytes)
    );
    for file in &descriptor.data {
        let _ = writeln!(
            out,
            "  data      {} ({}): {}",
            text::printable(&file.name),
            if file.required {
                "required"
            } else {
                "optional"
            },
            text::printable(&file.doc)
        );
    }
    let _ = writeln!(
        out,
        "  config    {}",
        serde_json::to_string_pretty(&schema)?.replace('\n', "\n            ")
    );
    exit::outln!("{}", out.trim_end());
    Ok(exit::DONE)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| {
        format!(
            "cannot read {}: give a component's path, a first-party plugin's name, or one in canopy.toml",
            path.display()
        )
    })
}

/// Compiles a component for this process alone.
pub(crate) fn load(path: &Path, host: &Host) -> Result<Loaded> {
    let component = read(path)?;
    let compiled = host
        .compile(&component)
        .with_context(|| format!("{}", path.display()))?;
    Ok(host.load(&compiled, &sha256_hex(&compiled))?)
}

/// Asks a component what it is.
pub(crate) fn describe(path: &Path, host: &Host) -> Result<Descriptor> {
    load(path, host)?
        .describe()
        .with_context(|| format!("{}", path.display()))
}

/// Returns what a plugin reads and makes, a line each.
pub(crate) fn columns(plugin: &Plugin) -> String {
    let mut out = String::new();
    for (name, kind) in plugin.inputs() {
        let _ = writeln!(out, "  reads     {name} ({kind})");
    }
    for file in &plugin.descriptor().data {
        let _ = writeln!(
            out,
            "  may read  the data file `{}`: {}",
            text::printable(&file.name),
            text::printable(&file.doc)
        );
    }
    for output in plugin.outputs() {
        let _ = writeln!(
            out,
            "  {}  {} ({}): {}",
            if output.replaces {
                "replaces"
            } else {
                "makes   "
            },
            output.column.name,
            output.column.column_type.kind(),
            text::printable(&output.column.doc)
        );
    }
    out
}
