//! The database: the embedded engine, a server, and neither.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::errors::project;
use crate::support::{Project, Ran, wait_for};

#[test]
fn a_missing_engine_is_told_how_to_get() {
    let project = project("");
    project
        .run(&["--library", "nowhere/libchdb.so", "a.log"])
        .exits(1)
        .says(&["nowhere/libchdb.so", "canopy engine fetch"]);
    assert_eq!(project.set_aside(), []);

    // A file that is no library.
    project.write("libchdb.so", "no library");
    let ran = project.run(&["--library", "libchdb.so", "a.log"]).exits(1);
    ran.says(&["libchdb.so"]);
}

#[test]
fn a_server_that_cannot_be_reached_is_named() {
    let project = project("");
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}");
    project
        .run(&["--clickhouse", &url, "a.log"])
        .exits(1)
        .says(&["cannot reach ClickHouse", &url]);
    project
        .run(&["--clickhouse", "ftp://x", "a.log"])
        .exits(1)
        .says(&["ftp://x"]);
    assert!(project.has_no_store());
}

#[test]
fn a_server_that_is_not_clickhouse_is_told() {
    let project = project("");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\nconnection: close\r\n\r\n<html>It works",
            );
        }
    });
    project
        .run(&["--clickhouse", &url, "a.log"])
        .exits(1)
        .says(&["ClickHouse", &url]);
    assert!(project.has_no_store());
}

/// Starts the engine as a server; returns its URL and what runs it.
fn server(project: &Project) -> (String, crate::support::Running) {
    let running = project.start(&[
        "engine",
        "serve",
        "--store",
        "server",
        "--password",
        "secret",
    ]);
    let address = || {
        let text = std::fs::read(project.path("server/engine.json")).ok()?;
        let json: Value = serde_json::from_slice(&text).ok()?;
        Some(format!("http://{}", json["address"].as_str()?))
    };
    wait_for("the server's address", || address().is_some());
    (address().unwrap(), running)
}

#[test]
fn a_server_is_as_good_as_the_engine_and_a_wrong_password_is_not() {
    let project = project("");
    let (url, _server) = server(&project);
    let run = |password: &str| -> Ran {
        project.run(&[
            "--clickhouse",
            &url,
            "--user",
            "canopy",
            "--password",
            password,
            "a.log",
        ])
    };
    let refused = run("wrong").exits(1).says(&["canopy", "password", &url]);
    assert!(
        !refused.stderr.contains("wrong"),
        "the password is not printed"
    );

    project.append("a.log", "junk\n");
    assert_eq!(run("secret").exits(3).books(), [5, 4, 0, 1]);
    let again = run("secret");
    assert_eq!(again.already()[1], 4);
    // Without a store, records are set aside beside canopy.toml.
    assert_eq!(
        crate::support::set_aside(&project.path("canopy-quarantine")).len(),
        1
    );
    assert!(project.has_no_store());

    // The same from canopy.toml, the password from the environment.
    project.write(
        "canopy.toml",
        format!("[clickhouse]\nurl = {url:?}\nuser = \"canopy\"\n"),
    );
    let mut command = project.command(["query", "--csv", "SELECT count() FROM cloudfront_logs"]);
    let output = command
        .env("CANOPY_CLICKHOUSE_PASSWORD", "secret")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "\"count()\"\n4\n");
}

#[test]
fn a_store_named_goes_before_the_server_of_the_file() {
    let project = project("[clickhouse]\nurl = \"http://127.0.0.1:1\"\ndatabase = \"logs\"\n");
    assert_eq!(
        project.run(&["--store", "mine", "a.log"]).exits(0).books()[1],
        4
    );
    project
        .canopy(&[
            "query",
            "--store",
            "mine",
            "SELECT count() FROM cloudfront_logs",
        ])
        .exits(0);
    project
        .canopy(&["run", "--store", "mine", "--database", "logs", "a.log"])
        .exits(1)
        .says(&["always called `canopy`"]);
}

#[test]
fn asking_does_not_make_an_empty_database() {
    let project = project("");
    project.canopy(&["query", "SELECT 1"]).exits(1).says(&[
        "no database",
        "canopy-data",
        "canopy run",
    ]);
    let ran = project.canopy(&["check"]).exits(0);
    assert!(ran.stdout.contains("will be made"), "{ran:#?}");
    assert!(project.has_no_store());
}

#[test]
fn a_server_named_does_not_get_the_password_of_the_file_s_server() {
    let project = project(
        "[clickhouse]\nurl = \"http://127.0.0.1:1\"\nuser = \"writer\"\npassword = \"secret\"\ndatabase = \"logs\"\n",
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let request = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    project.run(&["--clickhouse", &url, "a.log"]).exits(1);
    let request = request.join().unwrap();
    assert!(request.contains("version()"), "{request}");
    for word in ["writer", "secret", "logs"] {
        assert!(!request.contains(word), "`{word}` in {request}");
    }
}

#[test]
fn a_store_is_its_owner_s_alone() {
    let project = project("");
    project.run(&["a.log"]).exits(0);
    let store = project.path("canopy-data");
    assert_private(&store);
    let mut folders = vec![store.join("data")];
    while let Some(folder) = folders.pop() {
        assert_private(&folder);
        for file in std::fs::read_dir(&folder).unwrap() {
            let file = file.unwrap();
            match file.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(file.path()),
                kind if kind.is_file() => assert_private(&file.path()),
                _ => {}
            }
        }
    }
}

/// Fails where others than its owner may do anything with a file. One that is
/// gone meanwhile is the database's own business.
#[track_caller]
fn assert_private(path: &Path) {
    if let Ok(metadata) = std::fs::metadata(path) {
        let mode = metadata.permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{mode:o}: {}", path.display());
    }
}
