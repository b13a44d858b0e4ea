//! The summary of a run, for a person.

use std::fmt::Write;
use std::time::Duration;

use canopy_pipeline::report::{Books, Report};

use crate::text;

/// Returns the summary: the books, where time went, and what was set aside.
pub(crate) fn run(report: &Report) -> String {
    let mut out = String::new();
    books(&mut out, report);
    if report.books.records > 0 {
        out.push('\n');
        times(&mut out, report);
    }
    if !report.samples.is_empty() {
        out.push('\n');
        set_aside(&mut out, report);
    }
    out
}

fn books(out: &mut String, report: &Report) {
    let Books {
        records,
        inserted,
        dropped,
        quarantined,
    } = report.books;
    let write = |out: &mut String, label: &str, text: String| {
        let _ = writeln!(out, "{label:<22}{text}");
    };
    write(
        out,
        "records read",
        if records == 0 {
            format!("{:>12}", 0)
        } else {
            format!(
                "{:>12}   {} in {} ({} records/s)",
                text::count(records),
                text::bytes(report.bytes),
                text::duration(report.elapsed),
                text::count(report.records_per_second() as u64),
            )
        },
    );
    let rows = if report.rows == inserted {
        String::new()
    } else {
        format!("   as {} rows", text::count(report.rows))
    };
    write(
        out,
        "  inserted",
        format!("{:>12}{rows}", text::count(inserted)),
    );
    write(
        out,
        "  dropped by plugins",
        format!("{:>12}", text::count(dropped)),
    );
    let place = if quarantined > 0 {
        format!("   {}", report.quarantine.display())
    } else {
        String::new()
    };
    write(
        out,
        "  quarantined",
        format!("{:>12}{place}", text::count(quarantined)),
    );
    write(
        out,
        "the books",
        if report.books.balance() {
            format!(
                "balance: {} = {} + {} + {}",
                text::count(records),
                text::count(inserted),
                text::count(dropped),
                text::count(quarantined)
            )
        } else {
            "DO NOT BALANCE".to_owned()
        },
    );
    let already = report.already;
    if already.records > 0 {
        let mut ends = vec![format!("{} inserted", text::count(already.inserted))];
        for (number, what) in [
            (already.dropped, "dropped"),
            (already.quarantined, "set aside"),
        ] {
            if number > 0 {
                ends.push(format!("{} {what}", text::count(number)));
            }
        }
        write(
            out,
            "already read",
            format!(
                "{:>12}   by earlier runs over the same input ({}): not read again, also where the plugins changed",
                text::count(already.records),
                ends.join(", ")
            ),
        );
    }
    if report.stopped {
        out.push_str(
            "stopped: what was read is stored; run it again with the same input for the rest\n",
        );
    }
}

fn times(out: &mut String, report: &Report) {
    let records = report.books.records;
    let row = |name: String, time: Duration| {
        vec![
            name,
            text::duration(time),
            text::count(time.as_nanos() as u64 / records.max(1)),
            String::new(),
            String::new(),
            String::new(),
        ]
    };
    let mut rows = vec![
        row("read".to_owned(), report.stages.read),
        row("parse".to_owned(), report.stages.parse),
        row("plugins".to_owned(), report.stages.plugins),
    ];
    for plugin in &report.plugins {
        rows.push(vec![
            format!("  {} {}", plugin.name, plugin.version),
            text::duration(plugin.busy),
            text::count(plugin.busy.as_nanos() as u64 / plugin.rows_in.max(1)),
            text::count(plugin.dropped),
            text::count(plugin.rejected + plugin.nulled),
            text::bytes(plugin.peak_memory_bytes),
        ]);
    }
    rows.push(row("insert".to_owned(), report.stages.insert));
    let header = ["stage", "time", "ns/record", "dropped", "failed", "memory"];
    out.push_str(&text::table(&header, &rows, &[1, 2, 3, 4, 5]));
    out.push('\n');
    for plugin in &report.plugins {
        for (counter, value) in &plugin.counters {
            let _ = writeln!(out, " {} {counter} = {}", plugin.name, text::count(*value));
        }
    }
}

fn set_aside(out: &mut String, report: &Report) {
    let shown = report.samples.len() as u64;
    let _ = writeln!(
        out,
        "set aside ({} of {}):",
        text::count(shown),
        text::count(report.books.quarantined)
    );
    for sample in &report.samples {
        let _ = writeln!(
            out,
            "  {}:{} [{}] {}\n    {}",
            text::printable(&sample.source),
            sample.position,
            text::printable(&sample.stage),
            text::printable(&sample.reason),
            text::printable(&sample.raw),
        );
    }
}
