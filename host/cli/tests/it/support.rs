//! What the tests share: a project in a folder of its own, the real command
//! with the real engine, and ways to look at what it left.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Fields enough to tell requests apart; lines of about 150 bytes.
pub(crate) const FIELDS: &str =
    "timestamp,c-ip,sc-status,sc-bytes,cs-method,cs-uri-stem,x-edge-location,x-edge-request-id";

/// A start that the same seed makes the same lines with: 2025-11-24 21:00 UTC.
const START: &str = "1764018000";

/// Fails with the way out where what `make` builds is missing.
fn built(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_canopy"))
        .parent()
        .expect("the command is in a folder")
        .join("..")
        .join(path);
    assert!(
        path.is_file(),
        "{} is missing: run `make plugins guests engine` first",
        path.display()
    );
    path.canonicalize().unwrap()
}

/// Returns the component of a first-party plugin.
pub(crate) fn plugin(name: &str) -> PathBuf {
    built(&format!("plugins/{name}.wasm"))
}

/// Returns the plugin that does what its input says.
pub(crate) fn hazards() -> PathBuf {
    built("guests/hazards.wasm")
}

/// Returns the path of a sample log.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/logs")
        .join(name)
        .canonicalize()
        .unwrap()
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn new(output: Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).expect("canopy prints UTF-8");
        Ran {
            status: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Checks the exit status, showing what was printed where it is another.
    #[track_caller]
    pub(crate) fn exits(self, status: i32) -> Ran {
        assert_eq!(self.status, Some(status), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    /// Checks that standard error says each of these.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Ran {
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in {self:#?}");
        }
        self
    }

    /// Returns what was printed, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Returns the books of a report: records, inserted, dropped, quarantined.
    #[track_caller]
    pub(crate) fn books(&self) -> [u64; 4] {
        books(&self.json()["books"])
    }

    /// Returns what the report says earlier runs had done.
    #[track_caller]
    pub(crate) fn already(&self) -> [u64; 4] {
        books(&self.json()["already"])
    }
}

fn books(json: &Value) -> [u64; 4] {
    let books = ["records", "inserted", "dropped", "quarantined"]
        .map(|key| json[key].as_u64().expect("a number of records"));
    assert_eq!(books[0], books[1] + books[2] + books[3], "{json}");
    books
}

/// A record set aside.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SetAside {
    pub(crate) source: String,
    pub(crate) position: u64,
    pub(crate) stage: String,
    pub(crate) reason: String,
    pub(crate) raw: Vec<u8>,
}

/// A project in a temporary folder; its engine ends with it.
pub(crate) struct Project {
    folder: TempDir,
}

impl Project {
    pub(crate) fn new() -> Project {
        built("engine/libchdb.so");
        plugin("normalize-path");
        Project {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A project whose real-time lines have the fields of [`FIELDS`].
    pub(crate) fn short_lines() -> Project {
        let project = Project::new();
        project.write("canopy.toml", logs_section());
        project
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The command, in the project's folder and with nothing of this
    /// process's settings.
    pub(crate) fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_canopy"));
        command.args(args).current_dir(self.folder.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CANOPY_") {
                command.env_remove(name);
            }
        }
        command
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("COLUMNS", "100")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn canopy(&self, args: &[&str]) -> Ran {
        Ran::new(self.command(args).output().unwrap())
    }

    /// Runs `canopy run --json` with further arguments.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.canopy(&[&["run", "--json"], args].concat())
    }

    /// Runs with these bytes as standard input.
    pub(crate) fn piped(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // The command may end before it has read everything.
                let _ = stdin.write_all(input);
            });
            Ran::new(child.wait_with_output().unwrap())
        })
    }

    /// Starts a command that the test ends or waits for.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::new(self.command(args).spawn().unwrap())
    }

    /// Generates lines of [`FIELDS`] into a file; returns its name.
    pub(crate) fn generate(&self, name: &str, lines: u64, seed: u64) -> String {
        let (lines, seed) = (lines.to_string(), seed.to_string());
        self.canopy(&[
            "generate", "--lines", &lines, "--seed", &seed, "--start", START, "--fields", FIELDS,
            "--out", name,
        ])
        .exits(0);
        name.to_owned()
    }

    /// Asks the database; a JSON object a row.
    #[track_caller]
    pub(crate) fn query(&self, sql: &str) -> Vec<Value> {
        let ran = self.canopy(&["query", "--json", sql]).exits(0);
        ran.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Returns how many rows are stored, and how many requests they are of.
    #[track_caller]
    pub(crate) fn stored(&self) -> (u64, u64) {
        let rows = self.query(
            "SELECT toUInt32(count()) AS n, toUInt32(uniqExact(x_edge_request_id)) AS ids
             FROM cloudfront_logs",
        );
        (
            rows[0]["n"].as_u64().unwrap(),
            rows[0]["ids"].as_u64().unwrap(),
        )
    }

    /// Whether nothing came as far as a store.
    pub(crate) fn has_no_store(&self) -> bool {
        !self.path("canopy-data").exists()
    }

    /// Returns everything in quarantine, by source and position.
    pub(crate) fn set_aside(&self) -> Vec<SetAside> {
        set_aside(&self.path("canopy-data/quarantine"))
    }

    /// Returns the process of the store's engine.
    pub(crate) fn engine(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.endpoint()?["pid"].as_i64()?).ok()?)
    }

    /// Returns where the store's engine listens.
    pub(crate) fn address(&self) -> Option<String> {
        Some(self.endpoint()?["address"].as_str()?.to_owned())
    }

    fn endpoint(&self) -> Option<Value> {
        let text = std::fs::read(self.path("canopy-data/engine.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if let Some(engine) = self.engine() {
            let _ = kill_process(engine, Signal::KILL);
        }
    }
}

/// Returns everything in a quarantine folder, by source and position.
pub(crate) fn set_aside(folder: &Path) -> Vec<SetAside> {
    let Ok(files) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut records: Vec<SetAside> = files
        .flat_map(|file| lines_of(&file.unwrap().path()))
        .collect();
    records.sort();
    records
}

fn lines_of(path: &Path) -> Vec<SetAside> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let field = |name: &str| line[name].as_str().map(str::to_owned);
            let raw = match (field("raw"), field("raw_base64")) {
                (Some(text), None) => text.into_bytes(),
                (None, Some(text)) => data_encoding::BASE64.decode(text.as_bytes()).unwrap(),
                both => panic!("either text or base64: {both:?}"),
            };
            SetAside {
                source: field("source").unwrap(),
                position: line["position"].as_u64().unwrap(),
                stage: field("stage").unwrap(),
                reason: field("reason").unwrap(),
                raw,
            }
        })
        .collect()
}

/// The `[logs]` section for lines of [`FIELDS`].
pub(crate) fn logs_section() -> String {
    let fields: Vec<String> = FIELDS.split(',').map(|name| format!("{name:?}")).collect();
    format!("[logs]\nfields = [{}]\n", fields.join(", "))
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A command that is running; killed where the test drops it.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn new(child: Child) -> Running {
        Running(Some(child))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.0.as_ref().expect("it runs until it is waited for");
        let _ = kill_process(Pid::from_child(child), signal);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        let child = self.0.as_mut().expect("it runs until it is waited for");
        child.try_wait().unwrap().is_none()
    }

    pub(crate) fn wait(mut self) -> Ran {
        let child = self.0.take().expect("it is waited for once");
        Ran::new(child.wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until something holds; fails after half a minute.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
