//! Answers of the HTTP interface: bodies, exceptions and headers.

use super::codec::Encoder;
use super::exception::Exception;
use super::library::Statistics;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// The body of an answer: at hand, or streamed with back-pressure.
pub(super) enum Reply {
    Full(Bytes),
    Stream(mpsc::Receiver<Result<Bytes, Aborted>>),
}

/// The result failed after its first part was sent; the connection is cut so
/// that nobody takes it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the result ended with an exception")]
pub(super) struct Aborted;

impl Body for Reply {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(chunks) => chunks
                .poll_recv(context)
                .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

pub(super) const EXCEPTION_CODE: HeaderName =
    HeaderName::from_static("x-clickhouse-exception-code");
pub(super) const EXCEPTION_TAG: HeaderName = HeaderName::from_static("x-clickhouse-exception-tag");
pub(super) const FORMAT: HeaderName = HeaderName::from_static("x-clickhouse-format");
pub(super) const QUERY_ID: HeaderName = HeaderName::from_static("x-clickhouse-query-id");
pub(super) const SUMMARY: HeaderName = HeaderName::from_static("x-clickhouse-summary");

/// The HTTP status ClickHouse answers with for an exception's code: its
/// `exceptionCodeToHTTPStatus`.
///
/// <https://github.com/ClickHouse/ClickHouse/blob/master/src/Server/HTTP/exceptionCodeToHTTPStatus.cpp>
pub(super) fn status(code: i32) -> StatusCode {
    match code {
        194 => StatusCode::UNAUTHORIZED,
        192 | 193 | 497 | 516 => StatusCode::FORBIDDEN,
        6 | 26 | 27 | 36 | 38 | 41 | 42 | 43 | 44 | 50 | 53 | 62 | 69 | 70 | 72 | 117 | 130
        | 131 | 321 | 376 | 386 | 407 => StatusCode::BAD_REQUEST,
        46 | 47 | 60 | 73 | 81 | 115 => StatusCode::NOT_FOUND,
        159 => StatusCode::REQUEST_TIMEOUT,
        381 => StatusCode::LENGTH_REQUIRED,
        223 | 304 => StatusCode::PAYLOAD_TOO_LARGE,
        48 => StatusCode::NOT_IMPLEMENTED,
        209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The text of an exception as the HTTP interface ends it.
pub(super) fn exception_text(exception: &Exception, version: &str) -> String {
    let message = exception.message.trim_end();
    if message.ends_with(')') && message.contains("(version ") {
        return format!("{message}\n");
    }
    format!("{message} (version {version})\n")
}

/// An exception with nothing sent before it. A client that asked for frames with
/// `compress=1` reads the text from a frame, too.
pub(super) fn exception(exception: &Exception, version: &str, frames: bool) -> Response<Reply> {
    let mut encoder = if frames {
        Encoder::Frames
    } else {
        Encoder::Plain
    };
    let body = encoder.push(exception_text(exception, version).into(), false);
    let mut response = text(status(exception.code), body);
    response
        .headers_mut()
        .insert(EXCEPTION_CODE, HeaderValue::from(exception.code));
    response
}

/// A plain text answer.
pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Reply> {
    let mut response = Response::new(Reply::Full(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=UTF-8"),
    );
    response
}

/// An exception inside a body that has begun: the form of ClickHouse 25.11, with
/// the tag announced in `X-ClickHouse-Exception-Tag`.
pub(super) fn exception_trailer(exception: &Exception, version: &str, tag: &str) -> Bytes {
    let text = exception_text(exception, version);
    format!(
        "\r\n__exception__\r\n{tag}\r\n{text}{length} {tag}\r\n__exception__\r\n",
        length = text.len()
    )
    .into()
}

/// `X-ClickHouse-Summary`: numbers as strings.
pub(super) fn summary(statistics: &Statistics) -> HeaderValue {
    let Statistics {
        read_rows,
        read_bytes,
        written_rows,
        written_bytes,
        result_rows,
        result_bytes,
        elapsed,
    } = statistics;
    let elapsed = elapsed.as_nanos();
    let summary = format!(
        r#"{{"read_rows":"{read_rows}","read_bytes":"{read_bytes}","written_rows":"{written_rows}","written_bytes":"{written_bytes}","total_rows_to_read":"0","result_rows":"{result_rows}","result_bytes":"{result_bytes}","elapsed_ns":"{elapsed}"}}"#
    );
    HeaderValue::from_str(&summary).expect("digits and quotes are valid in a header")
}

/// The media type of a format.
pub(super) fn content_type(format: &str) -> HeaderValue {
    HeaderValue::from_static(match format {
        _ if format.starts_with("JSONEachRow") || format.ends_with("EachRow") => {
            "application/x-ndjson; charset=UTF-8"
        }
        _ if format.starts_with("JSON") => "application/json; charset=UTF-8",
        "CSV" => "text/csv; charset=UTF-8; header=absent",
        _ if format.starts_with("CSV") => "text/csv; charset=UTF-8; header=present",
        _ if format.starts_with("TSV") || format.starts_with("TabSeparated") => {
            "text/tab-separated-values; charset=UTF-8"
        }
        "XML" => "application/xml; charset=UTF-8",
        "Native"
        | "RowBinary"
        | "RowBinaryWithNames"
        | "RowBinaryWithNamesAndTypes"
        | "Parquet"
        | "Arrow"
        | "ArrowStream"
        | "ORC"
        | "Avro"
        | "Protobuf"
        | "ProtobufSingle"
        | "ProtobufList"
        | "MsgPack"
        | "CapnProto"
        | "BSONEachRow"
        | "Npy" => "application/octet-stream",
        _ => "text/plain; charset=UTF-8",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_have_the_status_of_clickhouse() {
        for (code, expected) in [
            (516, 403),
            (60, 404),
            (62, 400),
            (241, 500),
            (159, 408),
            (48, 501),
        ] {
            assert_eq!(status(code).as_u16(), expected, "{code}");
        }
    }

    #[test]
    fn the_version_is_said_once() {
        let bare = Exception::parse("Code: 60. DB::Exception: no t. (UNKNOWN_TABLE)");
        assert_eq!(
            exception_text(&bare, "26.7"),
            "Code: 60. DB::Exception: no t. (UNKNOWN_TABLE) (version 26.7)\n"
        );
        let full =
            Exception::parse("Code: 60. DB::Exception: no t. (UNKNOWN_TABLE) (version 26.7.2.1)");
        assert_eq!(exception_text(&full, "x"), format!("{}\n", full.message));
    }
}
