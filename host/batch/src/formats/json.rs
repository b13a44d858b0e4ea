//! Standard logging v2 as JSON: one object a line.

use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::schema::FIELDS;

use super::block::{Block, Cell};
use super::fault;
use super::plan::{Clock, Plan, StandardField, Step, standard_field};
use super::table::Slots;
use super::value::shown;

/// The slot of each column is its index in [`FIELDS`], then these.
const DATE: usize = FIELDS.len();
const TIME: usize = DATE + 1;
const MILLIS: usize = TIME + 1;
const SLOT_COUNT: usize = MILLIS + 1;

/// Reads JSON lines into blocks.
#[derive(Debug)]
pub(super) struct JsonLines {
    plan: Plan,
    keys: Keys,
    /// The values of the block's records, without quotes and escapes.
    text: Vec<u8>,
    /// The slots that some record of the block has.
    seen: Slots,
}

impl JsonLines {
    /// Returns a reader that knows every field of standard logs.
    pub(super) fn new() -> Self {
        let mut names: Vec<Box<str>> = FIELDS.iter().map(|field| field.name.into()).collect();
        names.extend(["date", "time", "timestamp(ms)"].map(Box::from));
        for (column, name) in names.iter_mut().enumerate().take(FIELDS.len()) {
            *name = standard_name(column, name).into();
        }
        let steps = (1..FIELDS.len()).map(|column| Step {
            column,
            slot: column,
        });
        JsonLines {
            plan: Plan {
                width: SLOT_COUNT,
                field_count: SLOT_COUNT,
                names,
                clock: Some(Clock::Standard {
                    millis: Some(MILLIS),
                    date_time: Some((DATE, TIME)),
                }),
                steps: steps.collect(),
                url: None,
            },
            keys: Keys::default(),
            text: Vec::new(),
            seen: Slots::default(),
        }
    }

    /// Returns the plan, the text of the block and the slots seen in it.
    pub(super) fn parts(&self) -> (&Plan, &[u8], Slots) {
        (&self.plan, &self.text, self.seen)
    }

    /// Begins a new block.
    pub(super) fn reset(&mut self, block: &mut Block) {
        block.reset(SLOT_COUNT);
        self.text.clear();
        self.seen = Slots::default();
    }

    /// Reads one line as a row of the block.
    ///
    /// # Errors
    ///
    /// A phrase saying why the line is no record.
    pub(super) fn push_line(
        &mut self,
        block: &mut Block,
        line: &[u8],
        record: u32,
    ) -> Result<(), String> {
        if let Some(problem) = fault::of_bytes(line) {
            return Err(problem);
        }
        let start = self.text.len();
        let mut seen = Slots::default();
        let mut json = serde_json::Deserializer::from_slice(line);
        let object = ObjectReader {
            names: &self.plan.names,
            keys: &mut self.keys,
            cells: block.push(record),
            text: &mut self.text,
            seen: &mut seen,
        };
        let read = json.deserialize_map(object).and_then(|()| json.end());
        let problem = match read {
            Ok(()) if seen == Slots::default() => {
                Some("no key of the object is a field of CloudFront's standard logs".into())
            }
            Ok(()) => None,
            Err(error) => Some(format!(
                "{} is not a record: {}",
                shown(line),
                plain(&error)
            )),
        };
        if let Some(problem) = problem {
            block.pop();
            self.text.truncate(start);
            return Err(problem);
        }
        self.seen.extend(seen);
        Ok(())
    }
}

/// Returns the error's message; its line is always 1 and goes.
fn plain(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match message.strip_suffix(&place) {
        Some(message) if error.column() > 0 => format!("{message} at byte {}", error.column()),
        Some(message) => message.into(),
        None => message,
    }
}

/// Returns what standard logs call a column, given its real-time name.
fn standard_name(column: usize, name: &str) -> &str {
    [
        "cs(Host)",
        "x-host-header",
        "cs(User-Agent)",
        "cs(Referer)",
        "cs(Cookie)",
    ]
    .into_iter()
    .find(|standard| standard_field(standard) == Some(StandardField::Column(column)))
    .unwrap_or(name)
}

/// The slots of keys.
#[derive(Debug, Default)]
struct Keys {
    /// The keys of the last record in their order. CloudFront writes all
    /// records alike, so the key that comes is nearly always the one that came
    /// at this place before, and is found with one comparison.
    last: Vec<(Box<str>, Option<usize>)>,
    place: usize,
}

impl Keys {
    /// The most keys that are remembered, to bound what a forged record costs.
    const MAX_REMEMBERED: usize = 256;
    const MAX_KEY_BYTES: usize = 64;

    fn begin_record(&mut self) {
        self.place = 0;
    }

    /// Returns the slot of the next key, `None` if there is no column for it.
    fn slot(&mut self, key: &str) -> Option<usize> {
        let place = self.place;
        self.place += 1;
        if let Some((last, slot)) = self.last.get(place)
            && **last == *key
        {
            return *slot;
        }
        if key.len() > Self::MAX_KEY_BYTES {
            return None;
        }
        let slot = standard_field(key).map(|field| match field {
            StandardField::Date => DATE,
            StandardField::Time => TIME,
            StandardField::Millis => MILLIS,
            StandardField::Column(column) => column,
        });
        let remembered = (key.into(), slot);
        if let Some(last) = self.last.get_mut(place) {
            *last = remembered;
        } else if place == self.last.len() && place < Self::MAX_REMEMBERED {
            self.last.push(remembered);
        }
        slot
    }
}

/// Reads an object into the cells of a row.
struct ObjectReader<'a> {
    names: &'a [Box<str>],
    keys: &'a mut Keys,
    cells: &'a mut [Cell],
    text: &'a mut Vec<u8>,
    seen: &'a mut Slots,
}

impl<'de> Visitor<'de> for ObjectReader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.keys.begin_record();
        while let Some(slot) = map.next_key_seed(KeyReader(self.keys))? {
            let Some(slot) = slot else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let name = &self.names[slot];
            if !self.seen.insert(slot) {
                return Err(A::Error::custom(format_args!("{name} is given twice")));
            }
            let start = self.text.len();
            map.next_value_seed(ValueReader {
                name,
                text: self.text,
            })?;
            self.cells[slot] = start as u32..self.text.len() as u32;
        }
        Ok(())
    }
}

/// Reads a key as its slot.
struct KeyReader<'a>(&'a mut Keys);

impl<'de> DeserializeSeed<'de> for KeyReader<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyReader<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.slot(key))
    }
}

/// Appends a value to the block's text as CloudFront would write it in a line.
/// CloudFront writes strings; whatever re-wrote its logs may write numbers.
struct ValueReader<'a> {
    name: &'a str,
    text: &'a mut Vec<u8>,
}

impl ValueReader<'_> {
    fn write<E>(self, arguments: fmt::Arguments<'_>) -> Result<(), E> {
        let mut text = String::new();
        // Writing to a `String` does not fail.
        let _ = text.write_fmt(arguments);
        self.text.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for ValueReader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for ValueReader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text or a number for {}", self.name)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        if value.contains('\0') {
            return Err(E::custom(format_args!("{} has a NUL byte", self.name)));
        }
        self.text.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.write(format_args!("{value}"))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.write(format_args!("{value}"))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        // Columns hold `f32`, so its shortest text is all that is needed, and
        // it hides the last digit that serde_json's reading may be off by.
        // Whole numbers beyond `f32` (`1731620046814.0`) keep every digit, and
        // a fraction is never rounded away: where a whole number is wanted, it
        // must be seen to be wrong.
        let short = value as f32;
        if value.fract() == 0.0 || short.fract() == 0.0 {
            self.write(format_args!("{value}"))
        } else {
            self.write(format_args!("{short}"))
        }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}
