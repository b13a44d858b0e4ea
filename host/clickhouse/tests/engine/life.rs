//! The engine's process: when it starts, what it holds, when it ends.

use crate::support::{TestStore, command};
use canopy_clickhouse::engine::{EngineCommand, EngineError, Store};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.starts_with(" Z"))
}

async fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Resident memory of a process in bytes.
fn resident(pid: i32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_share_one_engine() {
    let store = TestStore::new();
    let folder = store.folder.path();
    // Stores that know nothing of each other, as in processes of their own; they
    // all find no engine and start one.
    let others = (0..4).map(|_| {
        let store = Store::open(folder, command(folder, Duration::from_secs(60))).unwrap();
        tokio::spawn(async move { store.server().await.unwrap() })
    });
    let mut servers = Vec::new();
    for other in others.collect::<Vec<_>>() {
        servers.push(other.await.unwrap());
    }
    servers.dedup();
    assert_eq!(servers.len(), 1);
    let client = store.client().await;
    assert_eq!(client.0, servers[0]);
    client.query("CREATE TABLE shared (a UInt8) ORDER BY a");
    assert_eq!(client.query("EXISTS shared"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_is_the_owners_secret() {
    let store = TestStore::new();
    let client = store.client().await;
    let mode = |file: &str| {
        let file = store.folder.path().join(file);
        std::fs::metadata(file).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("engine.json"), 0o600);
    assert_eq!(mode("engine.log"), 0o600);
    assert_eq!(client.0.password.len(), 64);
    assert!(client.address().starts_with("127.0.0.1:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_without_clients_ends_and_is_started_again() {
    let store = TestStore::with_idle(Duration::from_millis(500));
    let client = store.client().await;
    client.query("CREATE TABLE kept (a UInt8) ORDER BY a");
    client.query("INSERT INTO kept VALUES (7)");
    let pid = store.pid();
    // A client that only stays connected keeps it.
    let connection = client.connect();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(is_alive(pid));
    drop(connection);
    wait_for("the end of the engine", || !is_alive(pid)).await;
    assert!(store.endpoint().is_none());
    let log = std::fs::read_to_string(store.folder.path().join("engine.log")).unwrap();
    assert!(log.contains("stopped: Idle"), "{log}");

    let client = store.client().await;
    assert_eq!(client.query("SELECT a FROM kept"), "7");
    assert_ne!(store.pid(), pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_after_the_running_request() {
    let store = TestStore::new();
    let client = store.client().await;
    let pid = store.pid();
    let mut stream = client.connect();
    let head = client.head("POST", "/?query=SELECT+sleep(1)");
    write!(stream, "{head}Content-Length: 0\r\n\r\n").unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    store.signal(Signal::TERM);
    assert_eq!(crate::support::read(&mut stream).text(), "0\n");
    wait_for("the end of the engine", || !is_alive(pid)).await;
    let log = std::fs::read_to_string(store.folder.path().join("engine.log")).unwrap();
    assert!(log.contains("stopped: Signal"), "{log}");
    assert!(store.endpoint().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_ends_in_good_order_and_refuses_to_be_two() {
    let folder = tempfile::tempdir().unwrap();
    let run = |folder| {
        let EngineCommand { program, arguments } = command(folder, Duration::from_secs(60));
        let mut command = std::process::Command::new(program);
        command.args(arguments).stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let mut first = run(folder.path());
    let store = Store::open(
        folder.path(),
        command(folder.path(), Duration::from_secs(60)),
    )
    .unwrap();
    let address = folder.path().join("engine.json");
    wait_for("the start of the engine", || address.exists()).await;
    let client = crate::support::Client(store.server().await.unwrap());
    client.query("CREATE TABLE t (a UInt8) ORDER BY a");
    client.query("INSERT INTO t VALUES (1)");

    let second = run(folder.path()).wait_with_output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(
        said.contains(&format!("already served at {}", client.address())),
        "{said}"
    );

    let pid = rustix::process::Pid::from_child(&first);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert!(first.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_engine_is_replaced() {
    let store = TestStore::new();
    let client = store.client().await;
    client.query("CREATE TABLE kept (a UInt8) ORDER BY a");
    client.query("INSERT INTO kept VALUES (1)");
    store.signal(Signal::KILL);
    let again = store.client().await;
    assert_ne!(again.0.password, client.0.password);
    assert_eq!(again.query("SELECT a FROM kept"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_at_the_port_of_a_killed_engine_is_not_taken_for_it() {
    let store = TestStore::new();
    let client = store.client().await;
    store.signal(Signal::KILL);
    // Its last thread lets go of the lock a moment after the process is dead.
    let lock = std::fs::File::open(store.folder.path().join("engine.lock")).unwrap();
    let is_free = || flock(&lock, FlockOperation::NonBlockingLockShared).is_ok();
    wait_for("the end of the engine", is_free).await;
    drop(lock);
    // Answers whatever it is asked as an engine would. Its port is free, so the
    // engine's file is changed to name it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().to_string();
    let file = store.folder.path().join("engine.json");
    let left = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, left.replace(client.address(), &port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let again = store.client().await;
    assert_ne!(again.address(), port);
    assert_eq!(again.query("SELECT 1"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let says = |script: &str| EngineCommand {
        program: "/bin/sh".into(),
        arguments: ["-c", script].map(Into::into).to_vec(),
    };
    let store = Store::open(folder.path(), says("echo no library here >&2; exit 3")).unwrap();
    let error = store.server().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("no library here") && text.contains("exit status: 3"),
        "{text}"
    );

    let nowhere = EngineCommand {
        program: "/nonexistent/canopy".into(),
        arguments: Vec::new(),
    };
    let error = Store::open(folder.path(), nowhere)
        .unwrap()
        .server()
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::Spawn { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_takes_little_memory() {
    let store = TestStore::new();
    let client = store.client().await;
    let sql = "SELECT number, repeat('x', 100) FROM numbers(4000000) FORMAT TSV";
    let read = |pause: Duration| {
        let mut stream = client.connect();
        let head = client.head("POST", "/");
        write!(
            stream,
            "{head}Connection: close\r\nContent-Length: {}\r\n\r\n{sql}",
            sql.len()
        )
        .unwrap();
        let (mut total, mut most) = (0, 0);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => return (total, most),
                length => total += length,
            }
            most = most.max(resident(store.pid(), "VmRSS"));
            std::thread::sleep(pause);
        }
    };
    // The first reading warms the engine's caches and thread pools.
    read(Duration::ZERO);
    let before = resident(store.pid(), "VmRSS");
    let (total, most) = read(Duration::from_millis(2));
    assert!(total > 400_000_000, "{total}");
    let grown = most.saturating_sub(before);
    assert!(
        grown < 100_000_000,
        "{grown} bytes more for a result of {total}"
    );
}
