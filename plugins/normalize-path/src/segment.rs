//! One segment of a path: what in it is a value, and what is a name.
//!
//! The rules are guesses, made so that the same kind of thing always becomes
//! the same template; what they cannot know, a rule of the operator says.

use canopy_sdk::prelude::*;

use crate::forms;
use crate::shape::{self, Counts};

/// A template in the making: the path, of which what is not replaced is copied
/// in as few pieces as can be.
pub(crate) struct Template<'p, 'o> {
    path: &'p str,
    /// How much of the path is in the template.
    done: usize,
    out: &'o mut Text,
}

impl<'p, 'o> Template<'p, 'o> {
    /// Returns the template of `path` with nothing in it yet; it is appended
    /// to `out`.
    pub(crate) fn new(path: &'p str, out: &'o mut Text) -> Self {
        Template { path, done: 0, out }
    }

    /// Puts `placeholder` where the path has the bytes from `from` to `to`,
    /// which must be where characters start.
    #[inline]
    pub(crate) fn replace(&mut self, from: usize, to: usize, placeholder: &str) {
        self.out.push_str(&self.path[self.done..from]);
        self.out.push_str(placeholder);
        self.done = to;
    }

    /// Ends the template with what was not replaced before `end`.
    pub(crate) fn finish(self, end: usize) {
        if self.done < end {
            self.out.push_str(&self.path[self.done..end]);
        }
    }
}

/// Replaces the values in the segment that starts at `start`. Returns where it
/// ends: at a `/`, a `?` or the path's end.
#[inline]
pub(crate) fn replace_values(template: &mut Template<'_, '_>, start: usize) -> usize {
    let path = template.path.as_bytes();
    let (counts, end) = Counts::of_segment(path, start);
    let segment = &path[start..end];
    if (counts.digits() == 0 && counts.upper() == 0) || segment.len() >= shape::MAX_LEN {
        return end;
    }
    if counts.digits() == segment.len() {
        if let Some(len) = forms::date_of_segments_len(&path[start..]) {
            template.replace(start, start + len, ":date");
            return start + len;
        }
        let is_date = forms::is_compact_date(segment);
        template.replace(start, end, if is_date { ":date" } else { ":id" });
    } else if counts.is_scrambled(segment) {
        template.replace(start, end, ":hash");
    } else {
        by_token(template, start, end);
    }
    end
}

/// Replaces the tokens that are values: tokens are what lies between
/// punctuation marks.
fn by_token(template: &mut Template<'_, '_>, start: usize, end: usize) {
    let segment = &template.path.as_bytes()[start..end];
    let (stem, extension) = segment.split_at(stem_len(segment));
    let mut at = 0;
    while at < stem.len() {
        let (counts, token_end) = Counts::of_token(stem, at);
        let token = Token {
            bytes: &stem[at..token_end],
            counts,
            before: at.checked_sub(1).map(|index| stem[index]),
            is_last: token_end == stem.len(),
            extension,
        };
        // Values are ASCII, and tokens lie between ASCII, so both start and
        // end where characters do.
        if let Some((len, placeholder)) = token.longer(&stem[at..]) {
            template.replace(start + at, start + at + len, placeholder);
            at += len;
        } else {
            if let Some((offset, placeholder)) = token.value() {
                template.replace(start + at + offset, start + token_end, placeholder);
            }
            at = token_end;
        }
        at += 1;
    }
}

struct Token<'s> {
    bytes: &'s [u8],
    counts: Counts,
    /// The mark before it.
    before: Option<u8>,
    /// Whether only the file's extension follows.
    is_last: bool,
    /// The extension with its dot, or nothing.
    extension: &'s [u8],
}

impl Token<'_> {
    /// Where a value of several tokens starts with this one, returns its
    /// length and the placeholder; `rest` is the stem from the token on.
    #[inline]
    fn longer(&self, rest: &[u8]) -> Option<(usize, &'static str)> {
        match self.bytes.len() {
            8 if self.counts.is_hex(8) => forms::uuid_len(rest).map(|len| (len, ":uuid")),
            4 if self.counts.digits() == 4 => forms::date_len(rest).map(|len| (len, ":date")),
            _ => None,
        }
    }

    /// Returns where in the token a value starts that goes to its end, and the
    /// placeholder.
    #[inline]
    fn value(&self) -> Option<(usize, &'static str)> {
        let len = self.bytes.len();
        let digits = self.counts.digits();
        if digits == 0 && self.counts.upper() == 0 {
            return None;
        }
        if digits == len {
            // `page-2`, but not `jquery-3.7.1`.
            let is_number = self.is_last && matches!(self.before, Some(b'-' | b'_'));
            let is_long = len >= 4;
            return (is_number || is_long).then_some((0, ":id"));
        }
        let is_hash = self.counts.is_hash(self.bytes) || self.counts.is_scrambled(self.bytes);
        if is_hash || self.is_fingerprint() {
            return Some((0, ":hash"));
        }
        if digits == 0 || !self.counts.is_alphanumeric(len) {
            return None;
        }
        // There are a few sizes, not one for each request.
        if forms::is_size(self.bytes) {
            return None;
        }
        // `order12345`, and `segment7.ts`, but not `h264.js`.
        let is_digit = |byte: &&u8| byte.is_ascii_digit();
        let last_digits = self.bytes.iter().rev().take_while(is_digit).count();
        let is_numbered_media = self.is_last && last_digits > 0 && is_media(self.extension);
        (is_numbered_media || last_digits >= 5).then_some((len - last_digits, ":id"))
    }

    /// Whether it is the fingerprint a bundler put into a file's name
    /// (`index-DiwrgTda.js`): eight letters and digits of changing class.
    fn is_fingerprint(&self) -> bool {
        self.is_last
            && self.bytes.len() == 8
            && matches!(self.before, Some(b'-' | b'.'))
            && self.counts.is_alphanumeric(8)
            && shape::changes(self.bytes) >= 4
            && is_bundled(self.extension)
    }
}

/// Returns the length of the segment without the extension: a dot and one to
/// five letters or digits, not all of them digits (`.js`, `.mp4`).
fn stem_len(segment: &[u8]) -> usize {
    const MAX_EXTENSION: usize = 5;
    for len in 1..=MAX_EXTENSION {
        let Some(dot @ 1..) = segment.len().checked_sub(len + 1) else {
            break;
        };
        if segment[dot] == b'.' {
            let (counts, end) = Counts::of_token(segment, dot + 1);
            let is_extension =
                end == segment.len() && counts.is_alphanumeric(len) && counts.digits() < len;
            return if is_extension { dot } else { segment.len() };
        }
    }
    segment.len()
}

/// Whether files with this extension come in numbered series: pieces of a
/// stream, and pictures.
fn is_media(extension: &[u8]) -> bool {
    const MEDIA: [&str; 16] = [
        ".ts", ".m4s", ".m4a", ".m4v", ".aac", ".mp4", ".cmfv", ".cmfa", ".vtt", ".webm", ".jpg",
        ".jpeg", ".png", ".webp", ".avif", ".gif",
    ];
    is_one_of(extension, &MEDIA)
}

/// Whether bundlers put fingerprints into the names of such files.
fn is_bundled(extension: &[u8]) -> bool {
    const BUNDLED: [&str; 12] = [
        ".js", ".mjs", ".css", ".map", ".woff", ".woff2", ".ttf", ".svg", ".png", ".jpg", ".webp",
        ".json",
    ];
    is_one_of(extension, &BUNDLED)
}

fn is_one_of(extension: &[u8], known: &[&str]) -> bool {
    known
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known.as_bytes()))
}
