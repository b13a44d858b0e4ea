//! The chain is edited by `canopy plugin`: what it adds, shows and removes, and
//! what it leaves alone.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::{Project, fixture, plugin};

#[test]
fn adding_and_removing_plugins_keeps_the_comments_of_the_file() {
    let project = Project::new();
    let config = "# Our logs.\n[logs] # all of them\nfields = \"all\"\n";
    project.write("canopy.toml", config);
    let ran = project
        .canopy(&["plugin", "add", "normalize-path"])
        .exits(0);
    assert!(
        ran.stdout.contains("makes     path_template (text)"),
        "{ran:#?}"
    );
    project
        .canopy(&[
            "plugin",
            "add",
            "redact",
            "--name",
            "privacy",
            "--plugin-config",
            r#"{"ipv4-bits": 16}"#,
            "--on-error",
            "fail",
        ])
        .exits(0);
    let text = project.read("canopy.toml");
    assert!(text.starts_with(config), "{text}");
    assert!(
        text.contains("ipv4-bits = 16") && text.contains("on-error = \"fail\""),
        "{text}"
    );

    let list = project
        .canopy(&["plugin", "list", "--json"])
        .exits(0)
        .json();
    let names: Vec<&Value> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["name"])
        .collect();
    assert_eq!(names, ["normalize-path", "privacy"]);
    let lock = project.read("canopy.lock");
    assert!(lock.contains(list[1]["locked"]["sha256"].as_str().unwrap()));

    // A comment of the operator's within the chain survives the removal of
    // another plugin.
    project.write(
        "canopy.toml",
        text.replace("name = \"privacy\"", "name = \"privacy\" # by law"),
    );
    project
        .canopy(&["plugin", "remove", "normalize-path"])
        .exits(0);
    let text = project.read("canopy.toml");
    assert!(
        text.starts_with(config) && text.contains("# by law"),
        "{text}"
    );
    assert!(!text.contains("normalize-path"), "{text}");
    assert!(!project.read("canopy.lock").contains("normalize-path"));
    project.canopy(&["plugin", "remove", "privacy"]).exits(0);
    assert_eq!(project.read("canopy.toml").trim(), config.trim());
    project.canopy(&["check", "--offline"]).exits(0);
}

#[test]
fn a_plugin_that_does_not_come_in_leaves_both_files_untouched() {
    let project = Project::new();
    project.write("canopy.toml", "# mine\n");
    project
        .canopy(&["plugin", "add", "normalize-path"])
        .exits(0);
    let files = || (project.read("canopy.toml"), project.read("canopy.lock"));
    let before = files();
    for args in [
        &["plugin", "add", "redact", "--plugin-config", "{\"x\": 1}"][..],
        &["plugin", "add", "geo-tag"],
        &["plugin", "add", "nowhere.wasm"],
        &["plugin", "add", plugin("normalize-path").to_str().unwrap()],
        &["plugin", "add", "normalize-path", "--on-error", "fail"],
        &["plugin", "remove", "redact"],
    ] {
        project.canopy(args).exits(1);
        assert_eq!(files(), before, "{args:?}");
    }
    // Pinning what is pinned changes nothing.
    project
        .canopy(&["plugin", "add", "normalize-path"])
        .exits(0);
    assert_eq!(files(), before);
}

#[test]
fn info_says_what_a_plugin_is_before_it_is_added() {
    let project = Project::new();
    let info = project
        .canopy(&["plugin", "info", "geo-tag", "--json"])
        .exits(0)
        .json();
    assert_eq!(info["name"], "geo-tag");
    assert!(
        info["data"]
            .as_array()
            .unwrap()
            .iter()
            .any(|file| file["name"] == "city")
    );
    assert!(info["config-schema"]["properties"].is_object());
    assert_eq!(info["sha256"].as_str().unwrap().len(), 64);
    let text = project
        .canopy(&["plugin", "info", "geo-tag"])
        .exits(0)
        .stdout;
    assert!(text.contains("data      city"), "{text}");
    assert!(!project.path("canopy.toml").exists());
}

#[test]
fn test_shows_inputs_beside_outputs_and_the_cost() {
    let project = Project::new();
    let ran = project
        .canopy(&["plugin", "test", "normalize-path", "--show", "3"])
        .exits(0);
    for words in [
        "cs_uri_stem",
        "path_template",
        "1,000 rows in, 1,000 out",
        "ns/row",
        "of its deadline of 1.00 s",
        "of its 128.0 MiB",
    ] {
        assert!(ran.stdout.contains(words), "no `{words}` in {}", ran.stdout);
    }
    let path = fixture("standard-33.log");
    let ran = project
        .canopy(&[
            "plugin",
            "test",
            "normalize-path",
            "--lines",
            path.to_str().unwrap(),
        ])
        .exits(0);
    assert!(ran.stdout.contains("/api/v1/orders"), "{ran:#?}");

    // One of canopy.toml is tried as it is set there.
    project.write(
        "canopy.toml",
        format!(
            "[[plugin]]\nname = \"privacy\"\nsource = {:?}\nconfig = {{ ipv4-bits = 8 }}\n",
            plugin("redact")
        ),
    );
    let ran = project
        .canopy(&[
            "plugin",
            "test",
            "privacy",
            "--lines",
            path.to_str().unwrap(),
        ])
        .exits(0);
    assert!(ran.stdout.contains("192.0.0.0"), "{ran:#?}");
    assert!(!project.path("canopy.lock").exists());
    assert!(project.has_no_store());
}

#[test]
fn test_warns_of_a_plugin_close_to_its_limits() {
    let project = Project::new();
    project.write(
        "canopy.toml",
        format!(
            "[[plugin]]\nname = \"tight\"\nsource = {:?}\nlimits = {{ memory = \"2MiB\", deadline = \"2ms\" }}\n",
            plugin("normalize-path")
        ),
    );
    let ran = project.canopy(&["plugin", "test", "tight"]).exits(0);
    assert!(ran.stdout.contains("raise limits.deadline"), "{ran:#?}");
    assert!(ran.stdout.contains("raise limits.memory"), "{ran:#?}");
}

#[test]
fn a_plugin_is_built_from_its_folder_and_comes_in() {
    let project = Project::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // The folder that `make plugins` builds in, so that little is left to do.
    let (folder, target) = (
        root.join("plugins/normalize-path"),
        root.join("target/wasm"),
    );
    let ran = project
        .canopy(&[
            "plugin",
            "build",
            folder.to_str().unwrap(),
            "--target-dir",
            target.to_str().unwrap(),
            "--out",
            "built.wasm",
        ])
        .exits(0);
    assert!(
        ran.stdout.contains("built.wasm") && ran.stdout.contains("sha256"),
        "{ran:#?}"
    );
    project.canopy(&["plugin", "add", "built.wasm"]).exits(0);
    assert!(
        project
            .read("canopy.toml")
            .contains("source = \"built.wasm\"")
    );
    project
        .canopy(&["plugin", "build", "nowhere"])
        .exits(1)
        .says(&["nowhere", "Cargo.toml"]);
}

#[test]
fn canopy_toml_stays_the_file_it_is() {
    let project = Project::new();
    let file = project.write("ours.toml", "[clickhouse]\npassword = \"secret\"\n");
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("ours.toml", project.path("canopy.toml")).unwrap();
    project
        .canopy(&["plugin", "add", "normalize-path"])
        .exits(0);
    assert!(project.path("canopy.toml").is_symlink());
    assert!(project.read("ours.toml").contains("normalize-path"));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_a_plugin_says_of_itself_cannot_steer_the_terminal() {
    let project = Project::new();
    let mut component = std::fs::read(plugin("normalize-path")).unwrap();
    let path = plugin("normalize-path");
    let info = project.canopy(&["plugin", "info", "--json", path.to_str().unwrap()]);
    let json = info.exits(0).json();
    let summary = json["summary"].as_str().unwrap().as_bytes();
    let found: Vec<usize> = memchr::memmem::find_iter(&component, summary).collect();
    assert!(!found.is_empty());
    for at in found {
        component[at] = 0x1b;
    }
    project.write("steers.wasm", component);
    for args in [
        &["plugin", "info", "steers.wasm"][..],
        &["plugin", "add", "steers.wasm", "--name", "steers"],
    ] {
        let ran = project.canopy(args).exits(0);
        assert!(!ran.stdout.contains('\x1b'), "{args:?}: {ran:#?}");
        assert!(ran.stdout.contains("\\u{1b}"), "{args:?}: {ran:#?}");
    }
}
