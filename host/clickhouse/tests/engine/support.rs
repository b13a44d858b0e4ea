//! A store of its own for every test, served by this executable.

use canopy_clickhouse::Server;
use canopy_clickhouse::engine::{EngineCommand, ServeSettings, Store, serve};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// The library: `CANOPY_ENGINE_LIBRARY`, else what `make engine` leaves.
fn library() -> PathBuf {
    let library = std::env::var_os("CANOPY_ENGINE_LIBRARY").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/engine/libchdb.so"),
        PathBuf::from,
    );
    assert!(
        library.is_file(),
        "{} is missing: run `make engine`, or set CANOPY_ENGINE_LIBRARY",
        library.display()
    );
    library
}

/// Filters that name no test carry the settings, since the test harness takes
/// no other arguments.
pub(crate) fn command(store: &Path, idle: Duration) -> EngineCommand {
    EngineCommand {
        program: std::env::current_exe().unwrap(),
        arguments: [
            "--exact",
            "--nocapture",
            "engine_process",
            &format!("serve={}", store.display()),
            &format!("idle={}", idle.as_millis()),
        ]
        .map(Into::into)
        .to_vec(),
    }
}

pub(crate) fn serve_if_asked() {
    let argument =
        |name: &str| std::env::args().find_map(|a| Some(a.strip_prefix(name)?.to_owned()));
    let Some(store) = argument("serve=") else {
        return;
    };
    let idle = argument("idle=").unwrap().parse().unwrap();
    let settings = ServeSettings {
        idle: Some(Duration::from_millis(idle)),
        ..ServeSettings::new(store, library())
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match runtime.block_on(serve(settings)) {
        Ok(stopped) => eprintln!("stopped: {stopped:?}"),
        Err(error) => {
            eprintln!("error: {error}");
            std::process::exit(1);
        }
    }
}

/// A store in a temporary folder, its engine ended with it.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    pub(crate) folder: TempDir,
}

impl TestStore {
    /// Long enough that only tests that wait for it see the end.
    pub(crate) fn new() -> Self {
        Self::with_idle(Duration::from_secs(60))
    }

    pub(crate) fn with_idle(idle: Duration) -> Self {
        library();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), command(folder.path(), idle)).unwrap();
        Self { store, folder }
    }

    pub(crate) async fn client(&self) -> Client {
        Client(self.store.server().await.unwrap())
    }

    pub(crate) fn endpoint(&self) -> Option<serde_json::Value> {
        let text = std::fs::read(self.folder.path().join("engine.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    pub(crate) fn pid(&self) -> i32 {
        self.endpoint().unwrap()["pid"].as_i64().unwrap() as i32
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        if let Some(pid) = self.endpoint().and_then(|e| e["pid"].as_i64())
            && let Some(pid) = rustix::process::Pid::from_raw(pid as i32)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// An answer, its chunked body put together.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The body ended as it said it would.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Speaks HTTP by hand, so that the tests see what is on the wire.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) Server);

impl Client {
    pub(crate) fn address(&self) -> &str {
        self.0.url.strip_prefix("http://").unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(120)))
            .unwrap();
        stream
    }

    /// The head of a request up to its headers of its own.
    pub(crate) fn head(&self, method: &str, target: &str) -> String {
        format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nX-ClickHouse-User: {}\r\nX-ClickHouse-Key: {}\r\n",
            self.address(),
            self.0.user,
            self.0.password
        )
    }

    pub(crate) fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect();
        write!(
            stream,
            "{head}Connection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        stream.write_all(body).unwrap();
        read(&mut stream)
    }

    /// A query in the URL with a body.
    pub(crate) fn post(&self, parameters: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut target = form_urlencoded::Serializer::new("/?".to_owned());
        target.extend_pairs(parameters);
        self.send(&self.head("POST", &target.finish()), body)
    }

    /// The result of a statement that must succeed.
    pub(crate) fn query(&self, sql: &str) -> String {
        let answer = self.post(&[], sql.as_bytes());
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        answer.text().trim_end().to_owned()
    }

    /// The code of the exception of a statement that must fail.
    pub(crate) fn code(&self, parameters: &[(&str, &str)], body: &[u8]) -> (u16, i32) {
        let answer = self.post(parameters, body);
        let code = answer.header("X-ClickHouse-Exception-Code");
        let code = code.unwrap_or_else(|| panic!("no exception: {answer:?}"));
        assert!(
            answer
                .text()
                .starts_with(&format!("Code: {code}. DB::Exception: ")),
            "{answer:?}"
        );
        (answer.status, code.parse().unwrap())
    }
}

pub(crate) fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A connection cut in the middle is what some tests are about.
    let cut = stream.read_to_end(&mut bytes).is_err();
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
    let end =
        end.unwrap_or_else(|| panic!("no answer, cut: {cut}, {}", String::from_utf8_lossy(&bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let rest = &bytes[end + 4..];
    let mut answer = Answer {
        status: head[9..12].parse().unwrap(),
        head,
        body: rest.to_vec(),
        whole: !cut,
    };
    if answer.header("Transfer-Encoding") == Some("chunked") {
        (answer.body, answer.whole) = unchunk(rest);
    }
    answer
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|w| w == b"\r\n") else {
            return (body, false);
        };
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        if length == 0 {
            return (body, true);
        }
        if rest.len() < length + 2 {
            body.extend_from_slice(rest);
            return (body, false);
        }
        body.extend_from_slice(&rest[..length]);
        rest = &rest[length + 2..];
    }
}
