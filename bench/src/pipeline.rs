//! `canopy run` as a whole: a process of its own for each measurement, on
//! lines in a file, through three plugins into a new embedded database.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use canopy_bench::paired::median;
use canopy_bench::{Row, data, output, root};
use canopy_traffic::geo;
use serde::Deserialize;

/// The chain, and the data files each plugin is given.
const PLUGINS: [(&str, &[(&str, &str)]); 3] = [
    ("normalize-path", &[]),
    ("geo-tag", &[("city", "city.mmdb"), ("asn", "asn.mmdb")]),
    ("edge-location", &[]),
];

/// Memory is measured with this part of the lines, too: it should be the same.
const PART: u64 = 4;

/// How long an engine may take to end.
const ENGINE_ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Measures runs over `lines` lines, `rounds` times, and over a part of them.
///
/// # Errors
///
/// Where canopy, the plugins or the engine were not built, or a run fails or
/// stores another number of rows than there are lines.
pub(crate) fn measure(lines: u64, rounds: u64) -> Result<Vec<(Row, String)>> {
    let project = Project::new()?;
    let whole = project.lines("whole.log", lines)?;
    let part = project.lines("part.log", (lines / PART).max(1))?;

    // Compiles the plugins, which later runs find compiled, and warms the
    // page cache with program and engine.
    let of_part = project.run(&part)?;
    let mut runs = Vec::new();
    let mut floors = Vec::new();
    for _ in 0..rounds {
        floors.push(floor(&whole.path)?);
        runs.push(project.run(&whole)?);
    }

    let of = |pick: &dyn Fn(&Run) -> f64| median(runs.iter().map(pick).collect());
    let floor_ns = median(floors.iter().copied().map(nanos).collect()) / lines as f64;
    let ratio = |pick: &dyn Fn(&Run) -> Duration| {
        let ratios = runs.iter().zip(&floors);
        median(
            ratios
                .map(|(run, &floor)| nanos(pick(run)) / nanos(floor))
                .collect(),
        )
    };
    let row = |name: &str, pick: &dyn Fn(&Run) -> Duration, note: String| {
        let row = Row {
            name: name.to_owned(),
            ns_per_record: of(&|run| nanos(pick(run))) / lines as f64,
            records: lines,
            ratio: ratio(pick),
            ratio_to: "read and memchr".to_owned(),
        };
        (row, note)
    };
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let peak = of(&|run| run.peak_bytes as f64);
    let seconds = of(&|run| run.wall.as_secs_f64());
    Ok(vec![
        row(
            "run",
            &|run| run.wall,
            format!(
                "{:.0} records/s, {:.0} MB/s; read and memchr {floor_ns:.0} ns",
                lines as f64 / seconds,
                whole.bytes as f64 / seconds / 1e6,
            ),
        ),
        row(
            "run: CPU of canopy",
            &|run| run.cpu,
            format!(
                "{:.2} s; peak {:.0} MiB, {:.0} MiB on a quarter of the lines",
                of(&|run| run.cpu.as_secs_f64()),
                mib(peak),
                mib(of_part.peak_bytes as f64),
            ),
        ),
        row(
            "run: CPU of the engine",
            &|run| run.engine_cpu,
            format!(
                "{:.2} s; peak {:.0} MiB",
                of(&|run| run.engine_cpu.as_secs_f64()),
                mib(of(&|run| run.engine_peak_bytes as f64)),
            ),
        ),
    ])
}

fn nanos(time: Duration) -> f64 {
    time.as_nanos() as f64
}

/// The time to read a file and find its tabs and line ends.
fn floor(path: &Path) -> Result<Duration> {
    let start = Instant::now();
    let mut file = File::open(path)?;
    let mut block = vec![0; 1 << 20];
    let mut found = 0;
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            break;
        }
        found += memchr::memchr2_iter(b'\t', b'\n', &block[..read]).count();
    }
    std::hint::black_box(found);
    Ok(start.elapsed())
}

/// A file of lines.
struct Lines {
    path: PathBuf,
    count: u64,
    bytes: u64,
}

/// What a run took.
struct Run {
    wall: Duration,
    /// User and system time of canopy's process.
    cpu: Duration,
    /// Its largest resident size.
    peak_bytes: u64,
    engine_cpu: Duration,
    engine_peak_bytes: u64,
}

/// The part of `canopy run --json` that is checked.
#[derive(Deserialize)]
struct Report {
    books: Books,
}

#[derive(Deserialize)]
struct Books {
    records: u64,
    inserted: u64,
}

/// The part of a store's `engine.json` that is used.
#[derive(Deserialize)]
struct Endpoint {
    pid: libc::pid_t,
}

/// A project with the chain, in `target/bench`.
struct Project {
    canopy: PathBuf,
    library: PathBuf,
    folder: PathBuf,
}

impl Project {
    /// Makes the project anew.
    fn new() -> Result<Project> {
        let project = Project {
            canopy: root().join("target/release/canopy"),
            library: root().join("target/engine/libchdb.so"),
            folder: output().join("project"),
        };
        for needed in [&project.canopy, &project.library] {
            ensure!(
                needed.exists(),
                "{} is missing: run `make build plugins engine`",
                needed.display()
            );
        }
        if project.folder.exists() {
            std::fs::remove_dir_all(&project.folder)?;
        }
        std::fs::create_dir_all(&project.folder)?;
        std::fs::write(project.folder.join("city.mmdb"), geo::city_database())?;
        std::fs::write(project.folder.join("asn.mmdb"), geo::asn_database())?;
        for (plugin, data) in PLUGINS {
            let mut command = project.command(&["plugin", "add", plugin]);
            for (name, file) in data {
                command.arg("--data").arg(format!("{name}={file}"));
            }
            let added = command.output()?;
            ensure!(
                added.status.success(),
                "cannot add {plugin}: {}",
                String::from_utf8_lossy(&added.stderr)
            );
        }
        Ok(project)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.canopy);
        command.args(arguments).current_dir(&self.folder);
        command
    }

    /// Writes a file of lines.
    fn lines(&self, name: &str, count: u64) -> Result<Lines> {
        let path = self.folder.join(name);
        data::write_lines(&path, count)?;
        let bytes = std::fs::metadata(&path)?.len();
        Ok(Lines { path, count, bytes })
    }

    /// Runs canopy over a file into a new store.
    fn run(&self, lines: &Lines) -> Result<Run> {
        let store = self.folder.join("store");
        let start = Instant::now();
        let mut canopy = self
            .command(&["run", "--json"])
            .arg("--library")
            .arg(&self.library)
            .arg("--store")
            .arg(&store)
            .arg(&lines.path)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut report = String::new();
        if let Some(mut stdout) = canopy.stdout.take() {
            stdout.read_to_string(&mut report)?;
        }
        let (status, usage) = wait(canopy)?;
        let wall = start.elapsed();

        let endpoint = std::fs::read(store.join("engine.json"))
            .context("the engine has gone: its CPU time cannot be read")?;
        let engine = serde_json::from_slice::<Endpoint>(&endpoint)?.pid;
        let (engine_cpu, engine_peak_bytes) = of_process(engine)?;
        end(engine)?;
        std::fs::remove_dir_all(&store)?;

        ensure!(status == 0, "`canopy run` ended with status {status}");
        let books = serde_json::from_str::<Report>(&report)?.books;
        ensure!(
            books.records == lines.count && books.inserted == lines.count,
            "{} of {} lines were stored",
            books.inserted,
            lines.count
        );
        Ok(Run {
            wall,
            cpu: time(usage.ru_utime) + time(usage.ru_stime),
            peak_bytes: usage.ru_maxrss as u64 * 1024,
            engine_cpu,
            engine_peak_bytes,
        })
    }
}

fn time(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
}

/// Waits for a child and returns its exit status and what it used.
fn wait(child: Child) -> Result<(i32, libc::rusage)> {
    let mut status = 0;
    // SAFETY: zeroes are a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values of ours, and the child is ours and
    // was not waited for.
    let waited = unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage) };
    if waited < 0 {
        return Err(std::io::Error::last_os_error()).context("cannot wait for canopy");
    }
    ensure!(libc::WIFEXITED(status), "canopy was killed");
    Ok((libc::WEXITSTATUS(status), usage))
}

/// Returns the CPU time of a process so far and its largest resident size in
/// bytes.
fn of_process(pid: libc::pid_t) -> Result<(Duration, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .context("cannot read the engine's CPU time")?;
    // The name in parentheses may contain anything; user and system time are
    // the 12th and 13th fields after it.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .collect();
    let ticks: u64 = [11, 12]
        .iter()
        .filter_map(|&field| fields.get(field)?.parse::<u64>().ok())
        .sum();
    // SAFETY: a plain question.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .unwrap_or(0);
    Ok((
        Duration::from_secs_f64(ticks as f64 / per_second),
        kib * 1024,
    ))
}

/// Ends an engine and waits until it has gone.
fn end(pid: libc::pid_t) -> Result<()> {
    // SAFETY: the process is the engine that our run started.
    unsafe { libc::kill(pid, libc::SIGTERM) };
    let start = Instant::now();
    while std::fs::exists(format!("/proc/{pid}"))? && !is_zombie(pid) {
        if start.elapsed() > ENGINE_ENDS_WITHIN {
            bail!("the engine, process {pid}, does not end");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Whether a process has ended and only its parent does not know yet.
fn is_zombie(pid: libc::pid_t) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
    })
}
