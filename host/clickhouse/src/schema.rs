//! The tables: made from the files in `infra/clickhouse/`, kept up to date,
//! shown.
//!
//! The files are the one place where the tables are written down; this module
//! fills in names and applies them. Why the tables are as they are is measured
//! in `docs/schema.md`.

use std::collections::BTreeMap;
use std::fmt;

use canopy_batch::schema::base_columns;
use canopy_batch::{Column, ColumnType};
use serde::Deserialize;

use crate::client::ClickHouse;
use crate::error::Error;
use crate::sql::{Identifier, IdentifierError, literal};

/// The table of log lines.
pub const LOGS: &str = "cloudfront_logs";

/// The table of what went where, see [`crate::ledger`].
pub const LEDGER: &str = "ledger";

/// The DDL, one statement a file, in the order of their numbers. Those of
/// `cluster/` come after their namesakes, on a cluster only.
const FILES: [(&str, Only); 5] = [
    (
        include_str!("../../../infra/clickhouse/0001_database.sql"),
        Only::Always,
    ),
    (
        include_str!("../../../infra/clickhouse/0002_cloudfront_logs.sql"),
        Only::Always,
    ),
    (
        include_str!("../../../infra/clickhouse/cluster/0002_cloudfront_logs.sql"),
        Only::OnCluster,
    ),
    (
        include_str!("../../../infra/clickhouse/0003_ledger.sql"),
        Only::Always,
    ),
    (
        include_str!("../../../infra/clickhouse/cluster/0003_ledger.sql"),
        Only::OnCluster,
    ),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Only {
    Always,
    OnCluster,
}

/// How many insert tokens a table remembers, all its partitions together. At
/// one insert a second, more than a day; a replay from a longer past asks the
/// ledger. Full, it takes 20 MB of memory and 64 ms at start (`docs/schema.md`);
/// on a cluster it is Keeper that remembers, which was not measured.
pub const DEDUPLICATION_WINDOW: u32 = 100_000;

/// How long a replicated table remembers insert tokens: a week, against the
/// hour that is ClickHouse's default since 25.10.
pub const DEDUPLICATION_SECONDS: u32 = 7 * 24 * 3600;

/// How the columns of plugins are compressed; what most base columns have, too.
const CODEC: &str = "ZSTD(1)";

/// What the operator decides about the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaSettings {
    /// The database, created where it does not exist.
    pub database: String,
    /// The name of a cluster: tables are replicated and sharded over it.
    /// Without one, they are plain.
    pub cluster: Option<String>,
    /// After how many days log lines are dropped, by whole days. Without one
    /// they stay, and a limit that the table already has is left alone.
    pub ttl_days: Option<u32>,
}

impl Default for SchemaSettings {
    /// Database `canopy`, no cluster, lines kept for ever.
    fn default() -> Self {
        SchemaSettings {
            database: crate::server::DEFAULT_DATABASE.to_owned(),
            cluster: None,
            ttl_days: None,
        }
    }
}

/// Something that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A database was created.
    Database(String),
    /// A table was created.
    Table(String),
    /// A column was added.
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its ClickHouse type.
        clickhouse_type: String,
    },
    /// A column's comment was brought up to date.
    Comment {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The age at which lines are dropped was changed.
    Ttl {
        /// The table.
        table: String,
        /// The new age, in days.
        days: u32,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Database(name) => write!(f, "created database {name}"),
            Change::Table(name) => write!(f, "created table {name}"),
            Change::Column {
                table,
                column,
                clickhouse_type,
            } => write!(f, "added column {column} {clickhouse_type} to {table}"),
            Change::Comment { table, column } => {
                write!(f, "changed the comment of column {column} of {table}")
            }
            Change::Ttl { table, days } => {
                write!(f, "lines of {table} are now dropped after {days} days")
            }
        }
    }
}

/// The tables cannot be made what they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A name that cannot be a database's, table's, column's or cluster's.
    #[error(transparent)]
    Identifier(#[from] IdentifierError),
    /// A column exists with another type. Nothing was changed.
    #[error(
        "column `{column}` of table `{table}` is of type {found}, not {expected}: give the new \
         column another name, or change the old one with `ALTER TABLE {table} MODIFY COLUMN \
         {column} {expected}` or `… DROP COLUMN {column}`"
    )]
    ColumnType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The type it has.
        found: String,
        /// The type it should have.
        expected: String,
    },
    /// ClickHouse failed.
    #[error(transparent)]
    ClickHouse(#[from] Error),
}

/// Returns the ClickHouse type in which a column is stored.
pub fn clickhouse_type(column: &Column) -> String {
    let base = match column.column_type {
        ColumnType::Text | ColumnType::LowText => "String",
        ColumnType::Ip => "IPv6",
        ColumnType::UInt8 => "UInt8",
        ColumnType::UInt16 => "UInt16",
        ColumnType::UInt32 => "UInt32",
        ColumnType::UInt64 => "UInt64",
        ColumnType::Int64 => "Int64",
        ColumnType::Float32 => "Float32",
        ColumnType::Float64 => "Float64",
        ColumnType::TimestampMs => "DateTime64(3, 'UTC')",
        ColumnType::Bool => "Bool",
    };
    let base = if column.nullable {
        format!("Nullable({base})")
    } else {
        base.to_owned()
    };
    match column.column_type {
        ColumnType::LowText => format!("LowCardinality({base})"),
        _ => base,
    }
}

/// Returns the statements that create everything, each a no-op where it has
/// been done, in order.
///
/// # Errors
///
/// Where the database or the cluster cannot be a name.
pub fn statements(settings: &SchemaSettings) -> Result<Vec<String>, IdentifierError> {
    let names = Names::new(settings)?;
    Ok(FILES
        .iter()
        .filter(|(_, only)| *only == Only::Always || names.cluster.is_some())
        .map(|(text, _)| names.fill(text))
        .collect())
}

/// What stands for the placeholders of the files.
struct Names {
    database: Identifier,
    cluster: Option<Identifier>,
    ttl_days: Option<u32>,
}

impl Names {
    fn new(settings: &SchemaSettings) -> Result<Names, IdentifierError> {
        Ok(Names {
            database: Identifier::new(&settings.database)?,
            cluster: settings
                .cluster
                .as_deref()
                .map(Identifier::new)
                .transpose()?,
            ttl_days: settings.ttl_days,
        })
    }

    /// Returns ` ON CLUSTER …`, or nothing.
    fn on_cluster(&self) -> String {
        self.cluster
            .as_ref()
            .map_or_else(String::new, |cluster| format!(" ON CLUSTER {cluster}"))
    }

    /// Returns the tables that hold the columns of `table`, the one that
    /// holds the rows first.
    fn tables(&self, table: &str) -> Vec<String> {
        if self.cluster.is_some() {
            vec![format!("{table}_local"), table.to_owned()]
        } else {
            vec![table.to_owned()]
        }
    }

    fn value(&self, placeholder: &str) -> Option<String> {
        Some(match placeholder {
            "database" => self.database.to_string(),
            "on_cluster" => self.on_cluster(),
            "local" => self.cluster.as_ref().map_or("", |_| "_local").to_owned(),
            "cluster" => self.cluster.as_ref()?.to_string(),
            // Without arguments: the server's default_replica_path and
            // default_replica_name, which ClickHouse Cloud insists on.
            "engine" => match self.cluster {
                None => "MergeTree".to_owned(),
                Some(_) => "ReplicatedMergeTree".to_owned(),
            },
            "deduplication" => match self.cluster {
                None => format!("non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}"),
                Some(_) => format!(
                    "replicated_deduplication_window = {DEDUPLICATION_WINDOW},\n    \
                     replicated_deduplication_window_seconds = {DEDUPLICATION_SECONDS}"
                ),
            },
            "ttl" => self
                .ttl_days
                .map_or_else(String::new, |days| format!("TTL {}\n", ttl(days))),
            _ => return None,
        })
    }

    /// Puts names for `{placeholders}`. What was put in is not looked at
    /// again, and braces around anything else stay.
    fn fill(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let value = rest[open..].find('}').and_then(|length| {
                let value = self.value(&rest[open + 1..open + length])?;
                Some((value, open + length + 1))
            });
            let (value, next) = value.unwrap_or_else(|| ("{".to_owned(), open + 1));
            out.push_str(&rest[..open]);
            out.push_str(&value);
            rest = &rest[next..];
        }
        out.push_str(rest);
        out.trim_end().trim_end_matches(';').to_owned()
    }
}

fn ttl(days: u32) -> String {
    format!("toDateTime(timestamp) + toIntervalDay({days})")
}

/// Creates what does not exist and brings the rest up to date: missing base
/// columns, changed comments, the age at which lines are dropped. Columns that
/// plugins added stay. Returns what was changed; nothing when called again.
///
/// # Errors
///
/// [`SchemaError::ColumnType`] where a column has another type than Canopy
/// writes, before anything is changed; otherwise what ClickHouse says.
pub async fn apply(
    clickhouse: &ClickHouse,
    settings: &SchemaSettings,
) -> Result<Vec<Change>, SchemaError> {
    let names = Names::new(settings)?;
    let before = current(clickhouse, settings).await?;
    let base: Vec<Column> = base_columns().cloned().collect();
    for table in names.tables(LOGS) {
        if let Some(table) = before.table(&table) {
            table.check_types(&base)?;
        }
    }

    for statement in statements(settings)? {
        clickhouse.execute_anywhere(&statement).await?;
    }
    let mut changes = Vec::new();
    if !before.exists {
        changes.push(Change::Database(settings.database.clone()));
    }
    for name in [LOGS, LEDGER].iter().flat_map(|name| names.tables(name)) {
        if before.table(&name).is_none() {
            changes.push(Change::Table(name));
        }
    }
    changes.extend(add_columns(clickhouse, settings, &base).await?);
    changes.extend(change_ttl(clickhouse, &names, &before).await?);
    Ok(changes)
}

/// Adds the columns of plugins to the table of log lines, after those it has;
/// one that is there already only gets its comment. Returns what was changed.
///
/// # Errors
///
/// [`SchemaError::ColumnType`] where a column exists with another type, before
/// anything is changed; otherwise what ClickHouse says.
pub async fn add_columns(
    clickhouse: &ClickHouse,
    settings: &SchemaSettings,
    columns: &[Column],
) -> Result<Vec<Change>, SchemaError> {
    let names = Names::new(settings)?;
    let database = current(clickhouse, settings).await?;
    let mut changes = Vec::new();
    let mut statements = Vec::new();
    for name in names.tables(LOGS) {
        let empty = Table::default();
        let table = database.table(&name).unwrap_or(&empty);
        table.check_types(columns)?;
        for column in columns {
            let Some((action, change)) = table.bring_up(&name, column)? else {
                continue;
            };
            statements.push(format!(
                "ALTER TABLE {}.{}{} {action}",
                names.database,
                Identifier::new(&name)?,
                names.on_cluster(),
            ));
            changes.push(change);
        }
    }
    for statement in statements {
        clickhouse.execute_anywhere(&statement).await?;
    }
    Ok(changes)
}

async fn change_ttl(
    clickhouse: &ClickHouse,
    names: &Names,
    before: &Database,
) -> Result<Option<Change>, SchemaError> {
    let Some(days) = names.ttl_days else {
        return Ok(None);
    };
    let name = names.tables(LOGS).swap_remove(0);
    let expected = format!("TTL {}", ttl(days));
    match before.table(&name) {
        Some(table) if !table.create_query.contains(&expected) => {
            clickhouse
                .execute_anywhere(&format!(
                    "ALTER TABLE {}.{}{} MODIFY {expected}",
                    names.database,
                    Identifier::new(&name)?,
                    names.on_cluster(),
                ))
                .await?;
            Ok(Some(Change::Ttl { table: name, days }))
        }
        _ => Ok(None),
    }
}

/// A database as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// Whether there is one of that name.
    pub exists: bool,
    /// Its tables by name.
    pub tables: BTreeMap<String, Table>,
}

/// A table as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The statement that would create it.
    pub create_query: String,
    /// Its columns in their order.
    pub columns: Vec<TableColumn>,
}

/// A column of a table as it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TableColumn {
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Its ClickHouse type.
    #[serde(rename = "type")]
    pub clickhouse_type: String,
    /// Its comment.
    pub comment: String,
}

impl Database {
    fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }
}

impl Table {
    fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    fn check_types(&self, columns: &[Column]) -> Result<(), SchemaError> {
        for column in columns {
            let expected = clickhouse_type(column);
            if let Some(found) = self.column(&column.name)
                && found.clickhouse_type != expected
            {
                return Err(SchemaError::ColumnType {
                    table: found.table.clone(),
                    column: found.name.clone(),
                    found: found.clickhouse_type.clone(),
                    expected,
                });
            }
        }
        Ok(())
    }

    /// Returns what is to be done to make `column` what it should be.
    fn bring_up(
        &self,
        table: &str,
        column: &Column,
    ) -> Result<Option<(String, Change)>, IdentifierError> {
        let name = Identifier::new(&column.name)?;
        let comment = literal(&column.doc);
        Ok(match self.column(&column.name) {
            None => {
                let clickhouse_type = clickhouse_type(column);
                Some((
                    format!(
                        "ADD COLUMN IF NOT EXISTS {name} {clickhouse_type} COMMENT {comment} \
                         CODEC({CODEC})"
                    ),
                    Change::Column {
                        table: table.to_owned(),
                        column: column.name.to_string(),
                        clickhouse_type,
                    },
                ))
            }
            Some(found) if found.comment != column.doc => Some((
                format!("COMMENT COLUMN {name} {comment}"),
                Change::Comment {
                    table: table.to_owned(),
                    column: column.name.to_string(),
                },
            )),
            Some(_) => None,
        })
    }
}

/// Returns the database as it is.
///
/// # Errors
///
/// What ClickHouse says.
pub async fn current(
    clickhouse: &ClickHouse,
    settings: &SchemaSettings,
) -> Result<Database, SchemaError> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
        create_table_query: String,
    }

    let database = literal(Identifier::new(&settings.database)?.as_str());
    let exists = clickhouse
        .query_rows_anywhere::<crate::client::Count>(&format!(
            "SELECT count() AS n FROM system.databases WHERE name = {database}"
        ))
        .await?;
    let tables = clickhouse
        .query_rows_anywhere::<Row>(&format!(
            "SELECT name, create_table_query FROM system.tables WHERE database = {database}"
        ))
        .await?;
    let columns = clickhouse
        .query_rows_anywhere::<TableColumn>(&format!(
            "SELECT table, name, type, comment FROM system.columns WHERE database = {database} \
             ORDER BY table, position"
        ))
        .await?;
    let mut database = Database {
        exists: exists.iter().any(|count| count.n > 0),
        tables: tables
            .into_iter()
            .map(|row| {
                let table = Table {
                    create_query: row.create_table_query,
                    columns: Vec::new(),
                };
                (row.name, table)
            })
            .collect(),
    };
    for column in columns {
        if let Some(table) = database.tables.get_mut(&column.table) {
            table.columns.push(column);
        }
    }
    Ok(database)
}
