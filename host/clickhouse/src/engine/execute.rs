//! Finds out what a request wants run, and runs inserts fed from its body.

use super::codec::Decoder;
use super::exception::Exception;
use super::library::{Connection, Library, Statistics};
use super::request::Call;
use super::statement;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// The longest text of a statement without data, in bytes; ClickHouse's
/// `max_query_size` of 256 KiB counts only what its parser keeps.
const MAX_STATEMENT_BYTES: usize = 16 << 20;

/// How far into the text an insert's `FORMAT` or `VALUES` is looked for.
const MAX_INSERT_HEAD_BYTES: usize = 1 << 20;

/// Chunks between a body and the engine; with frames of the usual 256 KiB this
/// bounds a request to about a megabyte.
pub(super) const CHUNKS_IN_FLIGHT: usize = 4;

/// How much of a body, and for how long, is still read after its insert failed,
/// so that the client gets to read the exception.
const DRAIN_BYTES: usize = 256 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Why a request ended without a result.
pub(super) enum Failure {
    /// To be reported.
    Exception(Exception),
    /// The body did not arrive whole; nobody is left to hear of it.
    Body(hyper::Error),
}

impl From<Exception> for Failure {
    fn from(exception: Exception) -> Self {
        Self::Exception(exception)
    }
}

/// A request's body behind its compression.
pub(super) struct RequestBody {
    incoming: Incoming,
    decoder: Option<Decoder>,
    ready: std::vec::IntoIter<Bytes>,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, decoder: Decoder) -> Self {
        Self {
            incoming,
            decoder: Some(decoder),
            ready: Vec::new().into_iter(),
        }
    }

    /// The next bytes that are not empty; `None` only when the whole body came.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(bytes) = self.ready.find(|bytes| !bytes.is_empty()) {
                return Ok(Some(bytes));
            }
            let Some(decoder) = &mut self.decoder else {
                return Ok(None);
            };
            match self.incoming.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.ready = decoder.push(bytes)?.into_iter();
                    }
                }
                Some(Err(error)) => return Err(Failure::Body(error)),
                None => {
                    if let Some(decoder) = self.decoder.take() {
                        self.ready = vec![decoder.finish()?].into_iter();
                    }
                }
            }
        }
    }

    /// Appends the rest of the body to a statement's text.
    pub(super) async fn read_into(&mut self, text: &mut BytesMut) -> Result<(), Failure> {
        while let Some(bytes) = self.next().await? {
            if text.len() + bytes.len() > MAX_STATEMENT_BYTES {
                return Err(Exception::new(
                    223,
                    "QUERY_IS_TOO_LARGE",
                    format_args!("the statement is longer than {MAX_STATEMENT_BYTES} bytes"),
                )
                .into());
            }
            text.extend_from_slice(&bytes);
        }
        Ok(())
    }

    /// Reads on without use, within limits.
    pub(super) async fn drain(&mut self) {
        let all = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = self.incoming.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > DRAIN_BYTES {
                    break;
                }
            }
        };
        // Too slow is as good as too much.
        let _ = tokio::time::timeout(DRAIN_TIME, all).await;
    }
}

/// What is to be run.
pub(super) enum Plan {
    /// A statement without data.
    Statement(String),
    /// An insert with data.
    Insert(Insert),
}

/// An insert, its format, and the part of its data that came with the text.
pub(super) struct Insert {
    sql: String,
    format: String,
    first: Bytes,
}

/// Reads the text of the statement from the URL and as much of the body as
/// belongs to it.
pub(super) async fn plan(query: &str, body: &mut RequestBody) -> Result<Plan, Failure> {
    let mut text = BytesMut::from(query.as_bytes());
    if !query.is_empty() {
        text.extend_from_slice(b"\n");
    }
    let in_url = text.len();
    let mut complete = false;
    loop {
        match statement::head(&text, complete) {
            statement::Head::Insert { sql, format, data } => {
                let mut sql = utf8(&text[..sql])?;
                let mut first = text.split_off(data).freeze();
                // `FORMAT x SETTINGS y` in the URL: no data can be meant.
                let rest = first.trim_ascii_start();
                let settings = data < in_url
                    && rest
                        .get(..9)
                        .is_some_and(|word| word.eq_ignore_ascii_case(b"settings "));
                if settings {
                    let length = in_url - data;
                    sql = format!("{sql} {}", utf8(&first[..length])?);
                    first = first.slice(length..);
                } else if first.trim_ascii().is_empty()
                    && data < in_url
                    && first.len() == in_url - data
                {
                    first = Bytes::new();
                }
                return Ok(Plan::Insert(Insert { sql, format, first }));
            }
            statement::Head::Undecided if text.len() <= MAX_INSERT_HEAD_BYTES => {
                match body.next().await? {
                    Some(bytes) => text.extend_from_slice(&bytes),
                    None => complete = true,
                }
            }
            statement::Head::Undecided | statement::Head::Statement => {
                body.read_into(&mut text).await?;
                return Ok(Plan::Statement(utf8(&text)?));
            }
        }
    }
}

fn utf8(text: &[u8]) -> Result<String, Exception> {
    std::str::from_utf8(text)
        .map(str::to_owned)
        .map_err(|_| Exception::new(62, "SYNTAX_ERROR", "the statement is not valid UTF-8"))
}

/// Opens a connection with the database and settings of a call.
pub(super) fn connect(
    library: &Arc<Library>,
    preparation: &[String],
) -> Result<Connection, Exception> {
    let mut connection = library
        .connect()
        .map_err(|error| Exception::new(202, "TOO_MANY_SIMULTANEOUS_QUERIES", error))?;
    for statement in preparation {
        connection.query(statement, "Null", &[])?;
    }
    Ok(connection)
}

enum Feed {
    Data(Bytes),
    Commit,
}

/// Runs an insert with the data of a body and commits it only when the whole
/// body came. Dropping the future cancels the insert.
pub(super) async fn insert(
    library: &Arc<Library>,
    call: &Call,
    insert: Insert,
    body: &mut RequestBody,
    turn: OwnedSemaphorePermit,
) -> Result<Statistics, Failure> {
    let (feed, mut fed) = mpsc::channel(CHUNKS_IN_FLIGHT);
    let library = Arc::clone(library);
    let preparation = call.preparation();
    let parameters = call.parameters.clone();
    let Insert { sql, format, first } = insert;
    let engine = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut stream = connect(&library, &preparation)?.insert(&sql, &format, &parameters)?;
        loop {
            match fed.blocking_recv() {
                Some(Feed::Data(bytes)) => stream.append(&bytes)?,
                Some(Feed::Commit) => return stream.finish().map(|result| result.statistics()),
                None => {
                    stream.cancel();
                    return Err(Exception::new(
                        394,
                        "QUERY_WAS_CANCELLED",
                        "the insert was cancelled: its body did not arrive whole",
                    ));
                }
            }
        }
    });
    let feeding = async {
        if !first.is_empty() && feed.send(Feed::Data(first)).await.is_err() {
            return Ok(());
        }
        while let Some(bytes) = body.next().await? {
            // The engine's thread ends early only with an exception.
            if feed.send(Feed::Data(bytes)).await.is_err() {
                return Ok(());
            }
        }
        let _ = feed.send(Feed::Commit).await;
        Ok(())
    };
    let fed: Result<(), Failure> = feeding.await;
    drop(feed);
    let result = engine.await.map_err(|error| crashed(&error))?;
    fed?;
    Ok(result?)
}

pub(super) fn crashed(error: &tokio::task::JoinError) -> Exception {
    Exception::new(
        1002,
        "UNKNOWN_EXCEPTION",
        format_args!("the request failed: {error}"),
    )
}
