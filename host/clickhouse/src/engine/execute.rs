//! Runs statements for the HTTP interface: inserts fed from a body, results
//! streamed to one.

use super::codec::{Decoder, Encoder};
use super::library::{Connection, Exception, Library, Parameter, Statistics};
use super::native::Blocks;
use super::reply::{self, Aborted};
use super::request::Call;
use super::statement;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::io::{Read, pipe};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// The longest text of a statement without data, in bytes; ClickHouse's
/// `max_query_size` of 256 KiB counts only what its parser keeps.
const MAX_STATEMENT_BYTES: usize = 16 << 20;

/// How far into the text an insert's `FORMAT` or `VALUES` is looked for.
const MAX_INSERT_HEAD_BYTES: usize = 1 << 20;

/// Chunks between a body and the engine; with frames of the usual 256 KiB this
/// bounds a request to about a megabyte.
const CHUNKS_IN_FLIGHT: usize = 4;

/// Bytes read from the engine at once.
const CHUNK_BYTES: usize = 256 << 10;

/// A result up to this size is answered when it is whole, so that an exception
/// in it has a status of its own.
const HEAD_BYTES: usize = 256 << 10;

/// The same with `wait_end_of_query=1`; a longer result is streamed all the same,
/// since it would have to be held in memory.
const WAITED_HEAD_BYTES: usize = 64 << 20;

/// How much of a body, and for how long, is still read after its insert failed,
/// so that the client gets to read the exception.
const DRAIN_BYTES: usize = 256 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// How long the last chunk may take into the socket before a connection is cut.
const FLUSH_TIME: Duration = Duration::from_millis(200);

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
fn connect(library: &Arc<Library>, preparation: &[String]) -> Result<Connection, Exception> {
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

fn crashed(error: &tokio::task::JoinError) -> Exception {
    Exception::new(
        1002,
        "UNKNOWN_EXCEPTION",
        format_args!("the request failed: {error}"),
    )
}

/// The result of a statement without data.
pub(super) enum Outcome {
    /// The whole result.
    Whole {
        body: Bytes,
        format: String,
        encoding: Option<&'static str>,
        statistics: Statistics,
    },
    /// The beginning of a longer one.
    Begun {
        chunks: mpsc::Receiver<Result<Bytes, Aborted>>,
        format: String,
        encoding: Option<&'static str>,
        /// The tag of an exception in the body.
        tag: String,
    },
}

/// What becomes of a result's bytes on their way to the client.
struct Shape {
    blocks: Option<Blocks>,
    encoder: Encoder,
}

impl Shape {
    fn push(&mut self, plain: Bytes) -> Result<Bytes, Exception> {
        let plain = match &mut self.blocks {
            Some(blocks) => blocks.push(&plain)?,
            None => plain,
        };
        Ok(self.encoder.push(plain, false))
    }

    /// Checks that the result ended where its format does.
    fn check(&self) -> Result<(), Exception> {
        self.blocks.as_ref().map_or(Ok(()), Blocks::finish)
    }

    /// A whole result.
    fn whole(
        mut self,
        plain: Bytes,
        format: String,
        statistics: Statistics,
    ) -> Result<Outcome, Exception> {
        let encoding = self.encoder.name();
        let body = self.push(plain)?;
        self.check()?;
        let end = self.encoder.finish();
        Ok(Outcome::Whole {
            body: if end.is_empty() {
                body
            } else {
                [body, end].concat().into()
            },
            format,
            encoding,
            statistics,
        })
    }
}

/// Runs a statement without data; its turn ends when its last byte is sent.
pub(super) async fn run(
    library: &Arc<Library>,
    call: &Call,
    sql: String,
    encoder: Encoder,
    version: &str,
    turn: OwnedSemaphorePermit,
) -> Result<Outcome, Exception> {
    let default_format = match call.default_format.as_deref() {
        None | Some("") => "TabSeparated".to_owned(),
        Some(name) if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
            name.to_owned()
        }
        Some(name) => {
            return Err(Exception::new(
                73,
                "UNKNOWN_FORMAT",
                format_args!("Unknown format {}", name.escape_debug()),
            ));
        }
    };
    let head_bytes = if call.wait_end {
        WAITED_HEAD_BYTES
    } else {
        HEAD_BYTES
    };
    let library = Arc::clone(library);
    let preparation = call.preparation();
    let parameters = call.parameters.clone();
    let protocol = call.protocol;
    let version = version.to_owned();
    let (answer, answered) = oneshot::channel();
    let work = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut connection = match connect(&library, &preparation) {
            Ok(connection) => connection,
            Err(error) => return drop(answer.send(Err(error))),
        };
        let (count, class) = connection.classify(&sql);
        let output = statement::output(&sql);
        let format = output.format.unwrap_or(&default_format).to_owned();
        if count > 1 || output.into_outfile {
            let error = if count > 1 {
                Exception::new(62, "SYNTAX_ERROR", "Multi-statements are not allowed")
            } else {
                Exception::new(48, "NOT_IMPLEMENTED", "INTO OUTFILE is not allowed")
            };
            return drop(answer.send(Err(error)));
        }
        let streamed =
            count == 1 && class == super::library::StatementClass::ReadOnly && output.is_select;
        let shape = Shape {
            blocks: (protocol > 0 && format == "Native").then(|| Blocks::new(protocol)),
            encoder,
        };
        if !streamed {
            let outcome = connection
                .query(&sql, &default_format, &parameters)
                .and_then(|result| {
                    let statistics = result.statistics();
                    shape.whole(Bytes::from_owner(result), format, statistics)
                });
            return drop(answer.send(outcome));
        }
        let select = Select {
            statement: output.statement,
            settings: output.settings,
            format,
            parameters: &parameters,
            head_bytes,
            version: &version,
        };
        select.run(connection, shape, answer);
    });
    match answered.await {
        Ok(outcome) => outcome,
        Err(_) => Err(match work.await {
            Err(error) => crashed(&error),
            Ok(()) => Exception::parse("the engine gave no answer"),
        }),
    }
}

/// A query whose result the engine writes into a pipe.
///
/// `chdb_stream_query` would format every block as a result of its own, with
/// headers and brackets of its own; `INTO OUTFILE` gives one result in any
/// format, and the pipe gives it back-pressure.
struct Select<'a> {
    statement: &'a str,
    settings: &'a str,
    format: String,
    parameters: &'a [Parameter],
    head_bytes: usize,
    version: &'a str,
}

impl Select<'_> {
    fn run(
        self,
        mut connection: Connection,
        mut shape: Shape,
        answer: oneshot::Sender<Result<Outcome, Exception>>,
    ) {
        let (mut reader, writer) = match pipe() {
            Ok(ends) => ends,
            Err(error) => {
                let error = Exception::new(75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR", error);
                return drop(answer.send(Err(error)));
            }
        };
        // The engine opens the pipe by its name in this process. TRUNCATE says
        // that an existing file is all right.
        let sql = format!(
            "{}\nINTO OUTFILE '/proc/self/fd/{}' TRUNCATE FORMAT {} {}",
            self.statement,
            writer.as_raw_fd(),
            self.format,
            self.settings,
        );
        std::thread::scope(|scope| {
            let query = scope.spawn(move || {
                let result = connection.query(&sql, "Null", self.parameters);
                // Ends the reader's loop.
                drop(writer);
                result.map(|result| result.statistics())
            });
            let finish = move || {
                query
                    .join()
                    .unwrap_or_else(|_| Err(Exception::parse("the thread of the query panicked")))
            };
            let mut head = Vec::new();
            let limit = self.head_bytes as u64;
            let read = reader.by_ref().take(limit).read_to_end(&mut head);
            if read.is_err() || head.len() < self.head_bytes {
                drop(reader);
                let outcome = finish()
                    .and_then(|statistics| shape.whole(head.into(), self.format, statistics));
                return drop(answer.send(outcome));
            }
            // Before anything is sent, a result that cannot be shaped still is an
            // exception with a status.
            let head = match shape.push(head.into()) {
                Ok(head) => head,
                Err(error) => {
                    drop(reader);
                    return drop(answer.send(Err(error)));
                }
            };
            let (chunks, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
            let tag = exception_tag();
            let begun = answer.send(Ok(Outcome::Begun {
                chunks: receiver,
                format: self.format,
                encoding: shape.encoder.name(),
                tag: tag.clone(),
            }));
            // A client that has gone closes the channel; closing the pipe then
            // stops the query at its next write.
            let send = |bytes: Bytes| bytes.is_empty() || chunks.blocking_send(Ok(bytes)).is_ok();
            let mut wanted = begun.is_ok() && send(head);
            let mut shaped = Ok(());
            while wanted && shaped.is_ok() {
                let mut chunk = Vec::with_capacity(CHUNK_BYTES);
                let limit = CHUNK_BYTES as u64;
                match reader.by_ref().take(limit).read_to_end(&mut chunk) {
                    Ok(0) | Err(_) => break,
                    Ok(_) => match shape.push(chunk.into()) {
                        Ok(bytes) => wanted = send(bytes),
                        Err(error) => shaped = Err(error),
                    },
                }
            }
            drop(reader);
            let result = finish();
            let result = shaped.and(result).and_then(|_| shape.check());
            match result {
                _ if !wanted => {}
                Ok(()) => {
                    send(shape.encoder.finish());
                }
                Err(error) => {
                    // On a block of its own: clients look at the end of one.
                    send(shape.encoder.push(Bytes::new(), true));
                    let trailer = reply::exception_trailer(&error, self.version, &tag);
                    send(shape.encoder.push(trailer, true));
                    send(shape.encoder.finish());
                    wait_for_delivery(&chunks);
                    let _ = chunks.blocking_send(Err(Aborted));
                }
            }
        });
    }
}

/// Waits until all chunks are on their way to the client, or it has gone: hyper
/// cuts a connection without sending what it still holds.
fn wait_for_delivery(chunks: &mpsc::Sender<Result<Bytes, Aborted>>) {
    while chunks.capacity() < CHUNKS_IN_FLIGHT && !chunks.is_closed() {
        std::thread::sleep(Duration::from_millis(10));
    }
    // The last chunk left the channel for hyper's buffer, which it flushes as it
    // waits for the next. A reader too slow for this misses the text of the
    // exception but not the cut.
    std::thread::sleep(FLUSH_TIME);
}

/// Sixteen letters that no result holds by chance.
fn exception_tag() -> String {
    let mut bits = super::random_u64();
    (0..16)
        .map(|_| {
            let letter = b'a' + (bits & 0xf) as u8;
            bits >>= 4;
            char::from(letter)
        })
        .collect()
}
