//! Measures what `docs/schema.md` chooses by: codecs, sorting keys, indices
//! and the form of an insert, on generated traffic, with the embedded engine.
//!
//! ```text
//! make engine
//! cargo run --release -p canopy-clickhouse --example measure_schema -- [ROWS] [PART…]
//! ```
//!
//! `ROWS` is 1,000,000 where not given; `PART` is any of `insert`, `codecs`,
//! `keys` and `indices`, all where none is. Prints Markdown tables. One run
//! takes some minutes and about 2 GB of memory for each million rows; on a
//! busy machine read the ratios, and repeat.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema};
use bytes::Bytes;
use canopy_batch::formats::{Format, Layout, Parser};
use canopy_batch::schema::base_columns;
use canopy_batch::{Batch, Column, ColumnType, Sink};
use canopy_clickhouse::engine::{Engine, ServeSettings};
use canopy_clickhouse::schema::{self, SchemaSettings, clickhouse_type};
use canopy_clickhouse::{ClickHouse, Server, Target, encode};
use canopy_traffic::{Generator, Incident, IncidentKind, Pace, Settings};
use serde::Deserialize;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A day in May 2026, the first millisecond.
const DAY_MS: u64 = 1_779_667_200_000;

/// Rows of an insert: what a Lambda of a busy site or a chunk of a file holds.
const BATCH_ROWS: u64 = 20_000;

/// How often a query is run; the quickest counts, the others met a neighbour.
const RUNS: usize = 9;

/// The sorting key of the table that ships.
const SHIPPED_KEY: &str = "cs_host, timestamp";

/// The sorting keys compared.
const KEYS: [&str; 6] = [
    "timestamp",
    "cs_host, timestamp",
    "cs_host, toStartOfHour(timestamp), timestamp",
    "cs_host, toStartOfFiveMinutes(timestamp), sc_status, timestamp",
    "cs_host, sc_status, timestamp",
    "toStartOfHour(timestamp), cs_host, sc_status, timestamp",
];

/// The codecs compared, and what they can be put on.
const CODECS: [(&str, On); 9] = [
    ("LZ4", On::All),
    ("ZSTD(1)", On::All),
    ("ZSTD(3)", On::All),
    ("ZSTD(6)", On::All),
    ("Delta, ZSTD(1)", On::Numbers),
    ("DoubleDelta, ZSTD(1)", On::Numbers),
    ("T64, ZSTD(1)", On::Integers),
    ("Gorilla, ZSTD(1)", On::Floats),
    ("FPC, ZSTD(1)", On::Floats),
];

#[derive(Clone, Copy, PartialEq)]
enum On {
    All,
    Numbers,
    Integers,
    Floats,
}

impl On {
    fn takes(self, column: &Column) -> bool {
        use ColumnType::*;
        let float = matches!(column.column_type, Float32 | Float64);
        let integer = matches!(
            column.column_type,
            UInt8 | UInt16 | UInt32 | UInt64 | Int64 | TimestampMs
        );
        match self {
            On::All => true,
            On::Numbers => float || integer,
            On::Integers => integer,
            On::Floats => float,
        }
    }
}

/// The dashboards' queries. `{host}` is the busiest host, `{ip}` one viewer,
/// `{id}` one request, `{from}` and `{to}` three hours in the evening.
const QUERIES: [(&str, &str); 9] = [
    (
        "per minute, one host, 3 h",
        "SELECT toStartOfMinute(timestamp) AS minute, sum(sample_weight), \
         sumIf(sample_weight, sc_status >= 500) FROM {table} WHERE cs_host = '{host}' \
         AND timestamp >= {from} AND timestamp < {to} GROUP BY minute ORDER BY minute",
    ),
    (
        "per minute, all hosts, 3 h",
        "SELECT toStartOfMinute(timestamp) AS minute, cs_host, sum(sample_weight), sum(sc_bytes) \
         FROM {table} WHERE timestamp >= {from} AND timestamp < {to} GROUP BY minute, cs_host",
    ),
    (
        "top paths with 5xx, one host, day",
        "SELECT cs_uri_stem, count() AS n FROM {table} WHERE cs_host = '{host}' \
         AND sc_status >= 500 GROUP BY cs_uri_stem ORDER BY n DESC LIMIT 20",
    ),
    (
        "top paths, all hosts, 3 h",
        "SELECT cs_uri_stem, count() AS n, sum(sc_bytes) FROM {table} \
         WHERE timestamp >= {from} AND timestamp < {to} GROUP BY cs_uri_stem ORDER BY n DESC LIMIT 20",
    ),
    (
        "percentiles by edge, one host, 3 h",
        "SELECT x_edge_location, quantiles(0.5, 0.95, 0.99)(time_taken), \
         quantiles(0.5, 0.95, 0.99)(origin_fbl) FROM {table} WHERE cs_host = '{host}' \
         AND timestamp >= {from} AND timestamp < {to} GROUP BY x_edge_location",
    ),
    (
        "by country, all hosts, 3 h",
        "SELECT c_country, count(), sum(sc_bytes), countIf(x_edge_result_type = 'Hit') / count() \
         FROM {table} WHERE timestamp >= {from} AND timestamp < {to} GROUP BY c_country",
    ),
    (
        "one viewer's requests, day",
        "SELECT timestamp, cs_host, cs_uri_stem, sc_status FROM {table} WHERE c_ip = '{ip}' \
         ORDER BY timestamp LIMIT 100",
    ),
    (
        "one request by id, day",
        "SELECT timestamp, cs_host, cs_uri_stem, sc_status FROM {table} \
         WHERE x_edge_request_id = '{id}'",
    ),
    (
        "last 100 lines, one host",
        "SELECT * FROM {table} WHERE cs_host = '{host}' AND timestamp < {to} \
         ORDER BY timestamp DESC LIMIT 100",
    ),
];

#[tokio::main]
async fn main() -> Result<()> {
    let mut rows = 1_000_000;
    let mut parts = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.parse() {
            Ok(number) => rows = number,
            Err(_) => parts.push(argument),
        }
    }
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);

    let folder = tempfile::tempdir()?;
    let library = std::env::var_os("CANOPY_ENGINE_LIBRARY").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/engine/libchdb.so"),
        Into::into,
    );
    let mut settings = ServeSettings::new(folder.path().join("store"), library);
    settings.idle = None;
    let engine = Engine::start(settings).await?;
    let measure = Measure {
        clickhouse: connect(engine.server(), "measure").await?,
        batches: traffic(rows),
    };
    println!("{rows} rows, ClickHouse {}\n", engine.version());

    if wanted("insert") {
        measure.insert().await?;
    }
    if wanted("codecs") {
        measure.codecs().await?;
    }
    if wanted("keys") {
        measure.keys().await?;
    }
    if wanted("indices") {
        measure.indices().await?;
    }
    // The engine's threads do not survive an ordinary end of the process.
    drop(folder);
    std::process::exit(0)
}

/// Makes a day of traffic of all 71 fields, with two incidents in it.
fn traffic(rows: u64) -> Vec<Batch> {
    let mut settings = Settings::new(1, DAY_MS);
    settings.pace = Pace::Spread {
        lines: rows,
        window: Duration::from_secs(24 * 3600),
    };
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    settings.incidents = vec![
        Incident::new(IncidentKind::ErrorBurst, hours(18), hours(1)),
        Incident::new(IncidentKind::BotFlood, hours(8), hours(1)),
    ];
    let mut generator = Generator::new(settings);
    let mut parser = Parser::new(Format::RealTime(Layout::all()), 100.0);
    let mut batches = Vec::new();
    let mut left = rows;
    while left > 0 {
        let lines = left.min(BATCH_ROWS);
        let mut data = Vec::new();
        generator.fill(&mut data, lines);
        batches.push(parser.parse_lines(Bytes::from(data), 1).batch);
        left -= lines;
    }
    batches
}

async fn connect(server: &Server, database: &str) -> Result<ClickHouse> {
    let server = Server {
        database: database.to_owned(),
        ..server.clone()
    };
    let clickhouse = ClickHouse::connect(Target::Server(server)).await?;
    let settings = SchemaSettings {
        database: database.to_owned(),
        ..SchemaSettings::default()
    };
    schema::apply(&clickhouse, &settings).await?;
    Ok(clickhouse)
}

struct Measure {
    clickhouse: ClickHouse,
    batches: Vec<Batch>,
}

/// What filling a table took, of this process: client and engine.
struct Filled {
    wall: Duration,
    cpu: Duration,
}

impl Measure {
    fn rows(&self) -> usize {
        self.batches.iter().map(Batch::row_count).sum()
    }

    /// Creates a table of the base columns.
    async fn create(
        &self,
        table: &str,
        key: &str,
        codec: impl Fn(&Column) -> String,
    ) -> Result<()> {
        let columns: Vec<String> = base_columns()
            .map(|column| {
                let codec = match codec(column) {
                    codec if codec.is_empty() => codec,
                    codec => format!(" CODEC({codec})"),
                };
                format!("`{}` {}{codec}", column.name, clickhouse_type(column))
            })
            .collect();
        let sql = format!(
            "CREATE TABLE {table} ({}) ENGINE = MergeTree PARTITION BY toDate(timestamp) \
             ORDER BY ({key}) SETTINGS non_replicated_deduplication_window = 10000",
            columns.join(", ")
        );
        Ok(self.clickhouse.execute(&sql).await?)
    }

    /// Creates a table like the one that ships, under another sorting key.
    async fn create_as_shipped(&self, table: &str, key: &str) -> Result<()> {
        let statements = schema::statements(&SchemaSettings {
            database: "measure".into(),
            ..SchemaSettings::default()
        })?;
        let shipped = &statements[1];
        let from = shipped.find("ORDER BY (").ok_or("no sorting key")?;
        let to = from + shipped[from..].find('\n').ok_or("no end of the key")?;
        let sql = format!("{}ORDER BY ({key}){}", &shipped[..from], &shipped[to..]).replacen(
            "cloudfront_logs",
            table,
            1,
        );
        Ok(self.clickhouse.execute(&sql).await?)
    }

    async fn fill(&self, table: &str, batches: &[Batch]) -> Result<Filled> {
        let sink = self.clickhouse.sink(table)?;
        let (started, cpu) = (Instant::now(), cpu_time());
        for (number, batch) in batches.iter().enumerate() {
            sink.insert(batch, &number.to_string()).await?;
        }
        Ok(Filled {
            wall: started.elapsed(),
            cpu: cpu_time() - cpu,
        })
    }

    /// Fills a table and merges it to one part, so that its size is settled.
    async fn settle(&self, table: &str) -> Result<Filled> {
        let filled = self.fill(table, &self.batches).await?;
        self.clickhouse
            .execute(&format!("OPTIMIZE TABLE {table} FINAL"))
            .await?;
        Ok(filled)
    }

    /// Low text as a dictionary, or plain: the body, and both sides' time.
    async fn insert(&self) -> Result<()> {
        println!(
            "| low text sent as | body, bytes/row | LZ4, bytes/row | encode, µs/row | LZ4, µs/row | insert into Null, CPU µs/row | into MergeTree, CPU µs/row |"
        );
        println!("| --- | --: | --: | --: | --: | --: | --: |");
        let plain: Vec<Batch> = self.batches.iter().map(renamed).collect();
        let columns: Vec<String> = base_columns()
            .map(|column| format!("p_{} {}", column.name, clickhouse_type(column)))
            .collect();
        // The addresses of the renamed columns are sent as text, too.
        let columns = columns.join(", ");
        let same: Vec<String> = base_columns()
            .map(|column| format!("`{}` {}", column.name, clickhouse_type(column)))
            .collect();
        let key = "PARTITION BY toDate(timestamp) ORDER BY (cs_host, timestamp)";
        let settings = "SETTINGS non_replicated_deduplication_window = 10000";
        for sql in [
            format!("CREATE TABLE null_plain ({columns}) ENGINE = Null"),
            format!(
                "CREATE TABLE null_dictionary ({}) ENGINE = Null",
                same.join(", ")
            ),
            format!(
                "CREATE TABLE tree_plain ({columns}) ENGINE = MergeTree {} {settings}",
                key.replace("timestamp", "p_timestamp")
                    .replace("cs_host", "p_cs_host")
            ),
            format!(
                "CREATE TABLE tree_dictionary ({}) ENGINE = MergeTree {key} {settings}",
                same.join(", ")
            ),
        ] {
            self.clickhouse.execute(&sql).await?;
        }
        for (name, batches) in [
            ("plain", &plain),
            ("dictionary", &self.batches),
            ("plain", &plain),
            ("dictionary", &self.batches),
        ] {
            let (mut body, mut compressed) = (0, 0);
            let (mut encoding, mut compressing) = (Duration::ZERO, Duration::ZERO);
            for batch in batches {
                let started = Instant::now();
                let bytes = encode(batch)?;
                encoding += started.elapsed();
                body += bytes.len();
                let started = Instant::now();
                for piece in bytes.chunks(1 << 20) {
                    compressed += lz4_flex::block::compress(piece).len();
                }
                compressing += started.elapsed();
            }
            let null = self.fill(&format!("null_{name}"), batches).await?;
            let tree = format!("tree_{name}");
            self.clickhouse
                .execute(&format!("TRUNCATE TABLE {tree}"))
                .await?;
            let tree = self.fill(&tree, batches).await?;
            let rows = self.rows();
            println!(
                "| {name} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
                body / rows,
                compressed / rows,
                micros(encoding, rows),
                micros(compressing, rows),
                micros(null.cpu, rows),
                micros(tree.cpu, rows),
            );
        }
        println!();
        Ok(())
    }

    /// Bytes a row of each column under each codec.
    async fn codecs(&self) -> Result<()> {
        let key = SHIPPED_KEY;
        let mut sizes: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
        for (number, (codec, on)) in CODECS.iter().enumerate() {
            let table = format!("codec_{number}");
            self.create(&table, key, |column| {
                if on.takes(column) {
                    (*codec).to_owned()
                } else {
                    "NONE".to_owned()
                }
            })
            .await?;
            self.settle(&table).await?;
            for (name, bytes) in self.column_bytes(&table).await? {
                let column = base_columns().find(|column| column.name == name);
                let taken = column.is_some_and(|column| on.takes(column));
                sizes.entry(name).or_default().push(taken.then_some(bytes));
            }
            self.clickhouse
                .execute(&format!("DROP TABLE {table} SYNC"))
                .await?;
        }
        let names: Vec<&str> = CODECS.iter().map(|(codec, _)| *codec).collect();
        println!("Bytes a row, key ({key}):\n");
        println!("| column | {} |", names.join(" | "));
        println!("| --- |{}", " --: |".repeat(CODECS.len()));
        for column in base_columns() {
            let cells: Vec<String> = sizes[&*column.name]
                .iter()
                .map(|bytes| bytes.map_or_else(|| "".into(), |bytes| format!("{bytes:.3}")))
                .collect();
            println!("| {} | {} |", column.name, cells.join(" | "));
        }
        println!();
        Ok(())
    }

    /// The table that ships under each sorting key: size, inserts, queries.
    async fn keys(&self) -> Result<()> {
        let mut head = String::from("| | ");
        let mut lines: Vec<String> = Vec::new();
        let mut line = |index: usize, name: &str, cell: String| {
            if lines.len() <= index {
                lines.push(format!("| {name} |"));
            }
            lines[index].push_str(&format!(" {cell} |"));
        };
        for (number, key) in KEYS.iter().enumerate() {
            let table = format!("key_{number}");
            self.create_as_shipped(&table, key).await?;
            let filled = self.settle(&table).await?;
            let bytes: f64 = self
                .column_bytes(&table)
                .await?
                .iter()
                .map(|(_, bytes)| bytes)
                .sum();
            head.push_str(&format!("`{key}` | "));
            line(0, "bytes/row", format!("{bytes:.1}"));
            line(
                1,
                "insert, µs/row",
                format!("{:.1}", micros(filled.wall, self.rows())),
            );
            line(
                2,
                "insert, CPU µs/row",
                format!("{:.1}", micros(filled.cpu, self.rows())),
            );
            for (index, (name, sql)) in QUERIES.iter().enumerate() {
                line(index + 3, name, self.query(&table, sql).await?);
            }
            self.clickhouse
                .execute(&format!("DROP TABLE {table} SYNC"))
                .await?;
        }
        println!("{head}\n| --- |{}", " --: |".repeat(KEYS.len()));
        println!("{}\n", lines.join("\n"));
        Ok(())
    }

    /// Skipping indices for the two look-ups that no key serves.
    async fn indices(&self) -> Result<()> {
        println!("| index | bytes/row | insert, CPU µs/row | one viewer | one request |");
        println!("| --- | --: | --: | --: | --: |");
        let key = SHIPPED_KEY;
        for (number, indices) in [
            "",
            "c_ip TYPE bloom_filter(0.01) GRANULARITY 1",
            "c_ip TYPE bloom_filter(0.025) GRANULARITY 4",
            "x_edge_request_id TYPE bloom_filter(0.01) GRANULARITY 1",
            "x_edge_request_id TYPE bloom_filter(0.025) GRANULARITY 4",
        ]
        .iter()
        .enumerate()
        {
            let table = format!("index_{number}");
            self.create_as_shipped(&table, key).await?;
            for name in ["by_viewer", "by_request"] {
                let drop = format!("ALTER TABLE {table} DROP INDEX IF EXISTS {name}");
                self.clickhouse.execute(&drop).await?;
            }
            if !indices.is_empty() {
                let add = format!("ALTER TABLE {table} ADD INDEX added {indices}");
                self.clickhouse.execute(&add).await?;
            }
            let filled = self.settle(&table).await?;
            let bytes = self
                .number(&format!(
                    "SELECT sum(secondary_indices_compressed_bytes) AS n FROM system.parts \
                     WHERE active AND database = currentDatabase() AND table = '{table}'"
                ))
                .await?;
            println!(
                "| {} | {:.2} | {:.1} | {} | {} |",
                if indices.is_empty() { "none" } else { indices },
                bytes / self.rows() as f64,
                micros(filled.cpu, self.rows()),
                self.query(&table, QUERIES[6].1).await?,
                self.query(&table, QUERIES[7].1).await?,
            );
            self.clickhouse
                .execute(&format!("DROP TABLE {table} SYNC"))
                .await?;
        }
        println!();
        Ok(())
    }

    async fn number(&self, sql: &str) -> Result<f64> {
        #[derive(Deserialize)]
        struct Row {
            n: f64,
        }
        let rows: Vec<Row> = self.clickhouse.query_rows(sql).await?;
        Ok(rows.first().ok_or("no row")?.n)
    }

    /// Bytes on disk of each column, for each row.
    async fn column_bytes(&self, table: &str) -> Result<Vec<(String, f64)>> {
        #[derive(Deserialize)]
        struct Row {
            name: String,
            bytes: f64,
        }
        let rows: Vec<Row> = self
            .clickhouse
            .query_rows(&format!(
                "SELECT column AS name, sum(column_data_compressed_bytes) / {} AS bytes \
                 FROM system.parts_columns WHERE active AND database = currentDatabase() \
                 AND table = '{table}' GROUP BY column",
                self.rows()
            ))
            .await?;
        Ok(rows.into_iter().map(|row| (row.name, row.bytes)).collect())
    }

    /// Runs a query and returns its quickest time and how much it read.
    async fn query(&self, table: &str, sql: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct Answer {
            statistics: Statistics,
        }
        #[derive(Deserialize)]
        struct Statistics {
            elapsed: f64,
            rows_read: u64,
        }
        let last = self.batches.last().ok_or("no traffic")?;
        let text = |column: &str| -> Result<String> {
            use arrow_array::cast::AsArray;
            let array = last.column(column).ok_or("no such column")?;
            Ok(array
                .as_string::<i32>()
                .value(last.row_count() / 2)
                .to_owned())
        };
        let time = |hour: u64| format!("fromUnixTimestamp64Milli({})", DAY_MS + hour * 3_600_000);
        let sql = sql
            .replace("{table}", table)
            .replace("{host}", &busiest_host(last))
            .replace("{ip}", &text("c_ip")?)
            .replace("{id}", &text("x_edge_request_id")?)
            .replace("{from}", &time(18))
            .replace("{to}", &time(21))
            // A cache of which granules matched, as if the query had run before.
            + " SETTINGS use_query_condition_cache = 0";
        let mut best = f64::MAX;
        let mut rows = 0;
        for _ in 0..RUNS {
            let answer = self.clickhouse.query_bytes(&sql, "JSON").await?;
            let Answer { statistics } = serde_json::from_slice(&answer)?;
            best = best.min(statistics.elapsed);
            rows = statistics.rows_read;
        }
        Ok(format!("{:.1} ms, {}k", best * 1000.0, rows / 1000))
    }
}

/// Returns the batch with columns that are nobody's base columns, and so are
/// encoded as they are.
fn renamed(batch: &Batch) -> Batch {
    let columns = batch.columns();
    let fields: Vec<Field> = columns
        .schema()
        .fields()
        .iter()
        .map(|field| {
            field
                .as_ref()
                .clone()
                .with_name(format!("p_{}", field.name()))
        })
        .collect();
    let columns = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.columns().to_vec())
        .expect("only names differ");
    Batch::new(
        columns,
        Arc::clone(batch.records()),
        batch.origins().to_vec(),
    )
}

fn busiest_host(batch: &Batch) -> String {
    use arrow_array::cast::AsArray;
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    if let Some(hosts) = batch.column("cs_host") {
        for host in hosts.as_string::<i32>().iter().flatten() {
            *counts.entry(host).or_default() += 1;
        }
    }
    let busiest = counts.into_iter().max_by_key(|(_, count)| *count);
    busiest.map_or_else(String::new, |(host, _)| host.to_owned())
}

fn micros(time: Duration, rows: usize) -> f64 {
    time.as_secs_f64() * 1e6 / rows as f64
}

/// User and system time of this process and all its threads.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // Linux counts in hundredths of a second, whatever the kernel's own clock.
    Duration::from_millis(ticks * 10)
}
