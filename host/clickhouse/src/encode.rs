//! A batch as the body of an insert.
//!
//! The body is an [Arrow IPC stream] of one record batch, ClickHouse's
//! `ArrowStream`. ClickHouse makes one block of one record batch, so the
//! insert is one block, too, as deduplication by token wants it.
//!
//! Columns are sent with the types that cost ClickHouse and this side the
//! least, measured in `docs/schema.md`:
//!
//! | column | sent as | into |
//! | --- | --- | --- |
//! | `LowText` | `Dictionary(UInt16, Utf8)`, plain where it has too many values | `LowCardinality(String)` |
//! | `Ip` | `FixedSizeBinary(16)`, IPv4 as `::ffff:a.b.c.d`, empty as `::` | `IPv6` |
//! | others | as they are | |
//!
//! [Arrow IPC stream]: https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::types::UInt16Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use canopy_batch::schema::base_column;
use canopy_batch::{Batch, ColumnType};

use crate::dictionary;

/// A batch that cannot be the body of an insert.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A value of a column of addresses is none.
    #[error("`{value}` in column `{column}`, row {row}, is not an IP address")]
    Address {
        /// The column.
        column: String,
        /// The row, from 0.
        row: usize,
        /// The value, cut to 64 bytes.
        value: String,
    },
    /// A column has not the type its name stands for.
    #[error("column `{column}` is of type {found}, not {expected}")]
    Type {
        /// The column.
        column: String,
        /// Its Arrow type.
        found: DataType,
        /// The Arrow type it should have.
        expected: DataType,
    },
    /// Arrow could not write it.
    #[error("failed to write the Arrow stream")]
    Arrow(#[from] ArrowError),
}

/// Returns the batch as an uncompressed Arrow IPC stream: the schema, one
/// record batch of all rows and columns, the end.
///
/// # Errors
///
/// [`EncodeError::Address`] where a column of addresses holds something else,
/// [`EncodeError::Type`] where a base column has another type than its own.
pub fn encode(batch: &Batch) -> Result<Vec<u8>, EncodeError> {
    let columns = batch.columns();
    let schema = columns.schema();
    let mut fields = Vec::with_capacity(columns.num_columns());
    let mut arrays = Vec::with_capacity(columns.num_columns());
    for (field, array) in schema.fields().iter().zip(columns.columns()) {
        let array = sent_as(field.name(), array)?;
        fields.push(Field::new(
            field.name(),
            array.data_type().clone(),
            field.is_nullable(),
        ));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.row_count()));
    let columns =
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?;

    let mut body = Vec::with_capacity(columns.get_array_memory_size() + 16 * 1024);
    let mut writer = StreamWriter::try_new_with_options(
        &mut body,
        &columns.schema(),
        IpcWriteOptions::default(),
    )?;
    writer.write(&columns)?;
    writer.finish()?;
    drop(writer);
    Ok(body)
}

fn sent_as(name: &str, array: &ArrayRef) -> Result<ArrayRef, EncodeError> {
    // A column that is not a base column was made by a plugin: its Arrow type
    // says all, ClickHouse casts text to LowCardinality where the table has it.
    let Some(column) = base_column(name) else {
        return Ok(Arc::clone(array));
    };
    let expected = column.column_type.arrow();
    if *array.data_type() != expected {
        return Err(EncodeError::Type {
            column: name.to_owned(),
            found: array.data_type().clone(),
            expected,
        });
    }
    let text = || {
        array
            .as_any()
            .downcast_ref::<StringArray>()
            .expect("the type was compared")
    };
    match column.column_type {
        ColumnType::Ip => addresses(name, text()),
        ColumnType::LowText => Ok(dictionary::of(text()).map_or_else(
            || Arc::clone(array),
            |array: DictionaryArray<UInt16Type>| Arc::new(array) as ArrayRef,
        )),
        _ => Ok(Arc::clone(array)),
    }
}

/// Turns the text of addresses into 16 bytes each.
fn addresses(name: &str, text: &StringArray) -> Result<ArrayRef, EncodeError> {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(text.len(), 16);
    let mut last: (&str, Ipv6Addr) = ("", Ipv6Addr::UNSPECIFIED);
    for (row, value) in text.iter().enumerate() {
        let Some(value) = value else {
            builder.append_null();
            continue;
        };
        if value != last.0 {
            let address = if value.is_empty() {
                Ipv6Addr::UNSPECIFIED
            } else {
                match value.parse() {
                    Ok(IpAddr::V4(address)) => address.to_ipv6_mapped(),
                    Ok(IpAddr::V6(address)) => address,
                    Err(_) => {
                        return Err(EncodeError::Address {
                            column: name.to_owned(),
                            row,
                            value: value.chars().take(64).collect(),
                        });
                    }
                }
            };
            last = (value, address);
        }
        builder.append_value(last.1.octets())?;
    }
    Ok(Arc::new(builder.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{BooleanArray, UInt16Array};
    use arrow_ipc::reader::StreamReader;
    use arrow_schema::TimeUnit;
    use bytes::Bytes;
    use canopy_batch::Records;

    fn batch(columns: Vec<(&str, bool, ArrayRef)>) -> Batch {
        let rows = columns[0].2.len();
        let mut records = Records::new(Bytes::from_static(b"x"));
        (0..rows).for_each(|row| records.push(0..1, row as u64));
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, nullable, array)| Field::new(*name, array.data_type().clone(), *nullable))
            .collect();
        let arrays = columns.into_iter().map(|(_, _, array)| array).collect();
        let columns = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
        Batch::new(columns, Arc::new(records), (0..rows as u32).collect())
    }

    fn decode(body: &[u8]) -> RecordBatch {
        let mut batches = StreamReader::try_new(body, None).unwrap();
        let batch = batches.next().unwrap().unwrap();
        assert!(batches.next().is_none(), "one record batch, one block");
        batch
    }

    #[test]
    fn columns_are_sent_as_the_table_needs_them() {
        let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
        let sent = decode(
            &encode(&batch(vec![
                ("cs_method", false, text("GET")),
                ("c_ip", false, text("::1")),
                ("cs_uri_stem", false, text("/")),
                ("sc_status", false, Arc::new(UInt16Array::from(vec![200]))),
                ("geo_city", true, text("Oslo")),
                ("bot", true, Arc::new(BooleanArray::from(vec![None]))),
            ]))
            .unwrap(),
        );
        let types: Vec<DataType> = sent
            .schema()
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let low = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
        assert_eq!(
            types,
            [
                low,
                DataType::FixedSizeBinary(16),
                DataType::Utf8,
                DataType::UInt16,
                DataType::Utf8,
                DataType::Boolean,
            ]
        );
        assert_eq!(sent.column(5).null_count(), 1);
    }

    #[test]
    fn addresses_become_sixteen_bytes() {
        let text = StringArray::from(vec!["192.0.2.1", "", "2001:db8::1", "2001:db8::1"]);
        let sent = addresses("c_ip", &text).unwrap();
        let sent = sent
            .as_any()
            .downcast_ref::<arrow_array::FixedSizeBinaryArray>()
            .unwrap();
        let shown: Vec<String> = sent
            .iter()
            .map(|bytes| {
                let bytes: [u8; 16] = bytes.unwrap().try_into().unwrap();
                Ipv6Addr::from(bytes).to_string()
            })
            .collect();
        assert_eq!(
            shown,
            ["::ffff:192.0.2.1", "::", "2001:db8::1", "2001:db8::1"]
        );
    }

    #[test]
    fn a_base_column_of_another_type_is_refused() {
        let wrong: ArrayRef = Arc::new(UInt16Array::from(vec![1]));
        let error = encode(&batch(vec![("timestamp", false, wrong)])).unwrap_err();
        let expected = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        assert!(matches!(error, EncodeError::Type { expected: e, .. } if e == expected));
    }
}
