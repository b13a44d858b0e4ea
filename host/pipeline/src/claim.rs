//! One run at a time over a source, where runs share a store.
//!
//! Where chunks end early depends on moments: two runs over one growing file
//! would cut it at different places and store what lies between twice. So a
//! run holds a lock named by the source's identity.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a run waits for another one to be done with the same source.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(50);

/// How many locks are held: more than sources whose chunks can still be under
/// way when the next one is read, and few enough for the limit of open files.
const HELD: usize = 16;

/// Another run is reading the source into the same store.
#[derive(Debug)]
pub(crate) struct Taken;

/// The locks of a run, held until it drops this.
#[derive(Debug)]
pub(crate) struct Claims {
    folder: Option<PathBuf>,
    stop: Arc<AtomicBool>,
    held: VecDeque<(String, File)>,
}

impl Claims {
    /// Uses a folder, which is made; without one nothing is locked.
    pub(crate) fn new(folder: Option<PathBuf>, stop: Arc<AtomicBool>) -> Claims {
        Claims {
            folder,
            stop,
            held: VecDeque::new(),
        }
    }

    /// Takes the source with this identity, waiting a while for another run.
    /// A folder in which nothing can be made locks nothing: the store itself
    /// will say what is wrong with it.
    pub(crate) fn take(&mut self, identity: &str) -> Result<(), Taken> {
        if self.held.iter().any(|(held, _)| held == identity) {
            return Ok(());
        }
        let Some(file) = self.folder.as_deref().and_then(|f| open(f, identity)) else {
            return Ok(());
        };
        let started = Instant::now();
        while let Err(TryLockError::WouldBlock) = file.try_lock() {
            if started.elapsed() > PATIENCE || self.stop.load(Ordering::Relaxed) {
                return Err(Taken);
            }
            std::thread::sleep(INTERVAL);
        }
        if self.held.len() == HELD {
            self.held.pop_front();
        }
        self.held.push_back((identity.to_owned(), file));
        Ok(())
    }
}

fn open(folder: &Path, identity: &str) -> Option<File> {
    std::fs::create_dir_all(folder).ok()?;
    File::create(folder.join(format!("{identity}.lock"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_read_by_one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let claims = |stop| Claims::new(Some(folder.path().join("sources")), Arc::new(stop));
        let mut first = claims(AtomicBool::new(false));
        first.take("a").unwrap();
        first.take("a").unwrap();
        let mut second = claims(AtomicBool::new(true));
        assert!(second.take("a").is_err());
        assert!(second.take("b").is_ok());
        drop(first);
        assert!(second.take("a").is_ok());
    }
}
