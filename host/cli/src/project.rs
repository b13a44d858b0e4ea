//! What most commands begin with: the settings, the plugins, the connection.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use canopy_clickhouse::engine::{EngineCommand, Store, find_library};
use canopy_clickhouse::{ClickHouse, DEFAULT_DATABASE, Target};
use canopy_pipeline::lock::LockError;
use canopy_pipeline::settings::{self, ClickHouseSettings};
use canopy_pipeline::{Chain, Lock, Settings};
use canopy_runtime::Host;

/// Which project and which database.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Project")]
pub(crate) struct ProjectArgs {
    /// The configuration; by default ./canopy.toml, where there is one
    #[arg(long, value_name = "FILE", env = "CANOPY_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// The folder of the embedded database
    #[arg(
        long,
        value_name = "DIR",
        env = "CANOPY_STORE",
        conflicts_with = "clickhouse"
    )]
    pub(crate) store: Option<PathBuf>,

    /// A ClickHouse server's HTTP address, in place of the embedded engine
    #[arg(long, value_name = "URL")]
    pub(crate) clickhouse: Option<String>,

    /// The server's user
    #[arg(long, value_name = "NAME", env = "CANOPY_CLICKHOUSE_USER")]
    pub(crate) user: Option<String>,

    /// The server's password; better given in the environment
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "CANOPY_CLICKHOUSE_PASSWORD",
        hide_env_values = true
    )]
    pub(crate) password: Option<String>,

    /// The database
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,

    /// The embedded engine's library, libchdb.so; by default beside canopy or
    /// where `canopy engine fetch` put it
    #[arg(long, value_name = "FILE", env = "CANOPY_ENGINE_LIBRARY")]
    pub(crate) library: Option<PathBuf>,
}

/// A project: its settings with what the command line changed.
#[derive(Debug)]
pub(crate) struct Project {
    /// The settings.
    pub(crate) settings: Settings,
    /// The settings' file, where there is one.
    pub(crate) file: Option<PathBuf>,
    store: PathBuf,
    library: Option<PathBuf>,
}

/// The embedded database's folder where none is named.
pub(crate) const DEFAULT_STORE: &str = "canopy-data";

impl Project {
    /// Reads the settings and takes the command line's word over theirs.
    pub(crate) fn open(args: &ProjectArgs) -> Result<Project> {
        let file = match &args.config {
            Some(file) => Some(file.clone()),
            None => Some(PathBuf::from(settings::FILE_NAME)).filter(|file| file.exists()),
        };
        let mut settings = match &file {
            Some(file) => Settings::read(file)?,
            None => Settings::defaults(PathBuf::from(".")),
        };
        for warning in settings.warnings() {
            eprintln!("warning: {warning}");
        }
        if args.clickhouse.is_some() || args.store.is_some() {
            // What the file says of its own server does not count for another,
            // which least of all gets the password.
            settings.clickhouse = ClickHouseSettings {
                url: args.clickhouse.clone(),
                ttl_days: settings.clickhouse.ttl_days,
                ..ClickHouseSettings::default()
            };
        }
        let given = [
            (&args.user, &mut settings.clickhouse.user),
            (&args.password, &mut settings.clickhouse.password),
            (&args.database, &mut settings.clickhouse.database),
        ];
        for (argument, setting) in given {
            if argument.is_some() {
                setting.clone_from(argument);
            }
        }
        let store = match &args.store {
            Some(store) => store.clone(),
            None => settings.folder.join(DEFAULT_STORE),
        };
        Ok(Project {
            settings,
            file,
            store,
            library: args.library.clone(),
        })
    }

    /// Returns the folder of the embedded database, where it is used.
    pub(crate) fn store(&self) -> Option<&Path> {
        self.settings
            .clickhouse
            .url
            .is_none()
            .then_some(self.store.as_path())
    }

    /// Returns the folder for records set aside.
    pub(crate) fn quarantine(&self) -> PathBuf {
        match self.store() {
            Some(store) => store.join("quarantine"),
            None => self.settings.folder.join("canopy-quarantine"),
        }
    }

    /// Connects to the server, or to the embedded engine, which is started
    /// where it does not run.
    pub(crate) async fn connect(&self) -> Result<ClickHouse> {
        let target = match self.settings.clickhouse.server()? {
            Some(server) => Target::Server(server),
            None => Target::Store(self.open_store()?),
        };
        Ok(ClickHouse::connect(target).await?)
    }

    /// Connects as [`Project::connect`] does, to a database that is there: asking
    /// must not make an empty one.
    pub(crate) async fn connect_existing(&self) -> Result<ClickHouse> {
        match self.store() {
            Some(store) if !store.join("data").exists() => bail!(
                "there is no database in {}: `canopy run` makes it, --store or --config names another",
                store.display()
            ),
            _ => self.connect().await,
        }
    }

    /// Opens the store, whose engine is this program's `engine serve`.
    fn open_store(&self) -> Result<Store> {
        if self.database()? != DEFAULT_DATABASE {
            bail!(
                "the embedded database is always called `{DEFAULT_DATABASE}`: leave `database` out, or name a server with --clickhouse"
            );
        }
        // The store makes its folder, for its owner alone; the engine starts in it.
        let store = std::path::absolute(&self.store)
            .with_context(|| format!("cannot find {}", self.store.display()))?;
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let library = self.library()?.canonicalize()?;
        let arguments: Vec<OsString> = vec![
            "engine".into(),
            "serve".into(),
            "--idle".into(),
            "30s".into(),
            "--library".into(),
            library.into(),
            "--store".into(),
            store.clone().into(),
        ];
        Ok(Store::open(&store, EngineCommand { program, arguments })?)
    }

    /// Finds the embedded engine's library.
    pub(crate) fn library(&self) -> Result<PathBuf> {
        library_path(self.library.as_deref())
    }

    /// Returns the database's name.
    pub(crate) fn database(&self) -> Result<String> {
        let clickhouse = &self.settings.clickhouse;
        Ok(match clickhouse.server()? {
            Some(server) => server.database,
            None => clickhouse
                .database
                .clone()
                .unwrap_or_else(|| DEFAULT_DATABASE.to_owned()),
        })
    }

    /// Opens the chain as `canopy.lock` pins it.
    pub(crate) fn chain(&self) -> Result<Chain> {
        if self.settings.plugins.is_empty() {
            return Ok(Chain::empty());
        }
        let folder = &self.settings.folder;
        let mut lock = Lock::read(folder)?;
        let before = lock.clone();
        let opened = Chain::open(&self.settings, &mut lock, &Host::new()?);
        let chain = match &self.file {
            Some(file) => opened.with_context(|| file.display().to_string())?,
            None => opened?,
        };
        for warning in chain.warnings() {
            eprintln!("warning: {warning}");
        }
        // Compiled here for the first time. Without the pin the next start
        // only checks less, so a folder that cannot be written is no failure.
        if lock != before
            && let Err(error) = pin_compiled(folder, lock)
        {
            eprintln!("warning: what was compiled is not pinned: {error}");
        }
        Ok(chain)
    }
}

/// Adds the digests of what was compiled to the lock as it is now: compiling
/// takes seconds, in which a plugin may have been added or pinned anew.
fn pin_compiled(folder: &Path, compiled: Lock) -> Result<(), LockError> {
    let mut lock = Lock::read(folder)?;
    for plugin in compiled.plugins {
        let Some(now) = lock.get(&plugin.name) else {
            continue;
        };
        if now.sha256 == plugin.sha256 {
            let mut now = now.clone();
            now.compiled.extend(plugin.compiled);
            lock.put(now);
        }
    }
    lock.write(folder)
}

/// Finds the engine's library.
pub(crate) fn library_path(explicit: Option<&Path>) -> Result<PathBuf> {
    let exe = std::env::current_exe().context("cannot find this program's own file")?;
    let folder = exe.parent().unwrap_or(Path::new("."));
    Ok(find_library(explicit, folder, engine_cache().as_deref())?)
}

/// The user's folder for the engine's library: `canopy/engine` in the cache
/// folder of the XDG specification.
pub(crate) fn engine_cache() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))?;
    Some(cache.join("canopy").join("engine"))
}

/// Where first-party plugins are: in `plugins/` beside this program, or one
/// folder up.
fn plugin_folders() -> Vec<PathBuf> {
    let exe = std::env::current_exe().unwrap_or_default();
    let folder = exe.parent().unwrap_or(Path::new("."));
    vec![folder.join("plugins"), folder.join("..").join("plugins")]
}

/// Finds the component of a first-party plugin.
pub(crate) fn first_party(name: &str) -> Option<PathBuf> {
    plugin_folders()
        .into_iter()
        .map(|plugins| plugins.join(format!("{name}.wasm")))
        .find(|path| path.is_file())
        .map(|path| path.canonicalize().unwrap_or(path))
}

/// Returns the names of the first-party plugins that are there.
pub(crate) fn first_party_names() -> Vec<String> {
    let mut names: Vec<String> = plugin_folders()
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|file| {
            let name = file.ok()?.file_name().into_string().ok()?;
            Some(name.strip_suffix(".wasm")?.to_owned())
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use canopy_pipeline::lock::LockedPlugin;

    use super::*;

    fn locked(name: &str, sha256: &str, compiled: &[&str]) -> LockedPlugin {
        LockedPlugin {
            name: name.to_owned(),
            source: String::new(),
            version: String::new(),
            sha256: sha256.to_owned(),
            contract: String::new(),
            config_schema_sha256: String::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            compiled: compiled
                .iter()
                .map(|key| ((*key).to_owned(), "digest".to_owned()))
                .collect(),
        }
    }

    #[test]
    fn pins_made_while_plugins_were_compiled_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = Lock::default();
        lock.put(locked("same", "1", &["other machine"]));
        lock.put(locked("pinned anew", "2", &[]));
        lock.put(locked("added", "3", &[]));
        lock.write(folder.path()).unwrap();

        let mut compiled = Lock::default();
        compiled.put(locked("same", "1", &["this machine"]));
        compiled.put(locked("pinned anew", "1", &["this machine"]));
        compiled.put(locked("removed", "4", &["this machine"]));
        pin_compiled(folder.path(), compiled).unwrap();

        let now = Lock::read(folder.path()).unwrap();
        let mut expected = Lock::default();
        expected.put(locked("same", "1", &["other machine", "this machine"]));
        expected.put(locked("pinned anew", "2", &[]));
        expected.put(locked("added", "3", &[]));
        assert_eq!(now, expected);
    }
}
