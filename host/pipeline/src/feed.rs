//! Bytes from a file or standard input, read and gunzipped on a thread of
//! their own.
//!
//! Gzip is recognised by content. A file may be followed: at its end the feed
//! waits for more, and says when the file was cut or replaced.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

/// Bytes per read; two of them may wait in the channel.
const BLOCK_BYTES: usize = 256 * 1024;

/// How often a followed file's end is looked at again.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

/// How often a waiting reader looks whether it should stop.
const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// How long, after a stop, the reading thread is waited for: it may hold a
/// block that a pipe will not give again. It may also sit in a read that never
/// returns, so this is not for ever.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// What comes out of a feed.
#[derive(Debug)]
pub enum FeedEvent {
    /// The next bytes.
    Data(Bytes),
    /// Nothing came for as long as the caller was willing to wait.
    Quiet,
    /// The followed file was cut or replaced: what follows is a new source.
    Restarted,
    /// The end; or a stop was asked for (`stopped`), and everything that had
    /// been read by then came before.
    End {
        /// Whether the end was asked for rather than reached.
        stopped: bool,
    },
    /// The source broke off: why. What came before is good.
    Broken(String),
}

/// The source could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct FeedError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// A source of bytes.
#[derive(Debug)]
pub struct Feed {
    events: Receiver<FeedEvent>,
    stop: Arc<AtomicBool>,
    /// Whether what it gave cannot be had again.
    once: bool,
    /// How it ended, once it has.
    ended: Option<Ended>,
}

/// How a feed ended.
#[derive(Clone, Copy, Debug)]
struct Ended {
    stopped: bool,
}

impl Feed {
    /// Checks that a file can be opened and read.
    ///
    /// # Errors
    ///
    /// [`FeedError`] where it cannot.
    pub fn probe(path: &Path) -> Result<(), FeedError> {
        let metadata = std::fs::metadata(path).map_err(|source| FeedError {
            path: path.to_owned(),
            source,
        })?;
        // A named pipe would lose its writer by being opened and closed.
        if metadata.is_file() || metadata.is_dir() {
            open(path)?;
        }
        Ok(())
    }

    /// Opens a file. With `follow`, its end is not the feed's.
    ///
    /// # Errors
    ///
    /// [`FeedError`] where it cannot be opened.
    pub fn file(path: &Path, follow: bool, stop: Arc<AtomicBool>) -> Result<Feed, FeedError> {
        let file = open(path)?;
        let once = file.metadata().is_ok_and(|metadata| !metadata.is_file());
        let path = path.to_owned();
        Ok(Feed::start(stop, once, move |out| {
            if follow {
                follow_file(file, &path, out);
            } else {
                copy(file, out);
            }
        }))
    }

    /// Opens standard input.
    pub fn stdin(stop: Arc<AtomicBool>) -> Feed {
        Feed::start(stop, true, |out| copy(std::io::stdin().lock(), out))
    }

    /// Whether the source is a pipe or the like, whose bytes come only once.
    pub(crate) fn gives_once(&self) -> bool {
        self.once
    }

    /// Gives these bytes, and then nothing until it is stopped.
    #[cfg(test)]
    pub(crate) fn of(bytes: &'static [u8], once: bool, stop: Arc<AtomicBool>) -> Feed {
        Feed::start(stop, once, move |out| {
            out.put(FeedEvent::Data(Bytes::from_static(bytes)));
            while !out.stopped() {
                std::thread::sleep(Duration::from_millis(5));
            }
        })
    }

    fn start(
        stop: Arc<AtomicBool>,
        once: bool,
        read: impl FnOnce(&Outlet) + Send + 'static,
    ) -> Feed {
        let (sender, events) = sync_channel(2);
        let outlet = Outlet {
            sender,
            stop: Arc::clone(&stop),
        };
        std::thread::Builder::new()
            .name("canopy-read".to_owned())
            .spawn(move || read(&outlet))
            .expect("a thread can be started");
        Feed {
            events,
            stop,
            once,
            ended: None,
        }
    }

    /// Returns the next event, waiting at most `patience` (absent: without
    /// bound). After [`FeedEvent::End`] or [`FeedEvent::Broken`] there is only
    /// `End`.
    pub fn next(&mut self, patience: Option<Duration>) -> FeedEvent {
        if let Some(Ended { stopped }) = self.ended {
            return FeedEvent::End { stopped };
        }
        let started = Instant::now();
        loop {
            let stopping = self.stop.load(Ordering::Relaxed);
            let wait = match patience {
                _ if stopping => STOP_GRACE,
                Some(patience) => match patience.checked_sub(started.elapsed()) {
                    Some(left) => left.min(STOP_INTERVAL),
                    None => return FeedEvent::Quiet,
                },
                None => STOP_INTERVAL,
            };
            match self.events.recv_timeout(wait) {
                Ok(event) => {
                    self.ended = match event {
                        FeedEvent::End { stopped } => Some(Ended { stopped }),
                        FeedEvent::Broken(_) => Some(Ended { stopped: false }),
                        _ => None,
                    };
                    return event;
                }
                Err(RecvTimeoutError::Timeout) if !stopping => {}
                // A reader that reached the end says so; one that left without
                // a word, or does not answer, was stopped before it.
                Err(_) => {
                    self.ended = Some(Ended { stopped: true });
                    return FeedEvent::End { stopped: true };
                }
            }
        }
    }
}

fn open(path: &Path) -> Result<File, FeedError> {
    let error = |source| FeedError {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(error)?;
    if file.metadata().map_err(error)?.is_dir() {
        return Err(error(std::io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

/// Where the reading thread puts what it reads.
struct Outlet {
    sender: SyncSender<FeedEvent>,
    stop: Arc<AtomicBool>,
}

impl Outlet {
    /// Hands an event on; false where nobody listens any more. What was read is
    /// handed on after a stop too: a pipe does not give it a second time.
    fn put(&self, event: FeedEvent) -> bool {
        self.sender.send(event).is_ok()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A reader that gives nothing more after a stop.
struct Stoppable<'a, R> {
    inner: R,
    out: &'a Outlet,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.out.stopped() {
            // Not 0: that is the end, which was not reached.
            return Err(std::io::Error::other("a stop was asked for"));
        }
        self.inner.read(buffer)
    }
}

/// Reads to the end, gunzipping where the first bytes say so. After a stop,
/// what was taken from the source goes out, and no word of an end.
fn copy(raw: impl Read, out: &Outlet) {
    let mut raw = Stoppable { inner: raw, out };
    let mut head = Vec::with_capacity(2);
    let (gzip, read) = match raw.by_ref().take(2).read_to_end(&mut head) {
        Err(error) => {
            out.put(FeedEvent::Data(Bytes::from(head)));
            (false, Err(error))
        }
        Ok(_) => {
            let gzip = is_gzip(&head);
            let whole = std::io::Cursor::new(head).chain(raw);
            let read = if gzip {
                pump(MultiGzDecoder::new(whole), out)
            } else {
                pump(whole, out)
            };
            (gzip, read)
        }
    };
    out.put(match read {
        Ok(()) => FeedEvent::End { stopped: false },
        Err(_) if out.stopped() => return,
        Err(error) if gzip => {
            FeedEvent::Broken(format!("the gzip data is damaged or ends early ({error})"))
        }
        Err(error) => FeedEvent::Broken(error.to_string()),
    });
}

/// Whether these are the first bytes of gzip data.
fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b])
}

/// Sends blocks until the reader is empty or nobody wants more.
fn pump(mut reader: impl Read, out: &Outlet) -> std::io::Result<()> {
    loop {
        let mut block = vec![0; BLOCK_BYTES];
        let length = match reader.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        block.truncate(length);
        if !out.put(FeedEvent::Data(Bytes::from(block))) {
            return Ok(());
        }
    }
}

/// Reads a growing file: past its end it waits; a file that got shorter or was
/// replaced under its name is begun anew.
fn follow_file(mut file: File, path: &Path, out: &Outlet) {
    let mut head = [0; 2];
    match file.read(&mut head) {
        Ok(length) if is_gzip(&head[..length]) => {
            out.put(FeedEvent::Broken(
                "a gzip file cannot be followed: it does not grow line by line".to_owned(),
            ));
            return;
        }
        Ok(_) => {}
        Err(error) => {
            out.put(FeedEvent::Broken(error.to_string()));
            return;
        }
    }
    let mut position = 0;
    if let Err(error) = file.rewind() {
        out.put(FeedEvent::Broken(error.to_string()));
        return;
    }
    let mut next = None;
    while !out.stopped() {
        let mut block = vec![0; BLOCK_BYTES];
        match file.read(&mut block) {
            Ok(0) => match next.take() {
                // Nothing was added to the old file before the new one came.
                Some(new) => {
                    file = new;
                    position = 0;
                    if !out.put(FeedEvent::Restarted) {
                        return;
                    }
                }
                None => {
                    next = replaced(&file, path, position);
                    if next.is_none() {
                        std::thread::sleep(FOLLOW_INTERVAL);
                    }
                }
            },
            Ok(length) => {
                position += length as u64;
                block.truncate(length);
                if !out.put(FeedEvent::Data(Bytes::from(block))) {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                out.put(FeedEvent::Broken(error.to_string()));
                return;
            }
        }
    }
}

/// Returns the file to go on with where the one being followed was replaced by
/// another of its name, or cut below what was read.
fn replaced(file: &File, path: &Path, position: u64) -> Option<File> {
    let mut now = File::open(path).ok()?;
    let (old, new) = (file.metadata().ok()?, now.metadata().ok()?);
    let same = same_file(&old, &new);
    if same && new.len() >= position {
        return None;
    }
    now.seek(SeekFrom::Start(0)).ok()?;
    Some(now)
}

#[cfg(unix)]
fn same_file(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    a.dev() == b.dev() && a.ino() == b.ino()
}

#[cfg(not(unix))]
fn same_file(_: &std::fs::Metadata, _: &std::fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(feed: &mut Feed) -> (Vec<u8>, FeedEvent) {
        let mut bytes = Vec::new();
        loop {
            match feed.next(None) {
                FeedEvent::Data(data) => bytes.extend_from_slice(&data),
                other => return (bytes, other),
            }
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn gzip_is_recognised_by_content_also_in_several_members() {
        let mut two = gzip(b"first\n");
        two.extend(gzip(b"second\n"));
        for bytes in [b"first\nsecond\n".to_vec(), two] {
            let file = file(&bytes);
            let mut feed = Feed::file(file.path(), false, Arc::default()).unwrap();
            let (bytes, end) = all(&mut feed);
            assert_eq!(bytes, b"first\nsecond\n");
            assert!(matches!(end, FeedEvent::End { stopped: false }), "{end:?}");
        }
    }

    #[test]
    fn gzip_that_ends_early_gives_what_it_had_and_says_so() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|n| n.to_le_bytes()).collect();
        let whole = gzip(&text);
        let file = file(&whole[..whole.len() / 2]);
        let mut feed = Feed::file(file.path(), false, Arc::default()).unwrap();
        let (bytes, end) = all(&mut feed);
        assert!(!bytes.is_empty() && text.starts_with(&bytes));
        match end {
            FeedEvent::Broken(reason) => assert!(reason.contains("ends early"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    /// A source during whose last read a stop comes.
    struct Stopped(std::io::Cursor<Vec<u8>>, Arc<AtomicBool>);

    impl Read for Stopped {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = self.0.read(buffer)?;
            if self.0.position() == self.0.get_ref().len() as u64 {
                self.1.store(true, Ordering::Relaxed);
            }
            Ok(length)
        }
    }

    #[test]
    fn a_stop_is_no_end_and_what_was_read_before_it_comes_out() {
        for _ in 0..20 {
            let stop = Arc::new(AtomicBool::new(false));
            let (waits, seen) = std::sync::mpsc::channel();
            let mut feed = Feed::start(Arc::clone(&stop), true, {
                let stop = Arc::clone(&stop);
                move |out| {
                    // In its hands when the stop comes.
                    seen.recv().unwrap();
                    stop.store(true, Ordering::Relaxed);
                    out.put(FeedEvent::Data(Bytes::from_static(b"held\n")));
                }
            });
            waits.send(()).unwrap();
            let (bytes, end) = all(&mut feed);
            assert_eq!(bytes, b"held\n");
            assert!(matches!(end, FeedEvent::End { stopped: true }), "{end:?}");
            let again = feed.next(None);
            assert!(matches!(again, FeedEvent::End { stopped: true }));
        }
    }

    #[test]
    fn a_stop_leaves_nothing_of_a_pipe_in_the_decoder() {
        let text = b"a line of the log\n".repeat(60_000);
        for bytes in [text.clone(), gzip(&text)] {
            let stop = Arc::new(AtomicBool::new(false));
            let source = Stopped(std::io::Cursor::new(bytes), Arc::clone(&stop));
            let mut feed = Feed::start(stop, true, move |out| copy(source, out));
            let (bytes, end) = all(&mut feed);
            assert!(bytes == text, "{} of {}", bytes.len(), text.len());
            assert!(matches!(end, FeedEvent::End { stopped: true }), "{end:?}");
        }
    }

    #[test]
    fn what_is_added_to_a_file_just_before_it_is_replaced_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        for round in 0..12 {
            let mut old = File::create(&path).unwrap();
            old.write_all(b"one\n").unwrap();
            let stop = Arc::new(AtomicBool::new(false));
            let mut feed = Feed::file(&path, true, Arc::clone(&stop)).unwrap();
            let mut lines = Vec::new();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(round % 7));
                    old.write_all(b"two\n").unwrap();
                    std::fs::rename(&path, path.with_extension("1")).unwrap();
                    std::fs::write(&path, "three\n").unwrap();
                });
                while lines != b"one\ntwo\nthree\n" {
                    match feed.next(Some(Duration::from_secs(20))) {
                        FeedEvent::Data(data) => lines.extend_from_slice(&data),
                        FeedEvent::Restarted => assert_eq!(lines, b"one\ntwo\n"),
                        other => panic!("{other:?} after {lines:?}"),
                    }
                }
            });
            stop.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_followed_file_is_quiet_at_its_end_and_starts_again_when_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        std::fs::write(&path, "one\n").unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let mut feed = Feed::file(&path, true, Arc::clone(&stop)).unwrap();
        let wait = Some(Duration::from_secs(20));
        assert!(matches!(feed.next(wait), FeedEvent::Data(data) if data == "one\n"));
        assert!(matches!(
            feed.next(Some(Duration::from_millis(10))),
            FeedEvent::Quiet
        ));
        std::fs::rename(&path, folder.path().join("access.log.1")).unwrap();
        std::fs::write(&path, "two\n").unwrap();
        assert!(matches!(feed.next(wait), FeedEvent::Restarted));
        assert!(matches!(feed.next(wait), FeedEvent::Data(data) if data == "two\n"));
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(feed.next(None), FeedEvent::End { stopped: true }));
    }
}
