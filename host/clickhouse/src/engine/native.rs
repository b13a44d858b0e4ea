//! Native blocks for clients that speak a protocol revision.
//!
//! clickhouse-go, and with it Grafana's data source, sends
//! `client_protocol_version` and then expects a block info before every block
//! and, from revision 54454 on, one more byte in every column's head. Only
//! ClickHouse's own HTTP server can tell the engine about a revision, so the
//! blocks that the engine writes for revision 0 are taken apart and completed
//! here. Values are passed on as they are.
//!
//! <https://clickhouse.com/docs/native-protocol/columns>

use super::exception::Exception;
use bytes::{Buf, Bytes, BytesMut};

/// `DBMS_MIN_REVISION_WITH_BLOCK_INFO`.
const BLOCK_INFO: u64 = 51_903;

/// `DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION`.
const CUSTOM_SERIALIZATION: u64 = 54_454;

/// No overflow row, no bucket.
const NO_INFO: [u8; 8] = [1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0];

/// A text longer than this in a block's head is taken for damage.
const MAX_NAME_BYTES: u64 = 1 << 20;

/// Completes the Native blocks of one result.
pub(super) struct Blocks {
    revision: u64,
    buffer: BytesMut,
    /// Rows of the block at hand and the columns of it that are still to come.
    block: Option<(u64, u64)>,
}

/// More bytes are needed, or the type is not known here.
enum Stop {
    Incomplete,
    Unsupported(String),
}

impl Blocks {
    pub(super) fn new(revision: u64) -> Self {
        Self {
            revision,
            buffer: BytesMut::new(),
            block: None,
        }
    }

    /// Takes the next bytes of the result and returns what is complete of it:
    /// whole columns.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Bytes, Exception> {
        self.buffer.extend_from_slice(bytes);
        let mut out = BytesMut::new();
        loop {
            match self.step(&mut out) {
                Ok(()) => {}
                Err(Stop::Incomplete) => return Ok(out.freeze()),
                Err(Stop::Unsupported(name)) => {
                    return Err(Exception::new(
                        48,
                        "NOT_IMPLEMENTED",
                        format_args!(
                            "the embedded engine cannot send the type {name} in the Native format to this client; convert it, with toString for example"
                        ),
                    ));
                }
            }
        }
    }

    /// Checks that the result ended with a block.
    pub(super) fn finish(&self) -> Result<(), Exception> {
        if self.buffer.is_empty() && self.block.is_none() {
            return Ok(());
        }
        Err(Exception::new(
            33,
            "CANNOT_READ_ALL_DATA",
            "the result in the Native format does not end with a block",
        ))
    }

    /// Moves one block's head or one column on.
    fn step(&mut self, out: &mut BytesMut) -> Result<(), Stop> {
        let mut cursor = Cursor {
            bytes: &self.buffer,
            at: 0,
        };
        match self.block {
            None => {
                let columns = cursor.varint()?;
                let rows = cursor.varint()?;
                if self.revision >= BLOCK_INFO {
                    out.extend_from_slice(&NO_INFO);
                }
                self.block = (columns > 0).then_some((rows, columns));
                let end = cursor.at;
                out.extend_from_slice(&self.buffer.split_to(end));
            }
            Some((rows, columns)) => {
                cursor.text()?;
                let name = cursor.text()?.to_owned();
                let head = cursor.at;
                if rows > 0 {
                    let kind = Kind::parse(&name).ok_or(Stop::Unsupported(name))?;
                    cursor.prefix(&kind)?;
                    cursor.values(&kind, rows)?;
                }
                let end = cursor.at;
                out.extend_from_slice(&self.buffer[..head]);
                if self.revision >= CUSTOM_SERIALIZATION {
                    out.extend_from_slice(&[0]);
                }
                out.extend_from_slice(&self.buffer[head..end]);
                self.buffer.advance(end);
                self.block = (columns > 1).then_some((rows, columns - 1));
            }
        }
        Ok(())
    }
}

/// How a type lies in a block.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Fixed(u64),
    Text,
    Nullable(Box<Kind>),
    Array(Box<Kind>),
    Tuple(Vec<Kind>),
    LowCardinality(Box<Kind>),
}

impl Kind {
    fn parse(name: &str) -> Option<Self> {
        let name = name.trim();
        let (family, arguments) = match name.split_once('(') {
            Some((family, rest)) => (family, arguments(rest.strip_suffix(')')?)?),
            None => (name, Vec::new()),
        };
        let only = || match &arguments[..] {
            [one] => Self::parse(one).map(Box::new),
            _ => None,
        };
        Some(match family {
            "UInt8" | "Int8" | "Bool" | "Enum8" | "Nothing" => Self::Fixed(1),
            "UInt16" | "Int16" | "Enum16" | "Date" | "BFloat16" => Self::Fixed(2),
            "UInt32" | "Int32" | "Float32" | "Date32" | "DateTime" | "IPv4" | "Time"
            | "Decimal32" => Self::Fixed(4),
            "UInt64" | "Int64" | "Float64" | "DateTime64" | "Time64" | "Decimal64" => {
                Self::Fixed(8)
            }
            "UInt128" | "Int128" | "UUID" | "IPv6" | "Decimal128" => Self::Fixed(16),
            "UInt256" | "Int256" | "Decimal256" => Self::Fixed(32),
            "Decimal" => match arguments.first()?.trim().parse().ok()? {
                1..=9_u32 => Self::Fixed(4),
                10..=18 => Self::Fixed(8),
                19..=38 => Self::Fixed(16),
                _ => Self::Fixed(32),
            },
            "FixedString" => Self::Fixed(arguments.first()?.trim().parse().ok()?),
            "String" => Self::Text,
            "Nullable" => Self::Nullable(only()?),
            "Array" => Self::Array(only()?),
            "LowCardinality" => Self::LowCardinality(only()?),
            "Tuple" if !arguments.is_empty() => Self::Tuple(elements(&arguments)?),
            "Nested" => Self::Array(Box::new(Self::Tuple(elements(&arguments)?))),
            "Map" if arguments.len() == 2 => {
                Self::Array(Box::new(Self::Tuple(elements(&arguments)?)))
            }
            "SimpleAggregateFunction" => Self::parse(arguments.get(1)?)?,
            "Point" => Self::Fixed(16),
            "Ring" | "LineString" => Self::Array(Box::new(Self::Fixed(16))),
            _ if family.starts_with("Interval") => Self::Fixed(8),
            _ => return None,
        })
    }
}

/// Elements of a tuple, which may be named.
fn elements(arguments: &[&str]) -> Option<Vec<Kind>> {
    arguments
        .iter()
        .map(|argument| {
            Kind::parse(argument).or_else(|| {
                let argument = argument.trim();
                let rest = match argument.strip_prefix('`') {
                    Some(rest) => rest.split_once("` ")?.1,
                    None => argument.split_once(' ')?.1,
                };
                Kind::parse(rest)
            })
        })
        .collect()
}

/// Cuts a type's arguments at the commas that are in no bracket and no quote.
fn arguments(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => {
                characters.next();
            }
            (Some(open), _) if character == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '`') => quote = Some(character),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.checked_sub(1)?,
            (None, ',') if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    parts.push(&text[start..]);
    (depth == 0 && quote.is_none()).then_some(parts)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], Stop> {
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| self.at.checked_add(length))
            .ok_or(Stop::Incomplete)?;
        let taken = self.bytes.get(self.at..end).ok_or(Stop::Incomplete)?;
        self.at = end;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Stop> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(value)
    }

    fn u64(&mut self) -> Result<u64, Stop> {
        Ok(self.take(8)?.get_u64_le())
    }

    fn text(&mut self) -> Result<&'a str, Stop> {
        let length = self.varint()?;
        if length > MAX_NAME_BYTES {
            return Err(Stop::Unsupported("with a name that long".to_owned()));
        }
        // A name need not be UTF-8; its text matters for types only, which are.
        Ok(std::str::from_utf8(self.take(length)?).unwrap_or_default())
    }

    /// What stands before all values of a column.
    fn prefix(&mut self, kind: &Kind) -> Result<(), Stop> {
        match kind {
            Kind::Fixed(_) | Kind::Text => Ok(()),
            Kind::Nullable(inner) | Kind::Array(inner) => self.prefix(inner),
            Kind::Tuple(inner) => inner.iter().try_for_each(|kind| self.prefix(kind)),
            // The version of the keys' serialization.
            Kind::LowCardinality(_) => self.u64().map(drop),
        }
    }

    fn values(&mut self, kind: &Kind, rows: u64) -> Result<(), Stop> {
        if rows == 0 {
            return Ok(());
        }
        match kind {
            Kind::Fixed(width) => self.take(rows.saturating_mul(*width)).map(drop),
            Kind::Text => (0..rows).try_for_each(|_| {
                let length = self.varint()?;
                self.take(length).map(drop)
            }),
            Kind::Nullable(inner) => {
                self.take(rows)?;
                self.values(inner, rows)
            }
            Kind::Array(inner) => {
                let mut offsets = self.take(rows.saturating_mul(8))?;
                offsets.advance(offsets.len() - 8);
                self.values(inner, offsets.get_u64_le())
            }
            Kind::Tuple(inner) => inner.iter().try_for_each(|kind| self.values(kind, rows)),
            Kind::LowCardinality(inner) => {
                let flags = self.u64()?;
                let keys = self.u64()?;
                // Null is a key of its own.
                let inner = match &**inner {
                    Kind::Nullable(inner) => inner,
                    inner => inner,
                };
                self.values(inner, keys)?;
                let rows = self.u64()?;
                self.take(rows.saturating_mul(1 << (flags & 3))).map(drop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_by_their_names() {
        let fixed = |width| Box::new(Kind::Fixed(width));
        for (name, kind) in [
            ("DateTime64(3, 'UTC')", Kind::Fixed(8)),
            ("Enum8('a(,' = 1, 'b\\'' = 2)", Kind::Fixed(1)),
            ("Decimal(20, 4)", Kind::Fixed(16)),
            ("FixedString(7)", Kind::Fixed(7)),
            (
                "LowCardinality(Nullable(String))",
                Kind::LowCardinality(Box::new(Kind::Nullable(Box::new(Kind::Text)))),
            ),
            (
                "Map(String, Array(UInt8))",
                Kind::Array(Box::new(Kind::Tuple(vec![
                    Kind::Text,
                    Kind::Array(fixed(1)),
                ]))),
            ),
            (
                "Tuple(a UInt8, `b c` Tuple(Int64, x String))",
                Kind::Tuple(vec![
                    Kind::Fixed(1),
                    Kind::Tuple(vec![Kind::Fixed(8), Kind::Text]),
                ]),
            ),
            ("SimpleAggregateFunction(sum, UInt64)", Kind::Fixed(8)),
        ] {
            assert_eq!(Kind::parse(name), Some(kind), "{name}");
        }
        for name in [
            "AggregateFunction(uniq, UInt64)",
            "JSON",
            "Dynamic",
            "Array(UInt8",
        ] {
            assert_eq!(Kind::parse(name), None, "{name}");
        }
    }

    #[test]
    fn blocks_gain_their_info_however_they_are_cut() {
        // One column `n` of two UInt16, then the same with no rows.
        let block = b"\x01\x02\x01n\x06UInt16\x05\x00\x06\x00";
        let empty = b"\x01\x00\x01n\x06UInt16";
        let plain = [&block[..], empty].concat();
        let expected = [
            &NO_INFO[..],
            b"\x01\x02\x01n\x06UInt16\x00\x05\x00\x06\x00",
            &NO_INFO,
            b"\x01\x00\x01n\x06UInt16\x00",
        ]
        .concat();
        for step in 1..plain.len() {
            let mut blocks = Blocks::new(54_460);
            let parts = plain.chunks(step).map(|part| blocks.push(part).unwrap());
            assert_eq!(parts.collect::<Vec<_>>().concat(), expected, "{step}");
        }
        let mut older = Blocks::new(54_453);
        assert_eq!(older.push(block).unwrap()[8..], block[..]);
        assert!(older.finish().is_ok());
        older.push(&block[..5]).unwrap();
        assert!(older.finish().is_err());
    }
}
