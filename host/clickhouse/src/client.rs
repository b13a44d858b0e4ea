//! The client: queries and statements over ClickHouse's HTTP interface.

use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use clickhouse::Compression;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::engine::only_reads;
use crate::error::Error;
use crate::server::{Server, Target};
use crate::sink::ClickHouseSink;
use crate::sql::{Identifier, IdentifierError};

/// The oldest ClickHouse whose ArrowStream reader takes every type Canopy
/// sends; what is newer than this differs only in settings, see [`Version`].
const OLDEST: Version = Version {
    major: 24,
    minor: 8,
};

/// How long the client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the first answer of a server, while connecting; default 10 s.
    pub connect: Duration,
    /// For a whole query or statement; default 300 s.
    pub query: Duration,
    /// For one try of an insert; default 60 s. Past it, whether the insert
    /// took place is unknown, and it is sent again with its token.
    pub insert: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(10),
            query: Duration::from_secs(300),
            insert: Duration::from_secs(60),
        }
    }
}

/// A ClickHouse version, as far as Canopy tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The year: 26 of 26.7.2.1.
    pub major: u32,
    /// The release within it: 7 of 26.7.2.1.
    pub minor: u32,
}

impl Version {
    fn parse(text: &str) -> Option<Version> {
        let mut numbers = text.trim().split('.').map(str::parse);
        Some(Version {
            major: numbers.next()?.ok()?,
            minor: numbers.next()?.ok()?,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A connection to ClickHouse. Cheap to clone; clones share their pool of
/// connections, and may be used from many tasks at once.
#[derive(Clone)]
pub struct ClickHouse {
    shared: Arc<Shared>,
}

struct Shared {
    target: Target,
    timeouts: Timeouts,
    /// Where the target is now: an engine that was started again has another
    /// address.
    current: RwLock<Connection>,
}

#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) server: Server,
    pub(crate) version: Version,
    /// Without a database, so that one can be created.
    client: clickhouse::Client,
}

impl Connection {
    fn new(server: Server) -> Connection {
        let client = clickhouse::Client::default()
            .with_url(&server.url)
            .with_user(&server.user)
            .with_password(&server.password)
            .with_product_info("canopy", env!("CARGO_PKG_VERSION"))
            .with_compression(Compression::Lz4);
        Connection {
            server,
            version: OLDEST,
            client,
        }
    }

    /// Returns the client, with the server's database as the default.
    pub(crate) fn client(&self) -> clickhouse::Client {
        self.client.clone().with_database(&self.server.database)
    }

    fn client_in(&self, in_database: bool) -> clickhouse::Client {
        if in_database {
            self.client()
        } else {
            self.client.clone()
        }
    }

    /// Asks for the version: shows that the server is there, is ClickHouse,
    /// and lets the user in.
    async fn probe(mut self, timeout: Duration) -> Result<Connection, Error> {
        let query = self.client.query_raw("SELECT version() AS version");
        let answer = collect(query, "TSV", &self.server, timeout).await?;
        let text = String::from_utf8_lossy(&answer);
        let version = Version::parse(&text).ok_or_else(|| Error::Answer {
            url: self.server.url.clone(),
            answer: text.lines().next().unwrap_or_default().to_owned(),
        })?;
        if version < OLDEST {
            return Err(Error::TooOld {
                url: self.server.url.clone(),
                version: text.trim().to_owned(),
                needed: "24.8",
            });
        }
        self.version = version;
        Ok(self)
    }
}

impl ClickHouse {
    /// Connects, with default [`Timeouts`]; starts the engine of a store that
    /// has none. The database need not exist yet.
    ///
    /// # Errors
    ///
    /// Where ClickHouse cannot be reached, is not ClickHouse, is too old, or
    /// refuses the user; where a store's engine does not start.
    pub async fn connect(target: Target) -> Result<ClickHouse, Error> {
        Self::connect_with(target, Timeouts::default()).await
    }

    /// Connects as [`ClickHouse::connect`] does, with the given timeouts.
    ///
    /// # Errors
    ///
    /// Those of [`ClickHouse::connect`].
    pub async fn connect_with(target: Target, timeouts: Timeouts) -> Result<ClickHouse, Error> {
        let connection = Connection::new(server_of(&target).await?)
            .probe(timeouts.connect)
            .await?;
        Ok(ClickHouse {
            shared: Arc::new(Shared {
                target,
                timeouts,
                current: RwLock::new(connection),
            }),
        })
    }

    /// Returns the server spoken to; with a store, its engine's present one.
    pub fn server(&self) -> Server {
        self.connection().server
    }

    /// Returns the version of the server.
    pub fn version(&self) -> Version {
        self.connection().version
    }

    /// Returns the database that unqualified table names mean.
    ///
    /// # Errors
    ///
    /// Where its name cannot be one.
    pub fn database(&self) -> Result<Identifier, IdentifierError> {
        Identifier::new(&self.connection().server.database)
    }

    /// Runs a query and returns its whole result in a format of ClickHouse's,
    /// such as `TSVWithNames`; a `FORMAT` clause in `sql` wins over it.
    ///
    /// A `?` has no special meaning. Where the engine of a store has died, it
    /// is started again, and asked once more if the statement only reads.
    ///
    /// # Errors
    ///
    /// What ClickHouse says, or the way to it.
    pub async fn query_bytes(&self, sql: &str, format: &str) -> Result<Bytes, Error> {
        self.with_engine(only_reads(sql), |connection| {
            let query = connection.client().query_raw(sql);
            async move { collect(query, format, &connection.server, self.timeouts().query).await }
        })
        .await
    }

    /// Runs a query and reads each row of its result, column by column name,
    /// as a `T`.
    ///
    /// Source: [JSONEachRow](https://clickhouse.com/docs/interfaces/formats/JSONEachRow);
    /// 64-bit integers come as numbers, not strings.
    ///
    /// # Errors
    ///
    /// As [`ClickHouse::query_bytes`]; [`Error::Row`] where a row is no `T`.
    pub async fn query_rows<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, Error> {
        self.rows(sql, true).await
    }

    /// Queries as [`ClickHouse::query_rows`] does, with no default database.
    pub(crate) async fn query_rows_anywhere<T: DeserializeOwned>(
        &self,
        sql: &str,
    ) -> Result<Vec<T>, Error> {
        self.rows(sql, false).await
    }

    async fn rows<T: DeserializeOwned>(
        &self,
        sql: &str,
        in_database: bool,
    ) -> Result<Vec<T>, Error> {
        let answer = self
            .with_engine(only_reads(sql), |connection| {
                let query = connection
                    .client_in(in_database)
                    .query_raw(sql)
                    .with_setting("output_format_json_quote_64bit_integers", "0");
                async move {
                    collect(
                        query,
                        "JSONEachRow",
                        &connection.server,
                        self.timeouts().query,
                    )
                    .await
                }
            })
            .await?;
        serde_json::Deserializer::from_slice(&answer)
            .into_iter::<T>()
            .collect::<Result<_, _>>()
            .map_err(Error::Row)
    }

    /// Runs a statement that returns nothing of interest. Where the engine of
    /// a store has died under it, it is not run again: whether it took place is
    /// unknown.
    ///
    /// # Errors
    ///
    /// As [`ClickHouse::query_bytes`].
    pub async fn execute(&self, sql: &str) -> Result<(), Error> {
        self.run(sql, true, only_reads(sql)).await
    }

    /// Runs a statement of Canopy's own schema with no default database, as
    /// `CREATE DATABASE` needs; all of them may be run twice.
    pub(crate) async fn execute_anywhere(&self, sql: &str) -> Result<(), Error> {
        self.run(sql, false, true).await
    }

    async fn run(&self, sql: &str, in_database: bool, repeatable: bool) -> Result<(), Error> {
        self.with_engine(repeatable, |connection| {
            let query = connection.client_in(in_database).query_raw(sql);
            let timeout = self.timeouts().query;
            async move {
                match tokio::time::timeout(timeout, query.execute()).await {
                    Ok(done) => {
                        done.map_err(|error| Error::from_client(error, &connection.server, timeout))
                    }
                    Err(_) => Err(Error::TimedOut {
                        url: connection.server.url.clone(),
                        after: timeout,
                    }),
                }
            }
        })
        .await
    }

    /// Returns the sink that inserts batches into `table`.
    ///
    /// # Errors
    ///
    /// Where `table` cannot be a table's name.
    pub fn sink(&self, table: &str) -> Result<ClickHouseSink, IdentifierError> {
        Ok(ClickHouseSink::new(self.clone(), Identifier::new(table)?))
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.shared.timeouts
    }

    pub(crate) fn connection(&self) -> Connection {
        self.shared
            .current
            .read()
            .expect("nothing panics while the lock is held")
            .clone()
    }

    /// Whether an error may come from an engine that was started again: its
    /// address and its password are new, and its old port may be another's.
    pub(crate) fn may_have_moved(&self, error: &Error) -> bool {
        matches!(self.shared.target, Target::Store(_))
            && matches!(error, Error::Unreachable { .. } | Error::Denied { .. })
    }

    /// Looks again where the target is, after the connection to `failed`
    /// broke: the engine of a store is started anew where it has died.
    pub(crate) async fn reconnect(&self, failed: &Server) -> Result<(), Error> {
        if let Target::Server(_) = self.shared.target {
            return Ok(());
        }
        let server = server_of(&self.shared.target).await?;
        if server == *failed {
            return Ok(());
        }
        let connection = Connection::new(server)
            .probe(self.timeouts().connect)
            .await?;
        *self
            .shared
            .current
            .write()
            .expect("nothing panics while the lock is held") = connection;
        Ok(())
    }

    /// Asks; where the connection to a store's engine broke, starts the engine
    /// again and asks once more what is `repeatable`. What was refused did not
    /// take place, so it always is.
    async fn with_engine<T, Ask, Answer>(&self, repeatable: bool, ask: Ask) -> Result<T, Error>
    where
        Ask: Fn(Connection) -> Answer,
        Answer: Future<Output = Result<T, Error>>,
    {
        let connection = self.connection();
        let failed = connection.server.clone();
        let error = match ask(connection).await {
            Err(error) if self.may_have_moved(&error) => error,
            answer => return answer,
        };
        // The second failure would hide the first one's cause.
        if self.reconnect(&failed).await.is_err() {
            return Err(error);
        }
        if repeatable || matches!(error, Error::Denied { .. }) {
            ask(self.connection()).await
        } else {
            Err(error)
        }
    }
}

impl fmt::Debug for ClickHouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClickHouse")
            .field("server", &self.connection().server)
            .finish_non_exhaustive()
    }
}

async fn server_of(target: &Target) -> Result<Server, Error> {
    match target {
        Target::Server(server) => Ok(server.clone()),
        Target::Store(store) => Ok(store.server().await?),
    }
}

/// Runs a query to its end and returns all of its answer.
async fn collect(
    query: clickhouse::query::Query,
    format: &str,
    server: &Server,
    timeout: Duration,
) -> Result<Bytes, Error> {
    let answer = async { query.fetch_bytes(format)?.collect().await };
    match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => answer.map_err(|error| Error::from_client(error, server, timeout)),
        Err(_) => Err(Error::TimedOut {
            url: server.url.clone(),
            after: timeout,
        }),
    }
}

/// A count, as a query's only column `n`.
#[derive(Deserialize)]
pub(crate) struct Count {
    pub(crate) n: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_its_first_two_numbers() {
        let version = Version::parse("26.7.2.1\n").unwrap();
        assert_eq!(version.to_string(), "26.7");
        assert!(version > OLDEST);
        assert!(Version::parse("25.12").unwrap() > Version::parse("25.8.1.1").unwrap());
        assert_eq!(Version::parse("Ok."), None);
    }
}
