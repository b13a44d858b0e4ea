//! What a row can command.

use crate::bindings::canopy::plugin::host;
use crate::bindings::canopy::plugin::types::{
    Column, ConfigError, Error, InputError, Level, Output, RejectedRow, Values,
};
use crate::columns::Builder;
use crate::{Made, grow, leak, recurse, spin, trap};

/// Does what the rows say. A command with an argument has it after `:`.
pub(crate) fn obey(rows: usize, inputs: Vec<Column>, made: &[Made]) -> Result<Output, Error> {
    let commands = texts(&inputs, rows);
    let mut values: Vec<Vec<u8>> = Vec::with_capacity(rows);
    let mut source_rows: Vec<u32> = Vec::with_capacity(rows);
    let mut rejected = Vec::new();
    let mut spoils: Vec<&str> = Vec::new();
    let mut moves_rows = false;
    for (row, command) in commands.iter().enumerate() {
        let (name, argument) = command.split_once(':').unwrap_or((command, ""));
        let number = || argument.parse::<usize>().unwrap_or_default();
        let row = row as u32;
        let mut copies = 1;
        let mut value = command.as_bytes().to_vec();
        match name {
            "!trap" => trap("told to"),
            "!loop" => spin(),
            "!recurse" => drop(host::count(&recurse(0).to_string(), 1)),
            "!grow" => grow(),
            "!leak" => leak(number()),
            "!error" => {
                return Err(Error::Input(InputError {
                    row,
                    message: "told to".to_owned(),
                }));
            }
            "!error-row" => {
                return Err(Error::Input(InputError {
                    row: number() as u32,
                    message: "told to".to_owned(),
                }));
            }
            // Names rows cheaply until single ones are left, then hangs on each.
            "!name-then-loop" if rows == 1 => spin(),
            "!name-then-loop" => {
                return Err(Error::Input(InputError {
                    row: rows as u32 - 2,
                    message: "told to".to_owned(),
                }));
            }
            "!other" => return Err(Error::Other("told to".to_owned())),
            "!config" => {
                return Err(Error::Config(ConfigError {
                    key: "inputs".to_owned(),
                    message: "told to".to_owned(),
                }));
            }
            "!reject" => {
                rejected.push(RejectedRow {
                    row,
                    reason: "told to".to_owned(),
                });
                copies = 0;
            }
            "!drop" => (copies, moves_rows) = (0, true),
            "!copies" => (copies, moves_rows) = (number(), true),
            "!big" => value = vec![b'x'; number()],
            "!utf8" => value = b"a\xffb".to_vec(),
            // Two rows that are UTF-8 together and neither by itself.
            "!first-half" => value = vec![0xc3],
            "!second-half" => value = vec![0xa9],
            "!log" => {
                (0..number()).for_each(|line| host::log(Level::Info, &format!("line {line}")))
            }
            "!log-bytes" => host::log(Level::Info, &"x".repeat(number())),
            "!count" => host::count(argument, 2),
            "!counts" => (0..number()).for_each(|index| host::count(&format!("c{index}"), 1)),
            "!read" => {
                value = match host::read_data(argument) {
                    Ok(_) => b"granted".to_vec(),
                    Err(error) => error.name().as_bytes().to_vec(),
                };
            }
            name if name.starts_with('!') => spoils.push(command),
            _ => {}
        }
        if copies == 0 && !moves_rows {
            // A rejected row keeps its place while the rows stay as they are.
            values.push(value);
            source_rows.push(row);
            continue;
        }
        for _ in 0..copies {
            values.push(value.clone());
            source_rows.push(row);
        }
    }
    if moves_rows {
        let kept = |row: &u32| rejected.iter().all(|rejected| rejected.row != *row);
        let keep: Vec<bool> = source_rows.iter().map(kept).collect();
        let mut keep_values = keep.iter();
        values.retain(|_| keep_values.next() == Some(&true));
        source_rows.retain(kept);
    }
    let columns = made
        .iter()
        .map(|made| match made.from {
            Some(input) => copy(&inputs[input]),
            None => {
                let mut builder = Builder::new(made.column.kind);
                values.iter().for_each(|value| builder.push(value));
                builder.finish()
            }
        })
        .collect();
    let mut output = Output {
        columns,
        source_rows: moves_rows.then_some(source_rows),
        rejected,
    };
    for spoil in spoils {
        self::spoil(&mut output, spoil, rows as u32);
    }
    Ok(output)
}

/// The rows of the first input, if it is text.
fn texts(inputs: &[Column], rows: usize) -> Vec<String> {
    match inputs.first().map(|column| &column.values) {
        Some(Values::Text(text)) => text
            .offsets
            .windows(2)
            .map(|pair| &text.bytes[pair[0] as usize..pair[1] as usize])
            .map(|row| String::from_utf8(row.to_vec()).expect("input text is UTF-8"))
            .collect(),
        _ => vec![String::new(); rows],
    }
}

fn copy(column: &Column) -> Column {
    column.clone()
}

/// Breaks an output that was good.
fn spoil(output: &mut Output, spoil: &str, rows: u32) {
    let rejected = |row| RejectedRow {
        row,
        reason: "told to".to_owned(),
    };
    let first = output.columns.first_mut();
    let validity = match first {
        Some(ref column) => column.validity.clone(),
        None => None,
    };
    let text = first.and_then(|column| match &mut column.values {
        Values::Text(text) => Some(text),
        _ => None,
    });
    match (spoil, text) {
        ("!columns", _) => drop(output.columns.pop()),
        ("!kind", _) => output.columns[0].values = Values::Int(vec![0; rows as usize]),
        ("!starts-at-1", Some(text)) => text.offsets[0] = 1,
        ("!ends-late", Some(text)) => text.offsets[rows as usize] = u32::MAX,
        ("!ends-early", Some(text)) => text.bytes.push(b'x'),
        ("!offset-missing", Some(text)) => drop(text.offsets.pop()),
        ("!no-offsets", Some(text)) => text.offsets.clear(),
        ("!validity", _) => {
            let mut bits = validity.unwrap_or_default();
            bits.resize(rows as usize + 9, 0xff);
            output.columns[0].validity = Some(bits);
        }
        ("!source-range", _) => output.source_rows = Some(vec![rows; rows as usize]),
        ("!source-length", _) => output.source_rows = Some(vec![0; rows as usize + 1]),
        ("!fan-out", _) => output.source_rows = Some(vec![0; 1000 * rows as usize]),
        ("!reject-range", _) => output.rejected.push(rejected(rows)),
        ("!reject-twice", _) => output.rejected.extend([rejected(0), rejected(0)]),
        ("!reject-kept", _) => {
            output.source_rows = Some((0..rows).collect());
            output.rejected.push(rejected(0));
        }
        ("!reason", _) => {
            let mut reason = rejected(0);
            // SAFETY: none; a text that is not UTF-8 is what the host is to
            // refuse.
            unsafe { reason.reason.as_mut_vec().push(0xff) };
            output.rejected.push(reason);
        }
        ("!pointer", Some(text)) => {
            // SAFETY: none; a list beyond the guest's memory is what the host
            // is to refuse.
            text.bytes = unsafe { Vec::from_raw_parts(16 as *mut u8, 1 << 30, 1 << 30) };
        }
        _ => trap(spoil),
    }
}
