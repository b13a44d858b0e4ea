//! Records set aside: gzipped NDJSON, one file for each chunk that had some.
//!
//! Each line holds the source, the record's position in it, the stage that
//! refused it, the reason, and the record byte for byte: in `raw` where it is
//! valid UTF-8, else in `raw_base64`. The file is named by the chunk's
//! deduplication token, so a chunk that is run again replaces its file and no
//! record is ever there twice.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use canopy_batch::{Records, Rejected};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Serialize;

/// One line of a quarantine file.
#[derive(Debug, Serialize)]
struct Line<'a> {
    source: &'a str,
    position: u64,
    stage: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_base64: Option<String>,
}

/// Where records set aside go.
#[derive(Clone, Debug)]
pub struct Quarantine {
    folder: PathBuf,
}

/// A quarantine file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the records set aside to {}", path.display())]
pub struct QuarantineError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

impl Quarantine {
    /// Uses a folder, which is made when the first record comes.
    pub fn new(folder: PathBuf) -> Quarantine {
        Quarantine { folder }
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the file of the chunk with this token.
    pub fn file(&self, token: &str) -> PathBuf {
        self.folder.join(format!("{}.ndjson.gz", stem(token)))
    }

    /// Puts the rejected records of a chunk into its file, on disk when this
    /// returns, in place of what an earlier try left there. Without rejected
    /// records an earlier try's file is removed.
    ///
    /// # Errors
    ///
    /// [`QuarantineError`]; no half-written file is left under the name.
    pub fn put(
        &self,
        token: &str,
        source: &str,
        records: &Records,
        rejected: &[Rejected],
    ) -> Result<(), QuarantineError> {
        let path = self.file(token);
        let written = if rejected.is_empty() {
            remove(&path)
        } else {
            self.write(&path, source, records, rejected)
        };
        written.map_err(|source| QuarantineError { path, source })
    }

    /// Keeps what an earlier try left of a chunk under another name, where it
    /// holds records that are not among these rejected ones; returns that name.
    ///
    /// For a chunk that may have been inserted by that try: then an insert now
    /// adds nothing, and records set aside before but not now would be nowhere.
    ///
    /// # Errors
    ///
    /// [`QuarantineError`].
    pub fn keep_others(
        &self,
        token: &str,
        records: &Records,
        rejected: &[Rejected],
    ) -> Result<Option<PathBuf>, QuarantineError> {
        let path = self.file(token);
        let keep = || {
            let packed = match std::fs::read(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                packed => packed?,
            };
            let now: HashSet<u64> = rejected
                .iter()
                .map(|rejection| records.position(rejection.record))
                .collect();
            // What cannot be read is kept too.
            if positions(&packed).is_ok_and(|before| before.is_subset(&now)) {
                return Ok(None);
            }
            let content = blake3::hash(&packed).to_hex();
            let name = format!("{}.{}.ndjson.gz", stem(token), &content[..16]);
            let kept = self.folder.join(name);
            std::fs::rename(&path, &kept)?;
            File::open(&self.folder)?.sync_all()?;
            Ok(Some(kept))
        };
        keep().map_err(|source| QuarantineError {
            path: path.clone(),
            source,
        })
    }

    /// Removes the file of a chunk whose records another chunk holds now.
    ///
    /// # Errors
    ///
    /// [`QuarantineError`].
    pub fn supersede(&self, token: &str) -> Result<(), QuarantineError> {
        let path = self.file(token);
        remove(&path).map_err(|source| QuarantineError { path, source })
    }

    fn write(
        &self,
        path: &Path,
        source: &str,
        records: &Records,
        rejected: &[Rejected],
    ) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        // Raw records hold addresses and cookies: the owner's alone.
        let unfinished = path.with_extension(format!("gz.{}.part", std::process::id()));
        let written = write_lines(&unfinished, source, records, rejected)
            .and_then(|()| std::fs::rename(&unfinished, path));
        if let Err(error) = written {
            // On a full disk what is half written is in the way.
            let _ = std::fs::remove_file(&unfinished);
            return Err(error);
        }
        File::open(&self.folder)?.sync_all()
    }
}

/// Writes a quarantine file, on disk when this returns.
fn write_lines(
    path: &Path,
    source: &str,
    records: &Records,
    rejected: &[Rejected],
) -> std::io::Result<()> {
    let file = private_file(path)?;
    let mut out = GzEncoder::new(BufWriter::new(file), Compression::fast());
    for rejection in rejected {
        let raw = records.raw(rejection.record);
        let text = std::str::from_utf8(raw).ok();
        let line = Line {
            source,
            position: records.position(rejection.record),
            stage: &rejection.stage,
            reason: &rejection.reason,
            raw: text,
            raw_base64: match text {
                Some(_) => None,
                None => Some(data_encoding::BASE64.encode(raw)),
            },
        };
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    let file = out
        .finish()?
        .into_inner()
        .map_err(|error| error.into_error())?;
    file.sync_all()
}

fn stem(token: &str) -> &str {
    token.get(..32).unwrap_or(token)
}

/// Returns the positions of the records in a quarantine file.
fn positions(packed: &[u8]) -> std::io::Result<HashSet<u64>> {
    #[derive(serde::Deserialize)]
    struct Place {
        position: u64,
    }
    BufReader::new(GzDecoder::new(packed))
        .lines()
        .map(|line| Ok(serde_json::from_str::<Place>(&line?)?.position))
        .collect()
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn private_file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> std::io::Result<File> {
    File::create(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::io::Read;

    fn read(path: &Path) -> Vec<serde_json::Value> {
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(path).unwrap())
            .read_to_string(&mut text)
            .unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn records_are_kept_byte_for_byte_and_replaced_not_doubled() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(folder.path().join("quarantine"));
        let mut records = Records::new(Bytes::from_static(b"tab\there\n\xff\x00\n"));
        records.push(0..8, 7);
        records.push(9..11, 8);
        let rejected: Vec<Rejected> = (0..2)
            .map(|record| Rejected {
                record,
                stage: "parse".into(),
                reason: "no".to_owned(),
            })
            .collect();
        for _ in 0..2 {
            quarantine.put("abc", "a.log", &records, &rejected).unwrap();
        }
        let lines = read(&quarantine.file("abc"));
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["raw"], "tab\there");
        assert_eq!(lines[0]["position"], 7);
        assert_eq!(lines[1]["raw_base64"], "/wA=");
        assert_eq!(lines[1]["source"], "a.log");
    }

    #[test]
    fn other_records_of_a_chunk_that_may_be_stored_are_kept_beside() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(folder.path().to_owned());
        let mut records = Records::new(Bytes::from_static(b"xy"));
        records.push(0..1, 1);
        records.push(1..2, 2);
        let rejected = [0, 1].map(|record| Rejected {
            record,
            stage: "p".into(),
            reason: "no".to_owned(),
        });
        let keep = |rejected| quarantine.keep_others("t", &records, rejected).unwrap();
        assert_eq!(keep(&rejected[..]), None, "there was nothing");
        let put = |rejected| quarantine.put("t", "a.log", &records, rejected).unwrap();
        put(&rejected[..1]);
        assert_eq!(keep(&rejected[..]), None, "they are among these");
        let kept = keep(&rejected[1..]).unwrap();
        put(&rejected[1..]);
        assert_eq!(read(&kept)[0]["raw"], "x");
        assert_eq!(read(&quarantine.file("t"))[0]["raw"], "y");
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_no_half_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(folder.path().to_owned());
        let mut records = Records::new(Bytes::from_static(b"x"));
        records.push(0..1, 1);
        let rejected = [Rejected {
            record: 0,
            stage: "parse".into(),
            reason: "no".to_owned(),
        }];
        // A folder is where the file would have to be.
        std::fs::create_dir(quarantine.file("t")).unwrap();
        assert!(quarantine.put("t", "a.log", &records, &rejected).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_chunk_that_is_mended_takes_its_file_away() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(folder.path().to_owned());
        let mut records = Records::new(Bytes::from_static(b"x"));
        records.push(0..1, 1);
        let rejected = [Rejected {
            record: 0,
            stage: "parse".into(),
            reason: "no".to_owned(),
        }];
        quarantine.put("t", "a.log", &records, &rejected).unwrap();
        quarantine.put("t", "a.log", &records, &[]).unwrap();
        assert!(!quarantine.file("t").exists());
        quarantine.put("t", "a.log", &records, &[]).unwrap();
    }
}
