//! The chain: the plugins of `canopy.toml`, opened, checked and in order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use canopy_batch::schema::{SAMPLE_WEIGHT, base_columns};
use canopy_batch::{Batch, Column, Rejected, Stage, StageError};
use canopy_runtime::{ArtifactCache, CacheWarning, Cached, Host, Loaded, Plugin, sha256_hex};

use crate::lock::{Lock, LockedPlugin};
use crate::report::PluginReport;
use crate::settings::{Fields, PluginEntry, Settings, closest};

/// Where compiled artifacts are kept, beside `canopy.toml`.
pub const CACHE_FOLDER: &str = ".canopy/artifacts";

/// The plugins of a project, in order.
pub struct Chain {
    plugins: Vec<Plugin>,
    new_columns: Vec<Column>,
    warnings: Vec<CacheWarning>,
}

/// What a chain made of a batch.
#[derive(Debug)]
pub struct ChainOutcome {
    /// The rows that go on.
    pub batch: Batch,
    /// How many records plugins dropped on purpose.
    pub dropped: u64,
    /// Records set aside, each once.
    pub rejected: Vec<Rejected>,
}

/// The chain cannot be opened: nothing has been read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The component's file cannot be read.
    #[error("plugin `{plugin}`: cannot read its component {}", path.display())]
    Read {
        /// The plugin.
        plugin: String,
        /// The component.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The source is of a kind that this version does not fetch.
    #[error(
        "plugin `{plugin}`: `{given}` is not a path; this version adds plugins from paths only"
    )]
    Source {
        /// The plugin.
        plugin: String,
        /// The source as given.
        given: String,
    },
    /// The plugin was never added.
    #[error("plugin `{plugin}` is not in canopy.lock")]
    NotLocked {
        /// The plugin.
        plugin: String,
    },
    /// The component is not the one that was added.
    #[error(
        "plugin `{plugin}`: {} is not the component that was added (sha256 {found}, canopy.lock pins {pinned})",
        path.display()
    )]
    Digest {
        /// The plugin.
        plugin: String,
        /// The component.
        path: PathBuf,
        /// Its sha256.
        found: String,
        /// The one expected.
        pinned: String,
    },
    /// The component or its artifact cannot be loaded.
    #[error("plugin `{plugin}`: {}", path.display())]
    Load {
        /// The plugin.
        plugin: String,
        /// The component.
        path: PathBuf,
        /// Why.
        #[source]
        source: canopy_runtime::LoadError,
    },
    /// The component refuses its settings.
    #[error(transparent)]
    Open(Box<canopy_runtime::OpenError>),
    /// The plugins do not fit each other or the logs.
    #[error(transparent)]
    Types(#[from] canopy_runtime::ChainError),
    /// No plugin of this name.
    #[error("canopy.toml has no plugin `{plugin}`{}", suggestion(.closest))]
    Unknown {
        /// The name asked for.
        plugin: String,
        /// The nearest name there is.
        closest: Option<String>,
    },
}

fn suggestion(closest: &Option<String>) -> String {
    match closest {
        Some(name) => format!(" (did you mean `{name}`?)"),
        None => String::new(),
    }
}

impl ChainError {
    /// Returns what to do about it, where that is not plain from what it says.
    pub fn hint(&self) -> Option<String> {
        match self {
            ChainError::NotLocked { plugin } => {
                Some(format!("pin it with `canopy plugin add {plugin}`"))
            }
            ChainError::Digest { plugin, .. } => Some(format!(
                "if you changed it on purpose, pin it anew with `canopy plugin add {plugin}`; \
                 if not, find out who did"
            )),
            ChainError::Read { plugin, .. } => Some(format!(
                "build it or put it there, or change `source` of `{plugin}` in canopy.toml"
            )),
            ChainError::Types(_) => Some(
                "`canopy plugin list` shows what each plugin reads and makes; their order is that \
                 of canopy.toml"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

impl Chain {
    /// Returns a chain without plugins.
    pub fn empty() -> Chain {
        Chain {
            plugins: Vec::new(),
            new_columns: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Opens the plugins of the settings as the lock pins them. Where an
    /// artifact for this build of canopy is not in the lock yet (another
    /// machine or version added the plugin), it is compiled and `lock` amended;
    /// the caller writes it.
    ///
    /// # Errors
    ///
    /// [`ChainError`], naming the plugin, the file or key, and the next step.
    pub fn open(settings: &Settings, lock: &mut Lock, host: &Host) -> Result<Chain, ChainError> {
        let key = host.artifact_key();
        let mut plugins = Vec::with_capacity(settings.plugins.len());
        let mut warnings = Vec::new();
        for entry in &settings.plugins {
            let locked = lock.get(&entry.name).ok_or_else(|| ChainError::NotLocked {
                plugin: entry.name.clone(),
            })?;
            let component = Component::read(entry, &settings.folder)?;
            component.check(&entry.name, locked)?;
            let pinned = locked.compiled.get(&key).cloned();
            let cached = component.load(&entry.name, &settings.folder, host, pinned.as_deref())?;
            warnings.extend(cached.warning);
            if pinned.is_none() {
                let mut locked = locked.clone();
                locked.compiled.insert(key.clone(), cached.sha256);
                lock.put(locked);
            }
            plugins.push(open(entry, &settings.folder, host, &cached.loaded)?);
        }
        Chain::checked(plugins, settings, warnings)
    }

    /// Adds plugins of the settings to the lock as their components are now,
    /// and opens the whole chain with them.
    ///
    /// # Errors
    ///
    /// [`ChainError`]; the lock is then as it was.
    pub fn add(
        settings: &Settings,
        lock: &mut Lock,
        host: &Host,
        names: &[&str],
    ) -> Result<Chain, ChainError> {
        let mut amended = lock.clone();
        for name in names {
            let entry = settings.plugin(name).ok_or_else(|| ChainError::Unknown {
                plugin: (*name).to_owned(),
                closest: closest(name, settings.plugins.iter().map(|p| p.name.as_str()))
                    .map(str::to_owned),
            })?;
            let component = Component::read(entry, &settings.folder)?;
            let cached = component.load(name, &settings.folder, host, None)?;
            let plugin = open(entry, &settings.folder, host, &cached.loaded)?;
            amended.put(locked(entry, &component, &plugin, host, &cached));
        }
        let chain = Chain::open(settings, &mut amended, host)?;
        *lock = amended;
        Ok(chain)
    }

    fn checked(
        plugins: Vec<Plugin>,
        settings: &Settings,
        warnings: Vec<CacheWarning>,
    ) -> Result<Chain, ChainError> {
        let references: Vec<&Plugin> = plugins.iter().collect();
        let new_columns = canopy_runtime::check_chain(&available(settings), &references)?;
        Ok(Chain {
            plugins,
            new_columns,
            warnings,
        })
    }

    /// Returns the columns that the plugins add to the table.
    pub fn new_columns(&self) -> &[Column] {
        &self.new_columns
    }

    /// Returns what the operator should hear of the compiled artifacts.
    pub fn warnings(&self) -> &[CacheWarning] {
        &self.warnings
    }

    /// Returns the plugins in order.
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// Takes a batch through the plugins in order.
    ///
    /// # Errors
    ///
    /// [`StageError`] where a plugin with `on-error = "fail"` failed: the
    /// batch must be tried again.
    pub fn apply(&mut self, mut batch: Batch) -> Result<ChainOutcome, StageError> {
        let mut dropped = 0;
        let mut rejected = Vec::new();
        for plugin in &mut self.plugins {
            let outcome = plugin.apply(batch)?;
            batch = outcome.batch;
            dropped += outcome.dropped;
            rejected.extend(outcome.rejected);
        }
        Ok(ChainOutcome {
            batch,
            dropped,
            rejected,
        })
    }

    /// Returns what the plugins did so far, with what they logged since the
    /// last report.
    pub fn report(&mut self) -> Vec<PluginReport> {
        self.plugins.iter_mut().map(PluginReport::new).collect()
    }
}

/// A component's bytes and where they are.
struct Component {
    path: PathBuf,
    bytes: Arc<[u8]>,
    sha256: String,
}

impl Component {
    fn read(entry: &PluginEntry, folder: &Path) -> Result<Component, ChainError> {
        if entry.source.contains("://") {
            return Err(ChainError::Source {
                plugin: entry.name.clone(),
                given: entry.source.clone(),
            });
        }
        let path = folder.join(&entry.source);
        let bytes: Arc<[u8]> = std::fs::read(&path)
            .map_err(|source| ChainError::Read {
                plugin: entry.name.clone(),
                path: path.clone(),
                source,
            })?
            .into();
        Ok(Component {
            sha256: sha256_hex(&bytes),
            path,
            bytes,
        })
    }

    fn check(&self, plugin: &str, locked: &LockedPlugin) -> Result<(), ChainError> {
        if self.sha256 == locked.sha256 {
            return Ok(());
        }
        Err(ChainError::Digest {
            plugin: plugin.to_owned(),
            path: self.path.clone(),
            found: self.sha256.clone(),
            pinned: locked.sha256.clone(),
        })
    }

    fn load(
        &self,
        plugin: &str,
        folder: &Path,
        host: &Host,
        pinned: Option<&str>,
    ) -> Result<Cached, ChainError> {
        ArtifactCache::new(folder.join(CACHE_FOLDER))
            .get_or_compile(host, &self.bytes, pinned)
            .map_err(|source| ChainError::Load {
                plugin: plugin.to_owned(),
                path: self.path.clone(),
                source,
            })
    }
}

fn open(
    entry: &PluginEntry,
    folder: &Path,
    host: &Host,
    loaded: &Loaded,
) -> Result<Plugin, ChainError> {
    host.open(loaded, entry.runtime_settings(folder))
        .map_err(|error| ChainError::Open(Box::new(error)))
}

fn locked(
    entry: &PluginEntry,
    component: &Component,
    plugin: &Plugin,
    host: &Host,
    cached: &Cached,
) -> LockedPlugin {
    let descriptor = plugin.descriptor();
    LockedPlugin {
        name: entry.name.clone(),
        source: entry.source.clone(),
        version: descriptor.version.clone(),
        sha256: component.sha256.clone(),
        contract: cached.loaded.contract().to_owned(),
        config_schema_sha256: sha256_hex(descriptor.config_schema.to_string().as_bytes()),
        inputs: plugin
            .inputs()
            .iter()
            .map(|(name, kind)| format!("{name}: {kind}"))
            .collect(),
        outputs: plugin
            .outputs()
            .iter()
            .map(|output| {
                format!(
                    "{}: {}",
                    output.column.name,
                    output.column.column_type.kind()
                )
            })
            .collect(),
        compiled: [(host.artifact_key(), cached.sha256.clone())].into(),
    }
}

/// Returns the columns that the logs give by these settings: all of them
/// where `logs.fields` is `"all"`, else those of the list.
fn available(settings: &Settings) -> Vec<Column> {
    match &settings.logs.fields {
        Fields::Word(_) => base_columns().cloned().collect(),
        Fields::List(names) => base_columns()
            .filter(|column| {
                let name = column.name.replace('_', "-");
                column.name == SAMPLE_WEIGHT.name
                    || names.contains(&name)
                    // The query is taken from the path where it is not a field.
                    || (name == "cs-uri-query" && names.iter().any(|n| n == "cs-uri-stem"))
            })
            .cloned()
            .collect(),
    }
}
