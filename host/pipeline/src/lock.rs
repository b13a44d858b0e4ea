//! `canopy.lock`: which plugin was added, byte for byte.
//!
//! `canopy plugin add` writes it, everything that runs plugins checks it: a
//! component that is not the one added, or a compiled artifact that is not the
//! one made from it, is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file's name, beside `canopy.toml`.
pub const FILE_NAME: &str = "canopy.lock";

/// The form of the file that this version writes and reads.
const VERSION: u32 = 1;

/// What `canopy.lock` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lock {
    /// The form of the file.
    pub version: u32,
    /// The plugins, in the order in which they were added.
    #[serde(default, rename = "plugin")]
    pub plugins: Vec<LockedPlugin>,
}

/// One plugin as it was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedPlugin {
    /// Its name in `canopy.toml`.
    pub name: String,
    /// Its source as `canopy.toml` gives it.
    pub source: String,
    /// The plugin's own version.
    pub version: String,
    /// The component's sha256, hex.
    pub sha256: String,
    /// The version of the contract it was built for.
    pub contract: String,
    /// The sha256 of its configuration's JSON Schema, hex.
    pub config_schema_sha256: String,
    /// The columns it reads, as `name: kind`.
    pub inputs: Vec<String>,
    /// The columns it makes, as `name: kind`.
    pub outputs: Vec<String>,
    /// The sha256 of the compiled artifact, hex, by artifact key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub compiled: BTreeMap<String, String>,
}

impl Default for Lock {
    fn default() -> Self {
        Lock {
            version: VERSION,
            plugins: Vec::new(),
        }
    }
}

/// The lock file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Reading or writing failed.
    #[error("cannot read or write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a lock of this version.
    #[error("{}: {message}; delete it and run `canopy plugin add` for each plugin again", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

impl Lock {
    /// Reads the lock of a folder; where there is none, an empty one.
    ///
    /// # Errors
    ///
    /// [`LockError`], naming the file.
    pub fn read(folder: &Path) -> Result<Lock, LockError> {
        let path = folder.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Lock::default());
            }
            Err(source) => return Err(LockError::File { path, source }),
        };
        let lock: Lock = match toml::from_str(&text) {
            Ok(lock) => lock,
            Err(error) => {
                let message = crate::settings::explain(&text, &error);
                return Err(LockError::Parse { path, message });
            }
        };
        if lock.version != VERSION {
            let message = format!(
                "version is {}, this canopy reads version {VERSION}",
                lock.version
            );
            return Err(LockError::Parse { path, message });
        }
        Ok(lock)
    }

    /// Writes the lock of a folder, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`LockError::File`].
    pub fn write(&self, folder: &Path) -> Result<(), LockError> {
        let path = folder.join(FILE_NAME);
        let text = format!(
            "# Written by `canopy plugin add`: keep it beside canopy.toml, do not edit.\n{}",
            toml::to_string_pretty(self).expect("a lock can be written as TOML")
        );
        let unfinished = path.with_extension(format!("lock.{}.part", std::process::id()));
        std::fs::write(&unfinished, text)
            .and_then(|()| std::fs::rename(&unfinished, &path))
            .map_err(|source| LockError::File { path, source })
    }

    /// Returns the plugin of this name.
    pub fn get(&self, name: &str) -> Option<&LockedPlugin> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }

    /// Puts a plugin in, in place of one with its name.
    pub fn put(&mut self, plugin: LockedPlugin) {
        match self.plugins.iter_mut().find(|old| old.name == plugin.name) {
            Some(old) => *old = plugin,
            None => self.plugins.push(plugin),
        }
    }

    /// Takes the plugin of this name out.
    pub fn remove(&mut self, name: &str) {
        self.plugins.retain(|plugin| plugin.name != name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(name: &str, sha256: &str) -> LockedPlugin {
        LockedPlugin {
            name: name.to_owned(),
            source: format!("{name}.wasm"),
            version: "0.1.0".to_owned(),
            sha256: sha256.to_owned(),
            contract: "0.1.0".to_owned(),
            config_schema_sha256: "00".to_owned(),
            inputs: vec!["cs_uri_stem: text".to_owned()],
            outputs: vec!["path_template: text".to_owned()],
            compiled: BTreeMap::from([("key".to_owned(), "00".to_owned())]),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Lock::read(folder.path()).unwrap(), Lock::default());
        let mut lock = Lock::default();
        lock.put(plugin("a", "01"));
        lock.put(plugin("b", "02"));
        lock.put(plugin("a", "03"));
        lock.write(folder.path()).unwrap();
        let read = Lock::read(folder.path()).unwrap();
        assert_eq!(read, lock);
        assert_eq!(read.get("a").unwrap().sha256, "03");
        lock.remove("a");
        assert!(lock.get("a").is_none());
    }

    #[test]
    fn a_lock_of_another_version_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE_NAME), "version = 2\n").unwrap();
        let message = Lock::read(folder.path()).unwrap_err().to_string();
        assert!(message.contains("version is 2"), "{message}");
        assert!(message.contains("canopy plugin add"), "{message}");
    }
}
