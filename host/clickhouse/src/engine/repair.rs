//! Repairs what a killed engine leaves: tokens of blocks that were not stored.
//!
//! A `MergeTree` table with `non_replicated_deduplication_window` writes a
//! block's identifier to its deduplication log *before* the block's part gets its
//! name. An engine killed in between knows the token and lacks the rows, and an
//! insert sent again with that token is then dropped silently: measured in one of
//! thirty kills aimed at the end of an insert. So after an engine did not end in
//! good order, the log's entries without a part are taken out before the next one
//! loads them.
//!
//! An entry also lacks its part when the rows have been deleted or have expired
//! since; forgetting its token means that a replay would insert them again.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder in a table's folder that holds its deduplication log.
const LOG_FOLDER: &str = "deduplication_logs";

/// The operation of an entry that adds a block; others take it back.
const ADD: &str = "1";

/// The numbers of the blocks a part holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part<'a> {
    partition: &'a str,
    first: u64,
    last: u64,
}

impl<'a> Part<'a> {
    /// Reads `PARTITION_FIRST_LAST_LEVEL[_MUTATION]`.
    fn parse(name: &'a str) -> Option<Self> {
        let mut fields = name.split('_');
        let part = Self {
            partition: fields.next()?,
            first: fields.next()?.parse().ok()?,
            last: fields.next()?.parse().ok()?,
        };
        fields.next()?.parse::<u64>().ok()?;
        Some(part)
    }
}

/// Takes the entries without a part out of every table's deduplication log below
/// the database's folder `data`, and returns how many there were.
///
/// No engine may have the folder open.
pub(super) fn forget_lost_blocks(data: &Path) -> io::Result<usize> {
    let mut forgotten = 0;
    // Tables lie in store/abc/UUID or data/DATABASE/TABLE; links lead to the first.
    for root in ["store", "data"] {
        for folder in folders(&data.join(root))? {
            for table in folders(&folder)? {
                forgotten += repair_table(&table)?;
            }
        }
    }
    Ok(forgotten)
}

fn folders(parent: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

fn repair_table(table: &Path) -> io::Result<usize> {
    let logs = match fs::read_dir(table.join(LOG_FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        logs => logs?,
    };
    let mut stored: HashMap<String, Vec<(u64, u64)>> = HashMap::new();
    for folder in folders(table)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if let Some(part) = Part::parse(&name) {
            let blocks = stored.entry(part.partition.to_owned()).or_default();
            blocks.push((part.first, part.last));
        }
    }
    let mut forgotten = 0;
    for log in logs {
        let log = log?.path();
        if log.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = fs::read_to_string(&log)?;
        let (kept, lost) = keep_stored(&text, &stored);
        if kept.len() == text.len() {
            continue;
        }
        let temporary = log.with_extension("txt.new");
        fs::write(&temporary, kept)?;
        fs::rename(&temporary, &log)?;
        forgotten += lost;
    }
    Ok(forgotten)
}

/// Returns a log without the entries whose blocks are in no part, and how many
/// those were. A line cut short by the kill goes, too.
fn keep_stored(text: &str, stored: &HashMap<String, Vec<(u64, u64)>>) -> (String, usize) {
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let mut taken_back = std::collections::HashSet::new();
    for line in whole.lines() {
        let mut fields = line.split('\t');
        if fields.next() != Some(ADD) {
            taken_back.extend(fields.nth(1));
        }
    }
    let is_lost = |line: &str| {
        let mut fields = line.split('\t');
        let (Some(ADD), Some(name), Some(block)) = (fields.next(), fields.next(), fields.next())
        else {
            return false;
        };
        let Some(part) = Part::parse(name) else {
            return false;
        };
        let blocks = stored.get(part.partition).map_or(&[][..], Vec::as_slice);
        let is_stored = blocks
            .iter()
            .any(|&(first, last)| first <= part.first && part.last <= last);
        !is_stored && !taken_back.contains(block)
    };
    let mut kept = String::with_capacity(text.len());
    let mut lost = 0;
    for line in whole.lines() {
        if is_lost(line) {
            lost += 1;
        } else {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    (kept, lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_from_other_folders() {
        let part = |partition, first, last| {
            Some(Part {
                partition,
                first,
                last,
            })
        };
        assert_eq!(Part::parse("20260101_5_9_2"), part("20260101", 5, 9));
        assert_eq!(Part::parse("all_1_1_0_7"), part("all", 1, 1));
        for name in ["tmp_insert_all_1_1_0", "detached", LOG_FOLDER, "all_1_1"] {
            assert_eq!(Part::parse(name), None, "{name}");
        }
    }

    #[test]
    fn only_blocks_without_a_part_are_forgotten() {
        let table = tempfile::tempdir().unwrap();
        let folder = table.path().join("store/abc/uuid");
        let log = folder.join(LOG_FOLDER).join("deduplication_log_1.txt");
        for name in ["a_1_3_1", "a_4_4_0_9", "tmp_insert_a_5_5_0", LOG_FOLDER] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let merged = "1\ta_2_2_0\tmerged\n";
        let mutated = "1\ta_4_4_0\tmutated\n";
        let lost = "1\ta_5_5_0\tlost\n";
        let elsewhere = "1\tb_2_2_0\tanother partition\n";
        let dropped = "1\ta_6_6_0\tdropped\n2\ta_6_6_0\tdropped\n";
        let text = [merged, mutated, lost, elsewhere, dropped, "1\ta_7"].concat();
        fs::write(&log, text).unwrap();
        assert_eq!(forget_lost_blocks(table.path()).unwrap(), 2);
        let kept = fs::read_to_string(&log).unwrap();
        assert_eq!(kept, [merged, mutated, dropped].concat());
        assert_eq!(forget_lost_blocks(table.path()).unwrap(), 0);
    }
}
