//! Getting and finding `libchdb.so`.

use sha2::{Digest, Sha256, Sha512};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version of libchdb that Canopy is tested with.
pub const LIBRARY_VERSION: &str = "26.7.3-stable.1";

/// The npm package that carries it for Linux on x86-64 with glibc.
const PACKAGE: &str = "@chdb/lib-linux-x64-gnu";

/// SHA-512 of the package's tarball, in base64: the `integrity` of npm's metadata
/// for this version.
const TARBALL_SHA512: &str =
    "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==";

const FILE: &str = "libchdb.so";

/// Bytes copied at once.
const BUFFER_BYTES: usize = 1 << 20;

/// How far [`fetch`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchProgress {
    /// npm downloads the package, 178 MB.
    Downloading,
    /// The package's digest is compared with the pinned one.
    Verifying,
    /// The library is unpacked.
    Unpacking {
        /// Bytes written.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
}

/// Why the library could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The library exists for other systems, but the pinned package does not.
    #[error(
        "the engine's library is pinned for Linux on x86-64 with glibc only, not for {system}; a libchdb of your own can be named explicitly"
    )]
    System {
        /// This system.
        system: String,
    },
    /// There is no npm.
    #[error("npm is needed to fetch {package}: install Node.js, or unpack the package yourself")]
    NoNpm {
        /// Package and version.
        package: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// npm failed.
    #[error("npm could not fetch {package} ({status}): {output}")]
    Npm {
        /// Package and version.
        package: String,
        /// How npm ended.
        status: std::process::ExitStatus,
        /// What it printed last.
        output: String,
    },
    /// The package is not the one that was pinned; nothing was kept.
    #[error(
        "the fetched {package} has the digest sha512-{found}, not the pinned one; nothing was kept"
    )]
    Digest {
        /// Package and version.
        package: String,
        /// What came, in base64.
        found: String,
    },
    /// The package lacks the library.
    #[error("the package holds no {FILE}")]
    Contents,
    /// A file could not be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The library is in none of the places it was looked for.
#[derive(Debug, thiserror::Error)]
#[error("the ClickHouse engine ({FILE}) is not installed; looked for {}", list(.looked))]
pub struct MissingLibrary {
    /// The files that do not exist.
    pub looked: Vec<PathBuf>,
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}

/// Finds `libchdb.so`: `explicit` alone if it is given; else beside the
/// executable's folder in `../engine/` and `engine/`, and then in `cache`, the
/// folder [`fetch`] was given.
///
/// # Errors
///
/// [`MissingLibrary`] naming every place.
pub fn find_library(
    explicit: Option<&Path>,
    executable_folder: &Path,
    cache: Option<&Path>,
) -> Result<PathBuf, MissingLibrary> {
    let looked = match explicit {
        Some(file) => vec![file.to_owned()],
        None => {
            let beside = executable_folder
                .parent()
                .map(|parent| parent.join("engine"));
            let within = Some(executable_folder.join("engine"));
            [beside, within, cache.map(Path::to_owned)]
                .into_iter()
                .flatten()
                .map(|folder| folder.join(FILE))
                .collect()
        }
    };
    match looked.iter().find(|file| file.is_file()) {
        Some(file) => Ok(file.clone()),
        None => Err(MissingLibrary { looked }),
    }
}

/// Puts `libchdb.so` into the folder `into` and returns its path.
///
/// The package comes through the ordinary npm client, is checked against the
/// pinned SHA-512, and the library appears whole or not at all, with its own
/// SHA-256 in `libchdb.so.sha256` beside it. A library that is there and matches
/// that file is kept. Blocks for as long as the download takes.
///
/// # Errors
///
/// [`FetchError`]; nothing is left behind but the folder.
pub fn fetch(into: &Path, mut progress: impl FnMut(FetchProgress)) -> Result<PathBuf, FetchError> {
    let library = into.join(FILE);
    if is_intact(&library) {
        return Ok(library);
    }
    if !cfg!(all(
        target_os = "linux",
        target_arch = "x86_64",
        target_env = "gnu"
    )) {
        return Err(FetchError::System {
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        });
    }
    std::fs::create_dir_all(into).map_err(|source| io("create", into, source))?;
    let work = WorkFolder::create(into)?;
    progress(FetchProgress::Downloading);
    let tarball = download(&work.0)?;
    install(&tarball, TARBALL_SHA512, &library, &work.0, &mut progress)?;
    Ok(library)
}

/// A folder within the target's, so that the last step is a rename; removed in
/// the end.
struct WorkFolder(PathBuf);

impl WorkFolder {
    fn create(into: &Path) -> Result<Self, FetchError> {
        let path = into.join(format!(".fetch-{:016x}", super::random_u64()));
        std::fs::create_dir(&path).map_err(|source| io("create", &path, source))?;
        Ok(Self(path))
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // What stays is a hidden folder; the result does not depend on it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> FetchError {
    FetchError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn digest_file(library: &Path) -> PathBuf {
    library.with_extension("so.sha256")
}

/// Whether the library is there with the digest that was noted for it.
fn is_intact(library: &Path) -> bool {
    let noted = std::fs::read_to_string(digest_file(library)).unwrap_or_default();
    let Some(noted) = noted.split_whitespace().next() else {
        return false;
    };
    digest::<Sha256>(library).is_ok_and(|found| data_encoding::HEXLOWER.encode(&found) == noted)
}

fn digest<D: Digest>(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(file)?;
    let mut digest = D::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digest.finalize().to_vec()),
            length => digest.update(&buffer[..length]),
        }
    }
}

fn package() -> String {
    format!("{PACKAGE}@{LIBRARY_VERSION}")
}

/// Lets npm put the package's tarball into a folder.
fn download(folder: &Path) -> Result<PathBuf, FetchError> {
    let output = Command::new("npm")
        .args(["pack", "--ignore-scripts", "--pack-destination", "."])
        .arg(package())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => FetchError::NoNpm {
                package: package(),
                source,
            },
            _ => io("run", Path::new("npm"), source),
        })?;
    let tarball = std::fs::read_dir(folder)
        .map_err(|source| io("read", folder, source))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"));
    match tarball {
        Some(tarball) if output.status.success() => Ok(tarball),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last: Vec<_> = said.lines().rev().take(8).collect();
            Err(FetchError::Npm {
                package: package(),
                status: output.status,
                output: last.into_iter().rev().collect::<Vec<_>>().join("\n"),
            })
        }
    }
}

/// Checks a tarball against its SHA-512 and moves its library into place.
fn install(
    tarball: &Path,
    expected: &str,
    library: &Path,
    work: &Path,
    progress: &mut impl FnMut(FetchProgress),
) -> Result<(), FetchError> {
    progress(FetchProgress::Verifying);
    let found = digest::<Sha512>(tarball).map_err(|source| io("read", tarball, source))?;
    let found = data_encoding::BASE64.encode(&found);
    if found != expected {
        return Err(FetchError::Digest {
            package: package(),
            found,
        });
    }
    let unreadable = |source| io("unpack", tarball, source);
    let file = File::open(tarball).map_err(unreadable)?;
    let plain = flate2::read::GzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, file));
    let mut archive = tar::Archive::new(plain);
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?;
        if path.file_name() != Some(FILE.as_ref()) {
            continue;
        }
        let unpacked = work.join(FILE);
        let sum = unpack(&mut entry, &unpacked, progress)?;
        let digest = digest_file(library);
        std::fs::write(&digest, format!("{sum}  {FILE}\n"))
            .map_err(|source| io("write", &digest, source))?;
        return std::fs::rename(&unpacked, library).map_err(|source| io("write", library, source));
    }
    Err(FetchError::Contents)
}

/// Writes an entry of the archive to a file and returns its SHA-256.
fn unpack(
    entry: &mut tar::Entry<'_, impl Read>,
    to: &Path,
    progress: &mut impl FnMut(FetchProgress),
) -> Result<String, FetchError> {
    let failed = |source| io("write", to, source);
    let total = entry.size();
    let mut out = File::create(to).map_err(failed)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut done = 0;
    loop {
        progress(FetchProgress::Unpacking { done, total });
        let length = entry.read(&mut buffer).map_err(failed)?;
        if length == 0 {
            break;
        }
        digest.update(&buffer[..length]);
        out.write_all(&buffer[..length]).map_err(failed)?;
        done += length as u64;
    }
    out.sync_all().map_err(failed)?;
    Ok(data_encoding::HEXLOWER.encode(&digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tarball(folder: &Path, name: &str, contents: &[u8]) -> (PathBuf, String) {
        let path = folder.join("package.tgz");
        let gzip = flate2::write::GzEncoder::new(
            File::create(&path).unwrap(),
            flate2::Compression::fast(),
        );
        let mut archive = tar::Builder::new(gzip);
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, name, contents).unwrap();
        archive.into_inner().unwrap().finish().unwrap();
        let sum = data_encoding::BASE64.encode(&digest::<Sha512>(&path).unwrap());
        (path, sum)
    }

    #[test]
    fn a_package_with_the_pinned_digest_is_installed_once() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join(FILE);
        let (path, sum) = tarball(folder.path(), "package/libchdb.so", b"library");
        let work = WorkFolder::create(folder.path()).unwrap();
        let mut last = FetchProgress::Downloading;
        install(&path, &sum, &library, &work.0, &mut |step| last = step).unwrap();
        assert_eq!(std::fs::read(&library).unwrap(), b"library");
        assert_eq!(last, FetchProgress::Unpacking { done: 7, total: 7 });

        // No npm is asked when the library is intact.
        assert_eq!(
            fetch(folder.path(), |_| panic!("fetched again")).unwrap(),
            library
        );
        std::fs::write(&library, b"damaged").unwrap();
        assert!(!is_intact(&library));
    }

    #[test]
    fn another_package_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join(FILE);
        let (path, sum) = tarball(folder.path(), "package/other.so", b"library");
        let work = WorkFolder::create(folder.path()).unwrap();
        let refused = install(&path, TARBALL_SHA512, &library, &work.0, &mut |_| {});
        assert!(matches!(refused, Err(FetchError::Digest { .. })));
        let refused = install(&path, &sum, &library, &work.0, &mut |_| {});
        assert!(matches!(refused, Err(FetchError::Contents)));
        assert!(!library.exists());
        let hidden = work.0.clone();
        drop(work);
        assert!(!hidden.exists());
    }

    #[test]
    fn the_library_is_found_beside_the_executable_and_in_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        let cache = folder.path().join("cache");
        std::fs::create_dir_all(&cache).unwrap();
        let missing = find_library(None, &bin, Some(&cache)).unwrap_err();
        assert_eq!(missing.looked.len(), 3);
        std::fs::write(cache.join(FILE), "").unwrap();
        assert_eq!(
            find_library(None, &bin, Some(&cache)).unwrap(),
            cache.join(FILE)
        );
        let beside = folder.path().join("engine");
        std::fs::create_dir_all(&beside).unwrap();
        std::fs::write(beside.join(FILE), "").unwrap();
        assert_eq!(
            find_library(None, &bin, Some(&cache)).unwrap(),
            beside.join(FILE)
        );
        let explicit = folder.path().join("mine.so");
        assert_eq!(
            find_library(Some(&explicit), &bin, Some(&cache))
                .unwrap_err()
                .looked,
            [explicit]
        );
    }
}
