//! What the ledger knows of a source from earlier runs.

use std::collections::{HashMap, HashSet};

use canopy_clickhouse::ledger::{LedgerEntry, State};

use crate::chunk::{ChainHash, Chunk, KnownEnds, chain_hash};
use crate::report::Books;

/// What earlier runs did with a source.
///
/// A chunk of which no record was used, because none could be parsed, is as
/// good as unread: it is tried again, since the settings may have been mended or
/// its line been completed, and nothing of it can come in twice. It says where
/// to cut only where a chunk that was used begins at its end: that chunk's token
/// stands for the cuts before it too, so they must be made again.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    /// Where chunks ended that must be cut there again.
    pub(crate) ends: KnownEnds,
    done: HashMap<String, Books>,
    uncertain: HashSet<String>,
    unused: HashMap<(u64, ChainHash), Vec<LedgerEntry>>,
}

impl Earlier {
    /// Reads the entries of one source, in the order they were written.
    pub(crate) fn new(entries: Vec<LedgerEntry>) -> Earlier {
        let mut by_token: HashMap<String, Vec<LedgerEntry>> = HashMap::new();
        for entry in entries {
            by_token.entry(entry.token.clone()).or_default().push(entry);
        }
        let mut earlier = Earlier::default();
        let mut used = Vec::new();
        for (token, entries) in by_token {
            used.extend(earlier.put(token, entries));
        }
        earlier.keep_cuts_before(used);
        earlier
    }

    /// Takes in the entries of one token; returns where its chunk begins if
    /// something of it was used.
    fn put(&mut self, token: String, mut entries: Vec<LedgerEntry>) -> Option<(u64, ChainHash)> {
        let last = entries.last()?;
        let (before, after) = (hash(&last.chain_before)?, hash(&last.chain_after)?);
        let (start, end) = (last.start_offset, last.end_offset);
        let is_used = |entry: &LedgerEntry| entry.inserted_records + entry.dropped > 0;
        if !entries.iter().any(is_used) {
            self.unused
                .entry((start, before))
                .or_default()
                .extend(entries.pop());
            return None;
        }
        self.ends.insert(start, before, end, after);
        let done = |entry: &&LedgerEntry| entry.state == State::Done && is_used(entry);
        if let Some(entry) = entries.iter().rfind(done) {
            self.done.insert(token, books(entry));
        } else {
            self.uncertain.insert(token);
        }
        Some((start, before))
    }

    /// Keeps the ends of unused chunks that lead to one of `places`.
    fn keep_cuts_before(&mut self, mut places: Vec<(u64, ChainHash)>) {
        let mut by_end: HashMap<(u64, ChainHash), Vec<(u64, ChainHash)>> = HashMap::new();
        for (&place, entries) in &self.unused {
            for entry in entries {
                if let Some(after) = hash(&entry.chain_after) {
                    let end = (entry.end_offset, after);
                    by_end.entry(end).or_default().push(place);
                }
            }
        }
        while let Some(end) = places.pop() {
            for place in by_end.remove(&end).into_iter().flatten() {
                self.ends.insert(place.0, place.1, end.0, end.1);
                places.push(place);
            }
        }
    }

    /// Returns what became of a chunk that was stored already.
    pub(crate) fn done(&self, chunk: &Chunk) -> Option<Books> {
        self.done.get(&chunk.token()).copied()
    }

    /// Whether an earlier run may have stored this chunk, and its end kept it
    /// from saying so.
    pub(crate) fn is_uncertain(&self, chunk: &Chunk) -> bool {
        self.uncertain.contains(&chunk.token())
    }

    /// Returns the chunks whose bytes all lie in this one, which was cut
    /// otherwise: their records set aside are set aside no more.
    pub(crate) fn superseded(&self, chunk: &Chunk) -> Vec<LedgerEntry> {
        let token = chunk.token();
        let mut superseded: Vec<LedgerEntry> = Vec::new();
        let mut places = vec![(chunk.start, chunk.chain_before)];
        while let Some(place) = places.pop() {
            for entry in self.unused.get(&place).into_iter().flatten() {
                let (start, end) = (place.0 - chunk.start, entry.end_offset - chunk.start);
                let Some(bytes) = chunk.data.get(start as usize..end as usize) else {
                    continue;
                };
                let after = chain_hash(&place.1, bytes);
                if hash(&entry.chain_after) == Some(after) && entry.token != token {
                    superseded.push(entry.clone());
                    if !bytes.is_empty() {
                        places.push((entry.end_offset, after));
                    }
                }
            }
        }
        superseded
    }
}

fn books(entry: &LedgerEntry) -> Books {
    Books {
        records: entry.records,
        inserted: entry.inserted_records,
        dropped: entry.dropped,
        quarantined: entry.quarantined,
    }
}

fn hash(hex: &str) -> Option<ChainHash> {
    let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// The chunk of these bytes after `before`.
    fn chunk(start: u64, before: ChainHash, data: &'static [u8]) -> Chunk {
        Chunk {
            data: Bytes::from_static(data),
            start,
            first_line: 1,
            chain_before: before,
            chain_after: chain_hash(&before, data),
            early: true,
            piece: None,
        }
    }

    fn entry(chunk: &Chunk, state: State, inserted: u64, quarantined: u64) -> LedgerEntry {
        LedgerEntry {
            at: 0,
            source: "s".to_owned(),
            label: "a.log".to_owned(),
            kind: "file".to_owned(),
            start_offset: chunk.start,
            end_offset: chunk.end(),
            chain_before: data_encoding::HEXLOWER.encode(&chunk.chain_before),
            chain_after: data_encoding::HEXLOWER.encode(&chunk.chain_after),
            token: chunk.token(),
            state,
            records: inserted + quarantined,
            inserted_records: inserted,
            inserted_rows: inserted,
            dropped: 0,
            quarantined,
            tail: chunk.early,
        }
    }

    #[test]
    fn a_chunk_is_done_when_the_ledger_says_so_and_not_when_it_was_planned() {
        let chunk = chunk(0, [0; 32], b"a\n");
        let planned = entry(&chunk, State::Planned, 1, 0);
        let earlier = Earlier::new(vec![planned.clone()]);
        assert_eq!(earlier.done(&chunk), None);
        assert!(earlier.is_uncertain(&chunk), "it may have been inserted");
        let earlier = Earlier::new(vec![planned, entry(&chunk, State::Done, 1, 0)]);
        assert_eq!(earlier.done(&chunk).map(|books| books.inserted), Some(1));
        assert!(!earlier.is_uncertain(&chunk));
    }

    #[test]
    fn a_chunk_of_which_nothing_was_used_is_tried_again() {
        let chunk = chunk(0, [0; 32], b"a\n");
        let earlier = Earlier::new(vec![entry(&chunk, State::Done, 0, 1)]);
        assert_eq!(earlier.done(&chunk), None);
        assert!(!earlier.is_uncertain(&chunk), "nothing of it was to go in");
        assert_eq!(earlier.superseded(&chunk), []);
        // Later it went in.
        let entries = vec![
            entry(&chunk, State::Done, 0, 1),
            entry(&chunk, State::Planned, 1, 0),
            entry(&chunk, State::Done, 1, 0),
        ];
        assert!(Earlier::new(entries).done(&chunk).is_some());
    }

    #[test]
    fn an_unused_chunk_is_cut_again_where_a_used_one_follows_it() {
        let first = chunk(0, [0; 32], b"bad\n");
        let second = chunk(4, first.chain_after, b"worse\n");
        let used = chunk(10, second.chain_after, b"good\n");
        let last = chunk(15, used.chain_after, b"hal");
        let cut_at = |entries: Vec<LedgerEntry>| {
            let earlier = Earlier::new(entries);
            [&first, &second, &used, &last].map(|chunk| {
                earlier.ends.at(chunk.start, chunk.chain_before)
                    == [(chunk.end(), chunk.chain_after)]
            })
        };
        let unused = [&first, &second, &last].map(|c| entry(c, State::Done, 0, 1));
        assert_eq!(cut_at(unused.to_vec()), [false; 4]);
        for state in [State::Planned, State::Done] {
            let mut entries = unused.to_vec();
            entries.push(entry(&used, state, 1, 0));
            // A last line caught half written may still become whole.
            assert_eq!(cut_at(entries.clone()), [true, true, true, false]);
            assert_eq!(Earlier::new(entries).done(&first), None, "tried again");
        }
    }

    #[test]
    fn unused_chunks_are_superseded_by_the_one_that_holds_their_bytes() {
        let first = chunk(0, [0; 32], b"ha");
        let second = chunk(2, first.chain_after, b"lf ");
        let other = chunk(0, [0; 32], b"hb");
        let entries = [&first, &second, &other].map(|c| entry(c, State::Done, 0, 1));
        let earlier = Earlier::new(entries.to_vec());
        let tokens = |chunk: &Chunk| -> Vec<String> {
            let superseded = earlier.superseded(chunk);
            superseded.into_iter().map(|entry| entry.token).collect()
        };
        let whole = chunk(0, [0; 32], b"half a line\n");
        assert_eq!(tokens(&whole), [first.token(), second.token()]);
        let shorter = chunk(0, [0; 32], b"hal");
        assert_eq!(tokens(&shorter), [first.token()]);
        assert!(tokens(&chunk(7, [0; 32], b"half a line\n")).is_empty());
    }
}
