//! The sink: one batch, one insert, once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use canopy_batch::{Batch, Sink};

use crate::client::{ClickHouse, Connection, Version};
use crate::encode::encode;
use crate::error::{Disposition, Error};
use crate::server::Server;
use crate::sql::Identifier;

/// Bytes of the body compressed and sent at a time. ClickHouse decompresses
/// frame by frame; at 1 MiB the frame's overhead is nothing and the pieces
/// still overlap with the server's work.
const PIECE_BYTES: usize = 1 << 20;

/// How many day partitions one insert may touch. ClickHouse's default of 100
/// would refuse an old file of a quiet site, and the limit exists to stop
/// tables partitioned by mistake, which this one is not. 27 years of days are
/// beyond any log; 3,000 took 1.4 s.
const MAX_PARTITIONS: &str = "10000";

/// How often, and how long, an insert is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// From the first try, after which no new try starts; default 120 s. A
    /// try under way is cut off by [`crate::Timeouts::insert`], or by this
    /// where less is left.
    pub deadline: Duration,
    /// Wait before the second try, doubled for each further one; default 100 ms.
    /// Each wait is drawn from the half below to the full value, so that many
    /// senders do not come back at once.
    pub first_wait: Duration,
    /// The longest wait; default 5 s.
    pub longest_wait: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Retries {
            deadline: Duration::from_secs(120),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(5),
        }
    }
}

impl Retries {
    /// Returns the wait after try number `tries` (from 1).
    fn wait(&self, tries: u32) -> Duration {
        let full = self
            .first_wait
            .saturating_mul(1 << (tries - 1).min(20))
            .min(self.longest_wait);
        full.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// Inserts batches into one table, each once for its token.
///
/// A batch is one synchronous `INSERT … FORMAT ArrowStream` of one block,
/// LZ4-compressed, with the batch's columns named. An insert that failed in a
/// way that may pass, or whose outcome is unknown, is sent again with its
/// token until it is known to be in or [`Retries::deadline`] has passed.
///
/// Once, because ClickHouse remembers tokens, for each partition apart: a
/// second insert adds only the partitions that the first did not. It
/// remembers as many as the table's `non_replicated_deduplication_window`
/// (or, replicated, `replicated_deduplication_window`); see
/// `docs/schema.md`. The other side of it: **other rows under a token that
/// was used are dropped without a word**, so a token must name its records.
#[derive(Clone, Debug)]
pub struct ClickHouseSink {
    clickhouse: ClickHouse,
    table: Identifier,
    retries: Retries,
}

impl ClickHouseSink {
    pub(crate) fn new(clickhouse: ClickHouse, table: Identifier) -> Self {
        ClickHouseSink {
            clickhouse,
            table,
            retries: Retries::default(),
        }
    }

    /// Sets how often, and how long, an insert is tried.
    pub fn with_retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// Sends an insert, again and again where that may help.
    pub(crate) async fn send(&self, insert: &Insert<'_>) -> Result<(), Error> {
        let started = Instant::now();
        let mut broken: Option<Server> = None;
        let mut tries = 0;
        let mut was_denied = false;
        loop {
            let left = self.retries.deadline.saturating_sub(started.elapsed());
            let error = match self.try_once(insert, broken.take(), left).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            tries += 1;
            let wait = self.retries.wait(tries);
            let denied = matches!(error, Error::Denied { .. });
            let moved = self.clickhouse.may_have_moved(&error) && !(denied && was_denied);
            was_denied |= denied;
            if (error.disposition() != Disposition::Retry && !moved)
                || started.elapsed() + wait >= self.retries.deadline
            {
                return Err(error);
            }
            if moved || error.is_connection() {
                broken = Some(self.clickhouse.server());
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Makes one try, after looking where the server is now if the last one
    /// `broke`.
    async fn try_once(
        &self,
        insert: &Insert<'_>,
        broken: Option<Server>,
        left: Duration,
    ) -> Result<(), Error> {
        let started = Instant::now();
        if let Some(server) = broken {
            // An engine may take longer to start than is left.
            tokio::time::timeout(left, self.clickhouse.reconnect(&server))
                .await
                .map_err(|_| Error::TimedOut {
                    url: server.url.clone(),
                    after: left,
                })??;
        }
        let left = left.saturating_sub(started.elapsed());
        let timeout = self.clickhouse.timeouts().insert.min(left);
        insert.send(&self.clickhouse.connection(), timeout).await
    }
}

impl Sink for ClickHouseSink {
    type Error = Error;

    async fn insert(&self, batch: &Batch, token: &str) -> Result<u64, Error> {
        if batch.row_count() == 0 || batch.columns().num_columns() == 0 {
            return Ok(0);
        }
        let insert = Insert {
            sql: statement(&self.table, batch)?,
            token: Some(token),
            body: Bytes::from(encode(batch)?),
        };
        self.send(&insert).await.map_err(Error::of_insert)?;
        Ok(batch.row_count() as u64)
    }
}

/// Returns the `INSERT`, all columns named, so that the table's others, and
/// columns added to it meanwhile, take their defaults.
fn statement(table: &Identifier, batch: &Batch) -> Result<String, Error> {
    let mut sql = format!("INSERT INTO {table} (");
    for (index, field) in batch.columns().schema_ref().fields().iter().enumerate() {
        if index > 0 {
            sql.push_str(", ");
        }
        sql.push_str(&Identifier::new(field.name())?.to_string());
    }
    sql.push_str(") FORMAT ArrowStream");
    Ok(sql)
}

/// Returns the settings that make an insert synchronous, one block, and
/// deduplicated by its token, all of it whatever the server's or the user's
/// profile has for defaults (they changed in 26.2).
///
/// Source: <https://clickhouse.com/docs/operations/settings/settings>.
fn settings(version: Version, token: Option<&str>) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("async_insert", "0".to_owned()),
        // With views, a retry must not count twice in what they feed.
        (
            "deduplicate_blocks_in_dependent_materialized_views",
            "1".to_owned(),
        ),
        ("max_partitions_per_insert_block", MAX_PARTITIONS.to_owned()),
        // ClickHouse makes one block of the body's one record batch. These
        // keep it from cutting it up (older versions) or from putting blocks
        // together or apart by thresholds that a profile may set.
        ("max_insert_block_size", "100000000".to_owned()),
        ("min_insert_block_size_rows", "0".to_owned()),
        ("min_insert_block_size_bytes", "0".to_owned()),
        ("max_insert_threads", "1".to_owned()),
        // On a Distributed table: the answer comes when the shards have it.
        ("distributed_foreground_insert", "1".to_owned()),
    ];
    if let Some(token) = token {
        settings.push(("insert_deduplication_token", token.to_owned()));
    }
    let renamed = Version {
        major: 26,
        minor: 2,
    };
    settings.push(if version >= renamed {
        ("deduplicate_insert", "enable".to_owned())
    } else {
        ("insert_deduplicate", "1".to_owned())
    });
    settings
}

/// An insert, ready to be sent as often as it takes.
pub(crate) struct Insert<'a> {
    /// With its columns and its format.
    pub(crate) sql: String,
    /// Without one, ClickHouse tells a repeated insert by its rows.
    pub(crate) token: Option<&'a str>,
    pub(crate) body: Bytes,
}

impl Insert<'_> {
    async fn send(&self, connection: &Connection, timeout: Duration) -> Result<(), Error> {
        let mut insert = connection.client().insert_formatted_with(self.sql.as_str());
        for (name, value) in settings(connection.version, self.token) {
            insert = insert.with_setting(name, value);
        }
        let send = async {
            for start in (0..self.body.len()).step_by(PIECE_BYTES) {
                let end = (start + PIECE_BYTES).min(self.body.len());
                insert.send(self.body.slice(start..end)).await?;
            }
            insert.end().await
        };
        match tokio::time::timeout(timeout, send).await {
            Ok(sent) => {
                sent.map_err(|error| Error::from_client(error, &connection.server, timeout))
            }
            Err(_) => Err(Error::TimedOut {
                url: connection.server.url.clone(),
                after: timeout,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_stop_at_the_longest() {
        let retries = Retries::default();
        for (tries, full) in [(1, 100), (2, 200), (5, 1600), (7, 5000), (60, 5000)] {
            for _ in 0..20 {
                let wait = retries.wait(tries).as_millis();
                assert!((full / 2..=full).contains(&wait), "{tries}: {wait}");
            }
        }
    }

    #[test]
    fn deduplication_is_asked_for_by_the_version_s_own_name() {
        let names = |major, minor| -> Vec<&str> {
            let settings = settings(Version { major, minor }, Some("t"));
            settings.iter().map(|(name, _)| *name).collect()
        };
        assert!(names(26, 2).contains(&"deduplicate_insert"));
        assert!(!names(26, 2).contains(&"insert_deduplicate"));
        assert!(names(25, 12).contains(&"insert_deduplicate"));
        assert!(!names(25, 12).contains(&"deduplicate_insert"));
    }
}
