//! Runs statements without data and sends their results, long ones while the
//! engine still works at them.

use super::codec::Encoder;
use super::exception::Exception;
use super::execute::{CHUNKS_IN_FLIGHT, connect, crashed};
use super::library::{Connection, Library, Parameter, StatementClass, Statistics};
use super::native::Blocks;
use super::reply::{self, Aborted};
use super::request::Call;
use super::statement;
use bytes::Bytes;
use std::io::{Read, pipe};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Bytes read from the engine at once.
const CHUNK_BYTES: usize = 256 << 10;

/// A result up to this size is answered when it is whole, so that an exception
/// in it has a status of its own.
const HEAD_BYTES: usize = 256 << 10;

/// The same with `wait_end_of_query=1`; a longer result is streamed all the same,
/// since it would have to be held in memory.
const WAITED_HEAD_BYTES: usize = 64 << 20;

/// How long the last chunk may take into the socket before a connection is cut.
const FLUSH_TIME: Duration = Duration::from_millis(200);

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
        let streamed = count == 1 && class == StatementClass::ReadOnly && output.is_select;
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
