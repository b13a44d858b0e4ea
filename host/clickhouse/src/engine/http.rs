//! ClickHouse's HTTP interface in front of the library.
//!
//! What it speaks is what the `clickhouse` crate, Grafana's data source and curl
//! need of <https://clickhouse.com/docs/interfaces/http>. Every request runs on a
//! connection of its own, so settings and temporary tables end with it.

use super::codec::Decoder;
use super::exception::Exception;
use super::execute::{self, Failure, Plan, RequestBody};
use super::library::{Library, Statistics};
use super::reply::{self, Reply};
use super::request::{Call, Credentials, multipart};
use super::select::{self, Outcome};
use bytes::BytesMut;
use hyper::body::{Body, Incoming};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    WWW_AUTHENTICATE,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Statements running at once; more wait. ClickHouse's own limit is 1000, but
/// every one holds threads and memory of the user's machine.
const MAX_STATEMENTS: usize = 32;

/// How long a statement waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The server's state, shared by its connections.
pub(super) struct Interface {
    pub(super) library: Arc<Library>,
    pub(super) credentials: Credentials,
    /// ClickHouse's and the library's.
    pub(super) version: String,
    timezone: String,
    statements: Arc<Semaphore>,
    use_count: Mutex<UseCount>,
}

/// Who is connected, to know when the engine is unused.
struct UseCount {
    connections: usize,
    since: Instant,
}

impl Interface {
    pub(super) fn new(
        library: Arc<Library>,
        credentials: Credentials,
        version: String,
        timezone: String,
    ) -> Self {
        Self {
            library,
            credentials,
            version,
            timezone,
            statements: Arc::new(Semaphore::new(MAX_STATEMENTS)),
            use_count: Mutex::new(UseCount {
                connections: 0,
                since: Instant::now(),
            }),
        }
    }

    /// How long no client has been connected.
    pub(super) fn unused_for(&self) -> Duration {
        let use_count = self.use_count();
        match use_count.connections {
            0 => use_count.since.elapsed(),
            _ => Duration::ZERO,
        }
    }

    /// Waits until no client is connected and no statement runs, not even one
    /// whose client has gone.
    pub(super) async fn drained(&self) {
        while self.use_count().connections > 0
            || self.statements.available_permits() < MAX_STATEMENTS
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn use_count(&self) -> std::sync::MutexGuard<'_, UseCount> {
        self.use_count
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Counts a connection while it lives.
struct Connected(Arc<Interface>);

impl Connected {
    fn new(interface: &Arc<Interface>) -> Self {
        interface.use_count().connections += 1;
        Self(Arc::clone(interface))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut use_count = self.0.use_count();
        use_count.connections -= 1;
        use_count.since = Instant::now();
    }
}

/// Accepts connections until `stop` turns true; those that are open then finish
/// the request they are at.
pub(super) async fn accept(
    listener: TcpListener,
    interface: Arc<Interface>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let connected = Connected::new(&interface);
                tokio::spawn(connection(stream, connected, stop.clone()));
            }
            // Out of descriptors, or a client that has gone already.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn connection(stream: TcpStream, connected: Connected, mut stop: watch::Receiver<bool>) {
    // Small answers must not wait for more; a socket that refuses is no harm.
    let _ = stream.set_nodelay(true);
    let interface = Arc::clone(&connected.0);
    let service = service_fn(move |request| {
        let interface = Arc::clone(&interface);
        async move { Ok::<_, Infallible>(answer(&interface, request).await) }
    });
    let mut serving = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
    );
    // Errors are those of a client that went away or spoke no HTTP.
    let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
    let ended = tokio::select! {
        _ = serving.as_mut() => true,
        () = stopped => false,
    };
    if !ended {
        serving.as_mut().graceful_shutdown();
        let _ = serving.await;
    }
    drop(connected);
}

const DISPLAY_NAME: HeaderName = HeaderName::from_static("x-clickhouse-server-display-name");
const TIMEZONE: HeaderName = HeaderName::from_static("x-clickhouse-timezone");

async fn answer(interface: &Arc<Interface>, request: Request<Incoming>) -> Response<Reply> {
    if let Some(foreign) = foreign(request.headers()) {
        return reply::text(StatusCode::FORBIDDEN, foreign);
    }
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    match (request.method(), path) {
        (&Method::GET | &Method::HEAD, "/ping" | "/replicas_status") => {
            return reply::text(StatusCode::OK, "Ok.\n");
        }
        (&Method::GET | &Method::HEAD, "/") if query.is_empty() => {
            return reply::text(StatusCode::OK, "Ok.\n");
        }
        (&Method::GET | &Method::POST, "/" | "/query" | "/engine") => {}
        (_, "/" | "/query" | "/engine") => {
            return reply::text(StatusCode::METHOD_NOT_ALLOWED, "use GET or POST\n");
        }
        _ => {
            let text = format!("There is no handle {path}; use / for queries or /ping\n");
            return reply::text(StatusCode::NOT_FOUND, text);
        }
    }
    let (parts, body) = request.into_parts();
    let checked = Call::read(&parts).and_then(|call| {
        call.authenticate(&parts.headers, &interface.credentials)?;
        Ok(call)
    });
    let mut call = match checked {
        Ok(call) => call,
        Err(error) => return refuse(interface, &error, body).await,
    };
    if parts.uri.path() == "/engine" {
        return about(interface);
    }
    let decoder = match Decoder::new(call.decompress, &parts.headers) {
        Ok(decoder) => decoder,
        Err(error) => return refuse(interface, &error, body).await,
    };
    let mut body = RequestBody::new(body, decoder);
    let result = statement(interface, &parts.headers, &mut call, &mut body).await;
    let mut response = match result {
        Ok(response) => response,
        Err(Failure::Exception(error)) => {
            body.drain().await;
            reply::exception(&error, &interface.version, call.compress)
        }
        Err(Failure::Body(error)) => {
            let error = format!("the body did not arrive whole: {error}\n");
            reply::text(StatusCode::BAD_REQUEST, error)
        }
    };
    let query_id = call.query_id.unwrap_or_else(query_id);
    let headers = response.headers_mut();
    if let Ok(query_id) = HeaderValue::from_str(&query_id) {
        headers.insert(reply::QUERY_ID, query_id);
    }
    headers.insert(DISPLAY_NAME, HeaderValue::from_static("canopy"));
    if let Ok(timezone) = HeaderValue::from_str(&interface.timezone) {
        headers.insert(TIMEZONE, timezone);
    }
    response
}

/// A name that resolves to this machine without being its own would let a web
/// page of that name speak to the engine (DNS rebinding); a page of another
/// origin has no business here either.
fn foreign(headers: &HeaderMap) -> Option<&'static str> {
    let is_loopback = |authority: &str| {
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        host.eq_ignore_ascii_case("localhost")
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    };
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    if !host.is_some_and(is_loopback) {
        return Some("the Host header is not a loopback address\n");
    }
    let origin = headers.get(ORIGIN)?.to_str().unwrap_or_default();
    let authority = origin.split("://").nth(1).unwrap_or_default();
    (!is_loopback(authority)).then_some("requests of web pages are not answered\n")
}

async fn refuse(interface: &Interface, error: &Exception, body: Incoming) -> Response<Reply> {
    if !body.is_end_stream() {
        RequestBody::new(body, Decoder::Plain).drain().await;
    }
    let mut response = reply::exception(error, &interface.version, false);
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"canopy engine\""),
        );
    }
    response
}

/// `GET /engine`: a sign of life that costs no statement.
fn about(interface: &Interface) -> Response<Reply> {
    let about = serde_json::json!({
        "pid": std::process::id(),
        "version": interface.version,
        "statements": MAX_STATEMENTS - interface.statements.available_permits(),
    });
    reply::text(StatusCode::OK, format!("{about}\n"))
}

async fn statement(
    interface: &Interface,
    headers: &HeaderMap,
    call: &mut Call,
    body: &mut RequestBody,
) -> Result<Response<Reply>, Failure> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if content_type
        .to_ascii_lowercase()
        .starts_with("multipart/form-data")
    {
        let mut form = BytesMut::new();
        body.read_into(&mut form).await?;
        for (name, value) in multipart(content_type, &form)? {
            call.take(&name, value)?;
        }
    }
    let plan = execute::plan(&call.query, body).await?;
    let statements = Arc::clone(&interface.statements);
    let turn = tokio::time::timeout(MAX_WAIT, statements.acquire_owned())
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or_else(|| {
            Exception::new(
                202,
                "TOO_MANY_SIMULTANEOUS_QUERIES",
                format_args!("{MAX_STATEMENTS} statements are running"),
            )
        })?;
    let library = &interface.library;
    match plan {
        Plan::Insert(insert) => {
            let statistics = execute::insert(library, call, insert, body, turn).await?;
            Ok(finished(Reply::Full(bytes::Bytes::new()), &statistics))
        }
        Plan::Statement(sql) => {
            let encoder = call.encoder(headers);
            let version = &interface.version;
            let outcome = select::run(library, call, sql, encoder, version, turn).await?;
            Ok(respond(outcome))
        }
    }
}

fn finished(body: Reply, statistics: &Statistics) -> Response<Reply> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(reply::SUMMARY, reply::summary(statistics));
    response
}

fn respond(outcome: Outcome) -> Response<Reply> {
    let (mut response, format, encoding) = match outcome {
        Outcome::Whole {
            body,
            format,
            encoding,
            statistics,
        } => (finished(Reply::Full(body), &statistics), format, encoding),
        Outcome::Begun {
            chunks,
            format,
            encoding,
            tag,
        } => {
            let mut response = finished(Reply::Stream(chunks), &Statistics::default());
            let tag = HeaderValue::from_str(&tag).expect("a tag is made of letters");
            response.headers_mut().insert(reply::EXCEPTION_TAG, tag);
            (response, format, encoding)
        }
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, reply::content_type(&format));
    if let Ok(format) = HeaderValue::from_str(&format) {
        headers.insert(reply::FORMAT, format);
    }
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

/// A random identifier in the form of a UUID.
fn query_id() -> String {
    let (a, b) = (super::random_u64(), super::random_u64());
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        b >> 52,
        b & 0xffff_ffff_ffff
    )
}
