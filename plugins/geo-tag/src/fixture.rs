//! The smallest database there is: one record for all addresses. For layouts
//! that the sample databases of `canopy-traffic` do not have.

/// A value of the [MaxMind DB format].
///
/// [MaxMind DB format]: https://maxmind.github.io/MaxMind-DB/
pub(crate) enum Value {
    Text(&'static str),
    Double(f64),
    Float(f32),
    Unsigned(u32),
    Map(Vec<(&'static str, Value)>),
}

/// Returns a map.
pub(crate) fn map<const N: usize>(entries: [(&'static str, Value); N]) -> Value {
    Value::Map(entries.into())
}

/// Returns a database that says `record` of every address.
pub(crate) fn database(kind: &'static str, ip_version: u32, record: &Value) -> Vec<u8> {
    // One node of two 24-bit records, both pointing to the data section's
    // start: the number of nodes, and the separator's 16 bytes.
    let mut file = vec![0, 0, 17, 0, 0, 17];
    file.extend([0; 16]);
    push(record, &mut file);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = map([
        ("binary_format_major_version", Value::Unsigned(2)),
        ("binary_format_minor_version", Value::Unsigned(0)),
        ("build_epoch", Value::Unsigned(0)),
        ("database_type", Value::Text(kind)),
        ("description", map([("en", Value::Text("a fixture"))])),
        ("ip_version", Value::Unsigned(ip_version)),
        ("languages", map([])),
        ("node_count", Value::Unsigned(1)),
        ("record_size", Value::Unsigned(24)),
    ]);
    push(&metadata, &mut file);
    file
}

/// The keys whose values the format wants as other integers than 32-bit ones,
/// and as an array.
fn kind_of(key: &str) -> Option<u8> {
    match key {
        "binary_format_major_version"
        | "binary_format_minor_version"
        | "ip_version"
        | "record_size" => Some(5),
        "build_epoch" => Some(9),
        "languages" => Some(11),
        _ => None,
    }
}

fn push(value: &Value, out: &mut Vec<u8>) {
    push_as(value, None, out);
}

fn push_as(value: &Value, kind: Option<u8>, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            push_control(2, text.len(), out);
            out.extend(text.as_bytes());
        }
        Value::Double(number) => {
            push_control(3, 8, out);
            out.extend(number.to_be_bytes());
        }
        Value::Float(number) => {
            push_control(15, 4, out);
            out.extend(number.to_be_bytes());
        }
        Value::Unsigned(number) => {
            let kind = kind.unwrap_or(6);
            let bytes = number.to_be_bytes();
            let bytes = if kind == 5 { &bytes[2..] } else { &bytes[..] };
            push_control(kind, bytes.len(), out);
            out.extend(bytes);
        }
        Value::Map(entries) => {
            push_control(kind.unwrap_or(7), entries.len(), out);
            for (key, value) in entries {
                push(&Value::Text(key), out);
                push_as(value, kind_of(key), out);
            }
        }
    }
}

/// Writes type and size. Types above 7 are written as 0 and their number less
/// 7 in the next byte.
fn push_control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let size = u8::try_from(size).expect("fixtures are small");
    let (low, more) = if size < 29 {
        (size, None)
    } else {
        (29, Some(size - 29))
    };
    if kind > 7 {
        out.extend([low, kind - 7]);
    } else {
        out.push(kind << 5 | low);
    }
    out.extend(more);
}
