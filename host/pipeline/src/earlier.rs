//! What the ledger knows of a source from earlier runs.

use std::collections::HashMap;

use canopy_clickhouse::ledger::{LedgerEntry, State};

use crate::chunk::{ChainHash, Chunk, KnownEnds, chain_hash};
use crate::report::Books;

/// What earlier runs did with a source.
///
/// A chunk of which no record was used, because none could be parsed, is as
/// good as unread: it is tried again, since the settings may have been mended or
/// its line been completed, and nothing of it can come in twice. It does not
/// say where to cut either.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    /// Where chunks ended that must be cut there again.
    pub(crate) ends: KnownEnds,
    done: HashMap<String, Books>,
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
        for (token, entries) in by_token {
            earlier.put(token, entries);
        }
        earlier
    }

    fn put(&mut self, token: String, mut entries: Vec<LedgerEntry>) {
        let Some(last) = entries.last() else { return };
        let (Some(before), Some(after)) = (hash(&last.chain_before), hash(&last.chain_after))
        else {
            return;
        };
        let (start, end) = (last.start_offset, last.end_offset);
        let is_used = |entry: &LedgerEntry| entry.inserted_records + entry.dropped > 0;
        if !entries.iter().any(is_used) {
            self.unused
                .entry((start, before))
                .or_default()
                .extend(entries.pop());
            return;
        }
        self.ends.insert(start, before, end, after);
        let done = |entry: &&LedgerEntry| entry.state == State::Done && is_used(entry);
        if let Some(entry) = entries.iter().rfind(done) {
            self.done.insert(token, books(entry));
        }
    }

    /// Returns what became of a chunk that was stored already.
    pub(crate) fn done(&self, chunk: &Chunk) -> Option<Books> {
        self.done.get(&chunk.token()).copied()
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
