//! What is wrong with the set-up is said before any record is read: what,
//! where, and what to do; and nothing is stored.

use crate::support::{Project, hazards, plugin};

/// A project with a good log and this canopy.toml.
pub(crate) fn project(config: &str) -> Project {
    let project = Project::new();
    project.write("canopy.toml", "");
    std::fs::copy(
        crate::support::fixture("real-time-all.log"),
        project.path("a.log"),
    )
    .unwrap();
    project.write("canopy.toml", config);
    project
}

/// Runs, and checks that it fails with these words and made no store.
#[track_caller]
fn fails(project: &Project, words: &[&str]) {
    project.run(&["a.log"]).exits(1).says(words);
    assert!(project.has_no_store());
    // `check` finds the same without logs.
    project.canopy(&["check", "--offline"]).exits(1).says(words);
}

/// An entry of canopy.toml.
fn entry(name: &str, source: &std::path::Path, more: &str) -> String {
    format!("[[plugin]]\nname = {name:?}\nsource = {source:?}\n{more}\n")
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_a_suggestion() {
    fails(
        &project("[logs]\nsampling_rate = 10\n"),
        &[
            "canopy.toml",
            "line 2",
            "sampling_rate",
            "did you mean `sampling-rate`?",
        ],
    );
    fails(
        &project("[[plugin]]\nname = \"a\"\nsource = \"a\"\nonerror = \"null\"\n"),
        &[
            "canopy.toml",
            "line 4",
            "onerror",
            "did you mean `on-error`?",
        ],
    );
}

#[test]
fn an_unknown_log_field_is_named_with_a_suggestion() {
    fails(
        &project("[logs]\nfields = [\"timestamp\", \"cs-uri-stm\"]\n"),
        &["canopy.toml", "logs.fields", "cs-uri-stm", "cs-uri-stem"],
    );
}

#[test]
fn values_out_of_range_are_named() {
    fails(
        &project("[logs]\nsampling-rate = 0\n"),
        &["canopy.toml", "sampling-rate", "percentage"],
    );
    fails(
        &project("[clickhouse]\nurl = \"localhost:9000\"\n"),
        &["clickhouse.url", "localhost:9000"],
    );
    fails(&project("[logs\n"), &["canopy.toml", "line 1"]);
}

#[test]
fn a_plugin_that_was_never_added_is_told_how_to_be() {
    fails(
        &project(&entry("paths", &plugin("normalize-path"), "")),
        &[
            "canopy.toml",
            "`paths`",
            "canopy.lock",
            "hint:",
            "canopy plugin add paths",
        ],
    );
}

#[test]
fn a_component_that_changed_is_refused() {
    let project = project("");
    std::fs::copy(plugin("normalize-path"), project.path("n.wasm")).unwrap();
    project.canopy(&["plugin", "add", "n.wasm"]).exits(0);
    let mut bytes = std::fs::read(project.path("n.wasm")).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    project.write("n.wasm", bytes);
    fails(
        &project,
        &[
            "n.wasm",
            "not the component that was added",
            "canopy.lock",
            "canopy plugin add",
        ],
    );
}

#[test]
fn a_compiled_artifact_that_changed_is_not_loaded_but_made_anew() {
    let project = project("");
    project
        .canopy(&["plugin", "add", "normalize-path"])
        .exits(0);
    let artifacts: Vec<_> = std::fs::read_dir(project.path(".canopy/artifacts"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "cwasm"))
        .collect();
    assert_eq!(artifacts.len(), 1);
    let good = std::fs::read(&artifacts[0]).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 0x40;
    std::fs::write(&artifacts[0], &bad).unwrap();
    let ran = project.run(&["a.log"]).exits(0);
    let ran = ran.says(&["warning:", "SHA-256", "not loaded", "compiled again"]);
    assert_eq!(ran.books()[1], 4);
    assert!(std::fs::read(&artifacts[0]).unwrap() == good);
    let again = project.run(&["a.log"]).exits(0);
    assert!(!again.stderr.contains("warning"), "{again:#?}");
}

#[test]
fn a_component_of_another_contract_version_is_told_both_versions() {
    let project = project("");
    let bytes = std::fs::read(plugin("normalize-path")).unwrap();
    let (ours, theirs) = (b"@0.1.0", b"@0.9.0");
    let mut other = bytes.clone();
    for at in memchr::memmem::find_iter(&bytes, ours) {
        other[at..at + ours.len()].copy_from_slice(theirs);
    }
    project.write("future.wasm", other);
    project
        .canopy(&["plugin", "add", "future.wasm", "--name", "future"])
        .exits(1)
        .says(&["future.wasm", "0.9.0", "0.1"]);
    assert_eq!(project.read("canopy.toml"), "");
}

#[test]
fn what_is_no_component_is_called_what_it_is() {
    let project = project("");
    project.write("text.wasm", "(module)");
    project.write("junk.wasm", [0x7f, b'E', b'L', b'F', 2]);
    project.write("module.wasm", b"\0asm\x01\0\0\0");
    for (name, words) in [
        ("text.wasm", "text form"),
        ("junk.wasm", "ELF"),
        ("module.wasm", "canopy plugin build"),
    ] {
        project
            .canopy(&["plugin", "add", name])
            .exits(1)
            .says(&[name, words]);
    }
    assert_eq!(project.read("canopy.toml"), "");
    assert!(!project.path("canopy.lock").exists());
}

#[test]
fn a_plugin_that_reads_a_column_nobody_makes_does_not_come_in() {
    let project = project("");
    let config = r#"{"inputs": [{"name": "tenant", "kind": "text"}]}"#;
    let add = |name: &str, config: &str| {
        let path = hazards();
        project.canopy(&[
            "plugin",
            "add",
            path.to_str().unwrap(),
            "--name",
            name,
            "--plugin-config",
            config,
        ])
    };
    add("reader", config).exits(1).says(&["reader", "tenant"]);
    // The kinds clash: a status is no text.
    let config = r#"{"inputs": [{"name": "sc_status", "kind": "text"}]}"#;
    add("clash", config)
        .exits(1)
        .says(&["clash", "sc_status", "text"]);
    assert_eq!(project.read("canopy.toml"), "");
    assert!(!project.path("canopy.lock").exists());
}

#[test]
fn plugins_in_the_wrong_order_are_found_before_a_run() {
    let project = project("");
    let tag = |name: &str, input: &str, output: &str| {
        format!(
            "[[plugin]]\nname = {name:?}\nsource = {:?}\n[plugin.config]\ninputs = [{{ name = {input:?}, kind = \"text\" }}]\noutputs = [{{ name = {output:?}, kind = \"text\", nullable = true }}]\n",
            hazards()
        )
    };
    let (first, second) = (
        tag("first", "cs_uri_stem", "one"),
        tag("second", "one", "two"),
    );
    project.write("canopy.toml", format!("{first}{second}"));
    // Both are pinned where the order is right.
    project.canopy(&["plugin", "add", "first"]).exits(1);
    project.write("canopy.toml", &first);
    project.canopy(&["plugin", "add", "first"]).exits(0);
    project.write("canopy.toml", format!("{first}{second}"));
    project.canopy(&["plugin", "add", "second"]).exits(0);
    project.canopy(&["check", "--offline"]).exits(0);
    project.write("canopy.toml", format!("{second}{first}"));
    fails(&project, &["canopy.toml", "second", "`one`", "hint:"]);
}

#[test]
fn a_configuration_against_the_plugin_s_schema_names_the_key() {
    let project = project("");
    let add =
        |config: &str| project.canopy(&["plugin", "add", "redact", "--plugin-config", config]);
    add(r#"{"headerz": []}"#)
        .exits(1)
        .says(&["redact", "`headerz`", "`headers`"]);
    add(r#"{"ipv4-bits": "many"}"#)
        .exits(1)
        .says(&["redact", "`ipv4-bits`"]);
    add("{").exits(1).says(&["--plugin-config", "JSON"]);
    assert_eq!(project.read("canopy.toml"), "");

    project.canopy(&["plugin", "add", "redact"]).exits(0);
    let config = project.read("canopy.toml");
    project.write(
        "canopy.toml",
        format!("{config}config = {{ ipv4-bits = 99 }}\n"),
    );
    fails(&project, &["canopy.toml", "redact", "`ipv4-bits`"]);
}

#[test]
fn a_data_file_that_is_missing_is_named() {
    let project = project("");
    project
        .canopy(&["plugin", "add", "geo-tag"])
        .exits(1)
        .says(&["geo-tag", "city"]);
    project
        .canopy(&["plugin", "add", "geo-tag", "--data", "city=nowhere.mmdb"])
        .exits(1)
        .says(&["nowhere.mmdb", "No such file"]);
    project
        .canopy(&["plugin", "add", "geo-tag", "--data", "town=a.log"])
        .exits(1)
        .says(&["geo-tag", "`town`", "`city`"]);
    project
        .canopy(&["plugin", "add", "geo-tag", "--data", "city=a.log"])
        .exits(1)
        .says(&["geo-tag", "city"]);
    assert_eq!(project.read("canopy.toml"), "");
    assert!(!project.path("canopy.lock").exists());
}

#[test]
fn a_missing_component_is_named() {
    let project = project("");
    std::fs::copy(plugin("normalize-path"), project.path("n.wasm")).unwrap();
    project.canopy(&["plugin", "add", "n.wasm"]).exits(0);
    std::fs::remove_file(project.path("n.wasm")).unwrap();
    fails(
        &project,
        &["normalize-path", "n.wasm", "No such file", "hint:"],
    );
}

#[test]
fn an_unknown_plugin_name_gets_a_suggestion() {
    let project = project("");
    let add = |name: &str| project.canopy(&["plugin", "add", name]).exits(1);
    add("normalise-path").says(&["`normalise-path`", "did you mean `normalize-path`?"]);
    add("zzz").says(&["`zzz`", "normalize-path", "redact"]);
    add("oci://example.com/x:1").says(&["oci://example.com/x:1", "paths"]);
    project
        .canopy(&["plugin", "remove", "redact"])
        .exits(1)
        .says(&["`redact`", "canopy.toml"]);
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    let project = project("");
    for (args, words) in [
        (&["run"][..], "<FILE>"),
        (
            &["run", "--format", "csv", "a.log"],
            "real-time, standard, json",
        ),
        (&["run", "-", "-"], "twice"),
        (
            &["run", "--follow", "a.log", "b.log"],
            "--follow takes one file",
        ),
        (
            &["run", "--store", "s", "--clickhouse", "http://x", "a.log"],
            "cannot be used with",
        ),
        (&["rum"], "'run'"),
        (&["generate"], "--lines"),
        (
            &["generate", "--lines", "1", "--rate", "1"],
            "cannot be used with",
        ),
        (&["generate", "--lines", "1", "--malformed", "2"], "0 to 1"),
        (
            &["generate", "--lines", "1", "--incident", "flood@1m"],
            "--incident",
        ),
        (
            &["generate", "--lines", "1", "--fields", "cs-uri"],
            "--fields",
        ),
    ] {
        let ran = project.canopy(args);
        assert_eq!(ran.status, Some(2), "{args:?}: {ran:#?}");
        ran.says(&[words]);
    }
    assert!(project.has_no_store());
}
