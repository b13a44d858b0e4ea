//! Files that are written whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Result, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes a file whole or not at all. One that is there keeps its mode, and a
/// link to it stays a link.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let path = match path.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        target => target?,
    };
    let mode = fs::metadata(&path).ok().map(|old| old.permissions());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let unfinished = path.with_file_name(name);
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        if mode.is_some() {
            // Until it has the mode of the one it replaces.
            options.mode(0o600);
        }
        let mut file = options.open(&unfinished)?;
        file.write_all(bytes)?;
        if let Some(mode) = mode {
            file.set_permissions(mode)?;
        }
        fs::rename(&unfinished, &path)
    };
    write().inspect_err(|_| {
        // It may not even have been made.
        let _ = fs::remove_file(&unfinished);
    })
}
