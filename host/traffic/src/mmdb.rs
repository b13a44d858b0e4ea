//! Writing files in the [MaxMind DB format] 2.0: a binary tree over address
//! bits whose leaves point into a data section.
//!
//! Small on purpose: 24-bit records, no data pointers, everything in memory.
//!
//! [MaxMind DB format]: https://maxmind.github.io/MaxMind-DB/

/// A value of the data section.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(&'static str),
    Double(f64),
    Uint16(u16),
    Uint32(u32),
    Uint64(u64),
    Map(Vec<(&'static str, Value)>),
    Array(Vec<Value>),
}

/// What one bit leads to.
#[derive(Clone, Copy, Debug)]
enum Record {
    Nothing,
    Node(usize),
    /// An offset in the data section.
    Data(usize),
}

/// Separates the tree from the data section.
const SEPARATOR: [u8; 16] = [0; 16];
/// Starts the metadata, the file's last part.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// A database being made.
#[derive(Debug)]
pub(crate) struct Database {
    nodes: Vec<[Record; 2]>,
    data: Vec<u8>,
}

impl Database {
    pub(crate) fn new() -> Self {
        Database {
            nodes: vec![[Record::Nothing; 2]],
            data: Vec::new(),
        }
    }

    /// Adds a value; returns where it is, for [`Database::insert`].
    pub(crate) fn add(&mut self, value: &Value) -> usize {
        let offset = self.data.len();
        push_value(&mut self.data, value);
        offset
    }

    /// Says that the addresses with these first `bits` bits, 1 to 128, have the
    /// value at `offset`. An IPv4 address is the last 32 bits of one whose
    /// first 96 are zero. Networks must not contain each other.
    pub(crate) fn insert(&mut self, address: u128, bits: u32, offset: usize) {
        let mut node = 0;
        for depth in 0..bits {
            let side = (address >> (127 - depth) & 1) as usize;
            if depth + 1 == bits {
                debug_assert!(matches!(self.nodes[node][side], Record::Nothing));
                self.nodes[node][side] = Record::Data(offset);
                return;
            }
            node = match self.nodes[node][side] {
                Record::Node(next) => next,
                _ => {
                    self.nodes.push([Record::Nothing; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side] = Record::Node(next);
                    next
                }
            };
        }
    }

    /// Returns the file.
    ///
    /// # Panics
    ///
    /// If the tree and the data pass what 24 bits can point to, 16 MiB.
    pub(crate) fn into_file(
        self,
        database_type: &'static str,
        description: &'static str,
        built_at_seconds: u64,
    ) -> Vec<u8> {
        let count = self.nodes.len();
        let end = count + SEPARATOR.len() + self.data.len();
        assert!(end < 1 << 24, "24-bit records hold our few networks");
        let mut file = Vec::with_capacity(count * 6 + self.data.len() + 512);
        for record in self.nodes.iter().flatten() {
            let number = match record {
                Record::Nothing => count,
                Record::Node(node) => *node,
                Record::Data(offset) => count + SEPARATOR.len() + offset,
            };
            file.extend_from_slice(&(number as u32).to_be_bytes()[1..]);
        }
        file.extend_from_slice(&SEPARATOR);
        file.extend_from_slice(&self.data);
        file.extend_from_slice(MARKER);
        let metadata = Value::Map(vec![
            ("binary_format_major_version", Value::Uint16(2)),
            ("binary_format_minor_version", Value::Uint16(0)),
            ("build_epoch", Value::Uint64(built_at_seconds)),
            ("database_type", Value::Text(database_type)),
            (
                "description",
                Value::Map(vec![("en", Value::Text(description))]),
            ),
            ("ip_version", Value::Uint16(6)),
            ("languages", Value::Array(vec![Value::Text("en")])),
            ("node_count", Value::Uint32(count as u32)),
            ("record_size", Value::Uint16(24)),
        ]);
        push_value(&mut file, &metadata);
        file
    }
}

fn push_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => {
            push_control(out, 2, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Value::Double(number) => {
            push_control(out, 3, 8);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Uint16(number) => push_unsigned(out, 5, u64::from(*number)),
        Value::Uint32(number) => push_unsigned(out, 6, u64::from(*number)),
        Value::Uint64(number) => push_unsigned(out, 9, *number),
        Value::Map(entries) => {
            push_control(out, 7, entries.len());
            for (key, value) in entries {
                push_value(out, &Value::Text(key));
                push_value(out, value);
            }
        }
        Value::Array(values) => {
            push_control(out, 11, values.len());
            for value in values {
                push_value(out, value);
            }
        }
    }
}

/// Writes an unsigned integer in as few bytes as it needs; zero needs none.
fn push_unsigned(out: &mut Vec<u8>, kind: u8, number: u64) {
    let bytes = number.to_be_bytes();
    let skip = (number.leading_zeros() / 8) as usize;
    push_control(out, kind, 8 - skip);
    out.extend_from_slice(&bytes[skip..]);
}

/// Writes the byte (or bytes) that say type and size. Types above 7 are written
/// as 0 and their number less 7 in the next byte.
fn push_control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let (first, extended) = if kind > 7 {
        (0, Some(kind - 7))
    } else {
        (kind << 5, None)
    };
    let (low, more) = match size {
        0..29 => (size, None),
        29..285 => (29, Some((size - 29) as u8)),
        _ => panic!("our values have under 285 bytes and entries"),
    };
    out.push(first | low as u8);
    out.extend(extended);
    out.extend(more);
}
