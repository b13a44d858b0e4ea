//! A source cut into chunks, the same way every time.
//!
//! A chunk is whole lines and becomes one batch and one insert. Where it ends
//! depends on the bytes alone (so many lines, or so many bytes), so a second
//! run cuts the same chunks and gives their inserts the same tokens. A chunk
//! that ends early, at the end of a growing file or because a pipe is slow,
//! is marked [`Chunk::early`]; the ledger remembers where it ended, and the
//! next run cuts there again. A last line without its end is a chunk of its
//! own, so that a line caught half written can be taken whole later. Where it
//! is known to be half a line, because the source broke off, it is not parsed:
//! cut within its last field it would look like a record. At the end of a plain
//! file this cannot be known.
//!
//! What this cannot tell: a copy that breaks off within a chunk that was
//! stored whole. Up to a chunk of its records is then stored a second time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::feed::{Feed, FeedEvent};

/// A line longer than this is not a log line: it is set aside in pieces of
/// this size, so that memory stays bounded.
pub const MAX_LINE_BYTES: usize = 32 << 20;

/// How much of a source's first record makes its identity, at most.
const IDENTITY_BYTES: usize = 64 << 10;

/// How far into a source its first record is looked for.
const HEAD_BYTES: usize = 1 << 20;

/// How much of a source is looked at to tell its format.
const DETECT_BYTES: usize = 256 << 10;

/// A running hash over everything in the source up to a point.
pub type ChainHash = [u8; 32];

/// How large chunks are.
#[derive(Clone, Copy, Debug)]
pub struct ChunkSettings {
    /// A chunk ends after this many lines,
    pub max_lines: usize,
    /// or with the line that makes it at least this many bytes.
    pub max_bytes: usize,
    /// A whole line waits at most this long for its chunk to fill. Absent:
    /// until the source's end.
    pub flush_after: Option<Duration>,
}

impl Default for ChunkSettings {
    /// 32,768 lines or 16 MiB: an insert of about 20,000 full real-time lines.
    fn default() -> Self {
        ChunkSettings {
            max_lines: 32_768,
            max_bytes: 16 << 20,
            flush_after: None,
        }
    }
}

/// Whole lines of a source.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The lines with their ends.
    pub data: Bytes,
    /// Where it starts in the source, in (uncompressed) bytes.
    pub start: u64,
    /// The number of its first line, from 1.
    pub first_line: u64,
    /// The hash of all that lies before it.
    pub chain_before: ChainHash,
    /// The hash of all up to its end.
    pub chain_after: ChainHash,
    /// Whether it ended before it was full.
    pub early: bool,
    /// What piece of a line it is, where it is no whole lines: such a piece
    /// must not be taken for a record, even where it looks like one.
    pub piece: Option<Piece>,
}

/// A piece of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Of a line longer than [`MAX_LINE_BYTES`].
    TooLong,
    /// The beginning of a line in which the source broke off.
    BrokenOff,
    /// The beginning of a line in which a pipe was stopped, which will not give
    /// it again.
    Stopped,
}

impl Chunk {
    /// Where it ends in the source.
    pub fn end(&self) -> u64 {
        self.start + self.data.len() as u64
    }

    /// Returns the insert's deduplication token: it stands for these records
    /// at this place of this content, under whatever name the source came.
    pub fn token(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"canopy lines 1");
        hasher.update(&self.chain_before);
        hasher.update(&self.start.to_le_bytes());
        hasher.update(&self.end().to_le_bytes());
        hasher.update(&self.chain_after);
        hasher.finalize().to_hex().to_string()
    }
}

/// Where earlier runs ended chunks, by start and the hash of what lies before.
#[derive(Clone, Debug, Default)]
pub struct KnownEnds {
    ends: HashMap<(u64, ChainHash), Vec<(u64, ChainHash)>>,
}

impl KnownEnds {
    /// Remembers a chunk of an earlier run.
    pub fn insert(&mut self, start: u64, before: ChainHash, end: u64, after: ChainHash) {
        let ends = self.ends.entry((start, before)).or_default();
        if !ends.contains(&(end, after)) {
            ends.push((end, after));
            // The longest first, because it covers the others.
            ends.sort_by_key(|&(end, _)| std::cmp::Reverse(end));
        }
    }

    /// Returns the ends of chunks that started here, the longest first.
    pub(crate) fn at(&self, start: u64, before: ChainHash) -> &[(u64, ChainHash)] {
        self.ends.get(&(start, before)).map_or(&[], Vec::as_slice)
    }
}

/// What a chunker gives.
#[derive(Debug)]
pub enum Cut {
    /// The next chunk.
    Chunk(Chunk),
    /// The followed file was replaced: identity and offsets begin anew.
    Restarted,
    /// The end of the source.
    End,
    /// A stop was asked for before the end.
    Stopped,
    /// The source broke off: why. Everything it gave came out before.
    Broken(String),
}

/// How a feed stands.
#[derive(Debug)]
enum State {
    Open,
    Quiet,
    Restarted,
    End { stopped: bool },
    Broken(String),
}

/// Cuts a feed into chunks.
#[derive(Debug)]
pub struct Chunker {
    feed: Feed,
    settings: ChunkSettings,
    buffer: BytesMut,
    start: u64,
    line: u64,
    chain: ChainHash,
    state: State,
}

impl Chunker {
    /// Starts at the beginning of a feed.
    pub fn new(feed: Feed, settings: ChunkSettings) -> Chunker {
        Chunker {
            feed,
            settings,
            buffer: BytesMut::new(),
            start: 0,
            line: 1,
            chain: [0; 32],
            state: State::Open,
        }
    }

    /// Returns the first bytes of the source, enough to hold its first record
    /// where it has one, for telling its format. Does not consume them.
    pub fn head(&mut self) -> &[u8] {
        while self.first_record().is_none() && self.buffer.len() < HEAD_BYTES && self.fill(None) {}
        &self.buffer
    }

    /// Looks further into the source than [`Chunker::head`] did, where that was
    /// not enough to tell its format; false where there is no more to see.
    pub fn look_further(&mut self) -> bool {
        self.buffer.len() < DETECT_BYTES && self.fill(self.settings.flush_after)
    }

    /// Returns the identity of the source's content: the hash of its first
    /// record, which stays the same while the source grows.
    pub fn identity(&mut self) -> String {
        self.head();
        let known = &self.buffer[..self.buffer.len().min(HEAD_BYTES)];
        let hash = blake3::hash(self.first_record().unwrap_or(known));
        hash.to_hex()[..32].to_owned()
    }

    fn first_record(&self) -> Option<&[u8]> {
        let ended = !matches!(self.state, State::Open | State::Quiet);
        first_record(&self.buffer[..self.buffer.len().min(HEAD_BYTES)], ended)
    }

    /// Takes in the next block; false where the feed has no more for now.
    fn fill(&mut self, patience: Option<Duration>) -> bool {
        if !matches!(self.state, State::Open | State::Quiet) {
            return false;
        }
        self.state = match self.feed.next(patience) {
            FeedEvent::Data(data) => {
                self.buffer.extend_from_slice(&data);
                State::Open
            }
            FeedEvent::Quiet => State::Quiet,
            FeedEvent::Restarted => State::Restarted,
            FeedEvent::End { stopped } => State::End { stopped },
            FeedEvent::Broken(reason) => State::Broken(reason),
        };
        matches!(self.state, State::Open)
    }

    /// Cuts the next chunk, ending it where an earlier run did.
    pub fn next(&mut self, known: &KnownEnds) -> Cut {
        match self.known_end(known) {
            Known::At(length) => return Cut::Chunk(self.take(length, false, None)),
            // What came so far is or will be stored as a part of a known
            // chunk, so it must not be stored as another.
            Known::Unreached => return Cut::Stopped,
            Known::No => {}
        }
        let mut scan = Scan::default();
        let mut first_line_at = Instant::now();
        loop {
            scan.over(&self.buffer, &self.settings);
            if scan.full {
                return Cut::Chunk(self.take(scan.whole_lines, false, None));
            }
            // The line after the last whole one is too long to wait for its end.
            if scan.oversize || self.buffer.len() - scan.whole_lines >= MAX_LINE_BYTES {
                return Cut::Chunk(if scan.whole_lines > 0 {
                    self.take(scan.whole_lines, false, None)
                } else {
                    self.take(MAX_LINE_BYTES, false, Some(Piece::TooLong))
                });
            }
            if scan.whole_lines == 0 {
                first_line_at = Instant::now();
            }
            let patience = self
                .settings
                .flush_after
                .map(|longest| longest.saturating_sub(first_line_at.elapsed()));
            if self.fill(patience) {
                continue;
            }
            match &self.state {
                State::Open => {}
                // Whole lines first; a last one without its end comes by itself.
                _ if scan.whole_lines > 0 => {
                    return Cut::Chunk(self.take(scan.whole_lines, true, None));
                }
                State::Quiet => {}
                State::End { stopped: true }
                    if self.buffer.is_empty() || !self.feed.gives_once() =>
                {
                    return Cut::Stopped;
                }
                // A line without its end is a record too where nothing follows.
                state if !self.buffer.is_empty() => {
                    let piece = match state {
                        State::Broken(_) => Some(Piece::BrokenOff),
                        State::End { stopped: true } => Some(Piece::Stopped),
                        _ => None,
                    };
                    return Cut::Chunk(self.take(self.buffer.len(), true, piece));
                }
                State::End { stopped: true } => return Cut::Stopped,
                State::End { stopped: false } => return Cut::End,
                State::Broken(reason) => {
                    let reason = reason.clone();
                    self.state = State::End { stopped: false };
                    return Cut::Broken(reason);
                }
                State::Restarted => {
                    (self.start, self.line, self.chain) = (0, 1, [0; 32]);
                    self.state = State::Open;
                    return Cut::Restarted;
                }
            }
        }
    }

    /// Looks for a chunk that an earlier run cut here, waiting for the bytes it
    /// had. Never waits for more than the largest chunk has.
    fn known_end(&mut self, known: &KnownEnds) -> Known {
        let mut answer = Known::No;
        for &(end, after) in known.at(self.start, self.chain) {
            let length = usize::try_from(end.saturating_sub(self.start)).unwrap_or(usize::MAX);
            if length == 0 || length > self.settings.max_bytes + MAX_LINE_BYTES {
                continue;
            }
            while self.buffer.len() < length && matches!(self.state, State::Open | State::Quiet) {
                self.fill(None);
            }
            if self.buffer.len() >= length {
                if chain_hash(&self.chain, &self.buffer[..length]) == after {
                    return Known::At(length);
                }
            } else if matches!(self.state, State::End { stopped: true }) {
                answer = Known::Unreached;
            }
        }
        answer
    }

    fn take(&mut self, length: usize, early: bool, piece: Option<Piece>) -> Chunk {
        let data = self.buffer.split_to(length).freeze();
        let chunk = Chunk {
            start: self.start,
            first_line: self.line,
            chain_before: self.chain,
            chain_after: chain_hash(&self.chain, &data),
            early,
            piece,
            data,
        };
        self.start = chunk.end();
        self.line += memchr::memchr_iter(b'\n', &chunk.data).count() as u64;
        self.chain = chunk.chain_after;
        chunk
    }
}

/// Whether an earlier run ended a chunk ahead.
enum Known {
    /// So many bytes ahead, with the same bytes.
    At(usize),
    /// Perhaps: a stop came before all its bytes did.
    Unreached,
    /// No.
    No,
}

/// Counts whole lines in a growing buffer without looking at a byte twice.
#[derive(Default)]
struct Scan {
    scanned: usize,
    lines: usize,
    whole_lines: usize,
    full: bool,
    /// The line after the whole ones is too long, though its end is in sight:
    /// how much of it was read at once must make no difference.
    oversize: bool,
}

impl Scan {
    fn over(&mut self, buffer: &[u8], settings: &ChunkSettings) {
        for newline in memchr::memchr_iter(b'\n', &buffer[self.scanned..]) {
            let end = self.scanned + newline + 1;
            if end - self.whole_lines > MAX_LINE_BYTES {
                self.oversize = true;
                return;
            }
            self.lines += 1;
            self.whole_lines = end;
            if self.lines >= settings.max_lines || self.whole_lines >= settings.max_bytes {
                self.full = true;
                return;
            }
        }
        self.scanned = buffer.len();
    }
}

/// Returns the hash of `data` after what `before` stands for.
pub(crate) fn chain_hash(before: &ChainHash, data: &[u8]) -> ChainHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    hasher.update(data);
    *hasher.finalize().as_bytes()
}

/// Returns the first line that is neither blank nor a W3C directive, without
/// blanks around it and at most [`IDENTITY_BYTES`] of it; nothing where more
/// bytes are needed to know it.
fn first_record(bytes: &[u8], ended: bool) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        let end = memchr::memchr(b'\n', rest);
        let line = rest[..end.unwrap_or(rest.len())].trim_ascii_start();
        if !line.is_empty() && !line.starts_with(b"#") {
            let known = end.is_some() || ended || line.len() >= IDENTITY_BYTES;
            let cut = &line[..line.len().min(IDENTITY_BYTES)];
            return known.then(|| cut.trim_ascii_end());
        }
        rest = &rest[end? + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Arc;

    fn chunker(bytes: &[u8], max_lines: usize) -> (Chunker, tempfile::NamedTempFile) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let settings = ChunkSettings {
            max_lines,
            ..ChunkSettings::default()
        };
        let feed = Feed::file(file.path(), false, Arc::default()).unwrap();
        (Chunker::new(feed, settings), file)
    }

    fn chunks(bytes: &[u8], max_lines: usize, known: &KnownEnds) -> Vec<Chunk> {
        let (mut chunker, _file) = chunker(bytes, max_lines);
        let mut chunks = Vec::new();
        loop {
            match chunker.next(known) {
                Cut::Chunk(chunk) => chunks.push(chunk),
                Cut::End => return chunks,
                other => panic!("{other:?}"),
            }
        }
    }

    fn tokens(chunks: &[Chunk]) -> Vec<String> {
        chunks.iter().map(Chunk::token).collect()
    }

    #[test]
    fn chunks_are_whole_lines_numbered_from_one() {
        let cut = chunks(b"a\nb\r\nc\nd", 2, &KnownEnds::default());
        let seen: Vec<_> = cut
            .iter()
            .map(|chunk| (chunk.first_line, chunk.start, &chunk.data[..], chunk.early))
            .collect();
        assert_eq!(
            seen,
            [
                (1, 0, &b"a\nb\r\n"[..], false),
                (3, 5, &b"c\n"[..], true),
                (4, 7, &b"d"[..], true)
            ]
        );
    }

    #[test]
    fn the_same_bytes_give_the_same_tokens_and_others_do_not() {
        let known = KnownEnds::default();
        let first = tokens(&chunks(b"a\nb\nc\nd\n", 2, &known));
        assert_eq!(first, tokens(&chunks(b"a\nb\nc\nd\n", 2, &known)));
        // The second chunk has the same lines, but not after the same ones.
        assert_ne!(first[1], tokens(&chunks(b"x\nb\nc\nd\n", 2, &known))[1]);
    }

    #[test]
    fn a_grown_source_is_cut_again_where_it_ended_before() {
        let before = chunks(b"a\nb\nc\n", 2, &KnownEnds::default());
        let mut known = KnownEnds::default();
        for chunk in &before {
            known.insert(
                chunk.start,
                chunk.chain_before,
                chunk.end(),
                chunk.chain_after,
            );
        }
        let after = chunks(b"a\nb\nc\nd\ne\nf\n", 2, &known);
        assert_eq!(tokens(&after)[..2], tokens(&before)[..]);
        assert_eq!(&after[2].data[..], b"d\ne\n");
    }

    #[test]
    fn another_source_is_not_cut_where_this_one_ended() {
        let mut known = KnownEnds::default();
        for chunk in &chunks(b"a\nb\nc\n", 5, &KnownEnds::default()) {
            known.insert(
                chunk.start,
                chunk.chain_before,
                chunk.end(),
                chunk.chain_after,
            );
        }
        assert_eq!(chunks(b"a\nX\nc\nd\n", 5, &known).len(), 1);
    }

    #[test]
    fn identity_is_the_first_record_and_survives_growth() {
        let identity = |bytes: &[u8]| chunker(bytes, 10).0.identity();
        let grown = identity(b"#Version: 1.0\n#Fields: date\n\n2026-01-01\n2026-01-02\n");
        assert_eq!(
            grown,
            identity(b"#Version: 1.0\n#Fields: date\n\n2026-01-01\n")
        );
        assert_eq!(
            grown,
            identity(b"#Version: 1.0\n#Fields: date\n\n2026-01-01")
        );
        assert_ne!(
            grown,
            identity(b"#Version: 1.0\n#Fields: date\n\n2026-01-03\n")
        );
    }

    #[test]
    fn a_stop_before_a_known_chunk_is_there_cuts_nothing() {
        let mut known = KnownEnds::default();
        for chunk in &chunks(b"a\nb\nc\n", 5, &KnownEnds::default()) {
            known.insert(
                chunk.start,
                chunk.chain_before,
                chunk.end(),
                chunk.chain_after,
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, "a\nb\n").unwrap();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let feed = Feed::file(&path, true, Arc::clone(&stop)).unwrap();
        let mut chunker = Chunker::new(feed, ChunkSettings::default());
        assert_eq!(chunker.head(), b"a\nb\n");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(matches!(chunker.next(&known), Cut::Stopped));
    }

    #[test]
    fn a_line_in_which_the_source_breaks_off_is_no_record() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(b"a\tb\nc\td and more\n").unwrap();
        let mut packed = encoder.finish().unwrap();
        // The trailer's 8 bytes, and of the text all after the `d`.
        packed.truncate(packed.len() - 8 - b" and more\n".len());
        let (mut chunker, _file) = chunker(&packed, 10);
        let known = KnownEnds::default();
        let seen = [(); 2].map(|()| match chunker.next(&known) {
            Cut::Chunk(chunk) => (chunk.data, chunk.piece),
            other => panic!("{other:?}"),
        });
        assert_eq!(seen[0], (Bytes::from_static(b"a\tb\n"), None));
        assert_eq!(
            seen[1],
            (Bytes::from_static(b"c\td"), Some(Piece::BrokenOff))
        );
        assert!(matches!(chunker.next(&known), Cut::Broken(_)));
        assert!(matches!(chunker.next(&known), Cut::End));
    }

    #[test]
    fn half_a_line_of_a_stopped_pipe_is_not_lost_and_that_of_a_file_is_read_again() {
        for once in [true, false] {
            let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let feed = Feed::of(b"a\nhalf", once, Arc::clone(&stop));
            let mut chunker = Chunker::new(feed, ChunkSettings::default());
            assert_eq!(chunker.head(), b"a\nhalf");
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            let known = KnownEnds::default();
            assert!(matches!(chunker.next(&known), Cut::Chunk(chunk) if chunk.data == "a\n"));
            if once {
                assert!(matches!(
                    chunker.next(&known),
                    Cut::Chunk(chunk) if chunk.data == "half" && chunk.piece == Some(Piece::Stopped)
                ));
            }
            assert!(matches!(chunker.next(&known), Cut::Stopped));
        }
    }

    #[test]
    fn lines_wait_no_longer_than_asked_though_more_keep_coming() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"0\n").unwrap();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let feed = Feed::file(&path, true, Arc::clone(&stop)).unwrap();
        let settings = ChunkSettings {
            flush_after: Some(Duration::from_millis(300)),
            ..ChunkSettings::default()
        };
        let mut chunker = Chunker::new(feed, settings);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    file.write_all(b"more\n").unwrap();
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            let cut = chunker.next(&KnownEnds::default());
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(matches!(cut, Cut::Chunk(chunk) if chunk.early && chunk.start == 0));
        });
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    #[test]
    fn a_line_without_end_in_sight_comes_out_in_pieces() {
        let mut bytes = b"good\n".to_vec();
        bytes.resize(bytes.len() + MAX_LINE_BYTES + 10, b'x');
        bytes.extend_from_slice(b"\nlast\n");
        let cut = chunks(&bytes, 100, &KnownEnds::default());
        let seen: Vec<_> = cut.iter().map(|c| (c.data.len(), c.piece)).collect();
        assert_eq!(
            seen,
            [
                (5, None),
                (MAX_LINE_BYTES, Some(Piece::TooLong)),
                (10 + 1 + 5, None)
            ]
        );
        assert_eq!(cut.iter().map(|c| c.data.len()).sum::<usize>(), bytes.len());
    }
}
