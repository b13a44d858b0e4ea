//! Compiled components on disk, so that a start costs milliseconds.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::host::{Host, Loaded};
use crate::load::{LoadError, sha256_hex};

/// A folder of compiled components. Each is named by the component's SHA-256
/// and [`Host::artifact_key`], beside a file with its own SHA-256.
///
/// An artifact is native code. The file beside it guards against damage and
/// against files mixed up; against someone who can write to the folder only the
/// digest pinned elsewhere (`canopy.lock`) does. The folder is therefore made
/// readable and writable by its owner alone.
#[derive(Clone, Debug)]
pub struct ArtifactCache {
    dir: PathBuf,
}

/// A component out of the cache.
#[derive(Debug)]
pub struct Cached {
    /// The component.
    pub loaded: Loaded,
    /// SHA-256 of the artifact, hex: what to pin.
    pub sha256: String,
    /// Something the operator should hear of, though it was mended.
    pub warning: Option<CacheWarning>,
}

/// A file of the cache was not what it should be and was made anew, or could
/// not be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheWarning {
    /// The artifact's digest was neither the pinned nor the noted one. It was
    /// not loaded.
    Replaced {
        /// The file.
        path: PathBuf,
        /// The digest expected, hex.
        expected: String,
        /// The digest found, hex.
        found: String,
    },
    /// The artifact could not be written, so the next start compiles again.
    NotKept {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

impl fmt::Display for CacheWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CacheWarning::Replaced {
                path,
                expected,
                found,
            } => write!(
                f,
                "{} had SHA-256 {found} where {expected} was expected: it was not loaded, the \
                 component was compiled again",
                path.display()
            ),
            CacheWarning::NotKept { path, message } => write!(
                f,
                "{} could not be written, so the plugin is compiled at every start: {message}",
                path.display()
            ),
        }
    }
}

impl ArtifactCache {
    /// Uses the folder `dir`, which is made when something is kept.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        ArtifactCache { dir: dir.into() }
    }

    /// Returns where the artifact of a component is kept.
    pub fn path(&self, host: &Host, component: &[u8]) -> PathBuf {
        self.dir.join(format!(
            "{}.{}.cwasm",
            sha256_hex(component),
            host.artifact_key()
        ))
    }

    /// Loads the component from its artifact, compiling it first where there is
    /// none, or where it is not the one that was pinned (or, without a pin, the
    /// one that was kept). `pinned` is the artifact's SHA-256, hex, noted when
    /// the plugin was added under the same [`Host::artifact_key`].
    ///
    /// # Errors
    ///
    /// [`LoadError::Digest`] where even the component compiled again does not
    /// have the pinned digest, [`LoadError::NoCompiler`] in a build without
    /// the feature `compile`, those of [`Host::compile`] and [`Host::load`].
    pub fn get_or_compile(
        &self,
        host: &Host,
        component: &[u8],
        pinned: Option<&str>,
    ) -> Result<Cached, LoadError> {
        let path = self.path(host, component);
        let mut warning = None;
        if let Some((artifact, noted)) = read_pair(&path) {
            let expected = pinned.unwrap_or(&noted);
            match host.load(&artifact, expected) {
                Ok(loaded) => {
                    return Ok(Cached {
                        loaded,
                        sha256: expected.to_ascii_lowercase(),
                        warning,
                    });
                }
                Err(LoadError::Digest { pinned, found }) => {
                    warning = Some(CacheWarning::Replaced {
                        path: path.clone(),
                        expected: pinned,
                        found,
                    });
                }
                // Truncated before it was noted, or of another build that made
                // the same key: compiling again mends it.
                Err(LoadError::Artifact { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let artifact = compile(host, component)?;
        let sha256 = sha256_hex(&artifact);
        let loaded = host.load(&artifact, pinned.unwrap_or(&sha256))?;
        if let Err(error) = write_pair(&path, &artifact, &sha256) {
            warning = Some(CacheWarning::NotKept {
                path,
                message: error.to_string(),
            });
        }
        Ok(Cached {
            loaded,
            sha256,
            warning,
        })
    }
}

#[cfg(feature = "compile")]
fn compile(host: &Host, component: &[u8]) -> Result<Vec<u8>, LoadError> {
    host.compile(component)
}

#[cfg(not(feature = "compile"))]
fn compile(host: &Host, _component: &[u8]) -> Result<Vec<u8>, LoadError> {
    Err(LoadError::NoCompiler {
        key: host.artifact_key(),
    })
}

fn noted_path(artifact: &Path) -> PathBuf {
    artifact.with_extension("cwasm.sha256")
}

/// Reads an artifact and the digest noted for it. Whatever cannot be read is
/// as good as absent.
fn read_pair(path: &Path) -> Option<(Vec<u8>, String)> {
    let artifact = std::fs::read(path).ok()?;
    let noted = std::fs::read_to_string(noted_path(path)).unwrap_or_default();
    Some((artifact, noted.trim().to_owned()))
}

fn write_pair(path: &Path, artifact: &[u8], sha256: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        make_private_dir(dir)?;
    }
    write_atomically(path, artifact)?;
    write_atomically(&noted_path(path), format!("{sha256}\n").as_bytes())
}

fn make_private_dir(dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Writes to a file of its own beside `path` and renames it, so that a reader
/// sees the old content or the new, never a part.
fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(name);
    let written = std::fs::File::create(&part)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        // The failure itself is what is reported.
        let _ = std::fs::remove_file(&part);
    }
    written
}
