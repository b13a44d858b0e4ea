//! What goes in comes out: all fields of parsed lines, compared value by value.

use std::io::Cursor;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use bytes::Bytes;
use canopy_batch::formats::{Format, Layout, Parser};
use canopy_batch::schema::{FIELDS, base_column, base_columns};
use canopy_batch::{Batch, ColumnType, Sink};
use canopy_clickhouse::ClickHouse;
use canopy_traffic::{Generator, Profile, Settings};

use crate::harness::database;

const DAY_MS: u64 = 24 * 3600 * 1000;

fn parse(lines: Vec<u8>) -> Batch {
    let mut parser = Parser::new(Format::RealTime(Layout::all()), 25.0);
    let parsed = parser.parse_lines(Bytes::from(lines), 1);
    assert_eq!(parsed.rejected, []);
    assert_eq!(parsed.batch.columns().num_columns(), FIELDS.len() + 1);
    parsed.batch
}

/// Reads the table back in the order of the batch: by request id, which both
/// sides are sorted by.
async fn read_back(clickhouse: &ClickHouse) -> Vec<RecordBatch> {
    let columns: Vec<String> = base_columns().map(|c| format!("`{}`", c.name)).collect();
    let sql = format!(
        "SELECT {} FROM cloudfront_logs ORDER BY x_edge_request_id \
         SETTINGS output_format_arrow_low_cardinality_as_dictionary = 0, \
         output_format_arrow_string_as_string = 1, \
         output_format_arrow_compression_method = 'none'",
        columns.join(", ")
    );
    let bytes = clickhouse.query_bytes(&sql, "ArrowStream").await.unwrap();
    StreamReader::try_new(Cursor::new(bytes), None)
        .unwrap()
        .map(|batch| batch.unwrap())
        .collect()
}

/// Returns a value as text that is equal only for equal values.
fn shown(column_type: ColumnType, array: &dyn Array, row: usize) -> String {
    use arrow_array::types::*;
    if array.is_null(row) {
        return "null".into();
    }
    match column_type {
        ColumnType::Text | ColumnType::LowText => {
            format!("{:?}", array.as_string::<i32>().value(row))
        }
        ColumnType::Ip => match array.as_string_opt::<i32>() {
            Some(text) => match text.value(row) {
                "" => Ipv6Addr::UNSPECIFIED,
                text => match text.parse().unwrap() {
                    IpAddr::V4(address) => address.to_ipv6_mapped(),
                    IpAddr::V6(address) => address,
                },
            },
            None => {
                let bytes = array.as_fixed_size_binary().value(row);
                Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap())
            }
        }
        .to_string(),
        ColumnType::UInt8 => array.as_primitive::<UInt8Type>().value(row).to_string(),
        ColumnType::UInt16 => array.as_primitive::<UInt16Type>().value(row).to_string(),
        ColumnType::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_string(),
        ColumnType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        ColumnType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            format!("{:08x}", value.to_bits())
        }
        ColumnType::TimestampMs => array
            .as_primitive::<TimestampMillisecondType>()
            .value(row)
            .to_string(),
        other => unreachable!("no base column is {other:?}"),
    }
}

/// Returns each row of a batch as the text of its values.
fn rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let types: Vec<ColumnType> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| base_column(field.name()).unwrap().column_type)
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            types
                .iter()
                .zip(batch.columns())
                .map(|(&column_type, array)| shown(column_type, array, row))
                .collect()
        })
        .collect()
}

async fn check(name: &str, lines: Vec<u8>) {
    let clickhouse = database(name).await;
    let batch = parse(lines);
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    let stored = sink.insert(&batch, "token").await.unwrap();
    assert_eq!(stored, batch.row_count() as u64);

    let ids = batch
        .column("x_edge_request_id")
        .unwrap()
        .as_string::<i32>();
    let mut order: Vec<u32> = (0..batch.row_count() as u32).collect();
    order.sort_by_key(|&row| ids.value(row as usize));
    let expected = rows(batch.select(&order).columns());
    let found: Vec<Vec<String>> = read_back(&clickhouse).await.iter().flat_map(rows).collect();

    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        for ((found, expected), column) in found.iter().zip(expected).zip(base_columns()) {
            assert_eq!(found, expected, "{}", column.name);
        }
    }
    // A comparison of nothing but defaults would prove little.
    let seen = |index: usize| {
        let values: std::collections::HashSet<&String> =
            expected.iter().map(|row| &row[index]).collect();
        values.len()
    };
    let plain = base_columns()
        .enumerate()
        .filter(|(index, _)| seen(*index) < 2)
        .count();
    assert!(plain < 12, "{plain} columns have one value in all rows");
}

#[tokio::test]
async fn sample_lines_come_back_as_they_went_in() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/logs/real-time-all.log");
    check("sample_lines_come_back", std::fs::read(file).unwrap()).await;
}

#[tokio::test]
async fn generated_lines_come_back_as_they_went_in() {
    let mut lines = Vec::new();
    for (seed, (_, profile)) in Profile::ALL.into_iter().enumerate() {
        let mut settings = Settings::new(seed as u64, 1_780_000_000_000 + seed as u64 * DAY_MS);
        settings.profile = profile;
        Generator::new(settings).fill(&mut lines, 5_000);
    }
    check("generated_lines_come_back", lines).await;
}
