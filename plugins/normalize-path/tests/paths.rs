//! Paths in, templates out.

use canopy_sdk::prelude::*;
use canopy_sdk::serde_json;
use normalize_path::NormalizePath;

/// Returns the templates that a configuration gives some paths.
fn templates(config: serde_json::Value, paths: &[&str]) -> Vec<String> {
    let rows = paths
        .iter()
        .map(|path| json!({ "cs_uri_stem": path }))
        .collect();
    let made = Harness::<NormalizePath>::new(config).run(rows);
    let rows = made.rows.as_array().expect("rows are an array");
    rows.iter()
        .map(|row| row["path_template"].as_str().unwrap_or("null").to_owned())
        .collect()
}

#[test]
fn each_path_of_the_table_has_its_template() {
    let table: Vec<(&str, &str)> = include_str!("paths.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('\t').expect("a path, a tab, its template"))
        .collect();
    let paths: Vec<&str> = table.iter().map(|(path, _)| *path).collect();
    let made = templates(json!({}), &paths);
    let wrong: Vec<_> = table
        .iter()
        .zip(&made)
        .filter(|((_, expected), made)| expected != made)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_template_is_its_own_template() {
    let paths: Vec<&str> = include_str!("paths.tsv")
        .lines()
        .filter_map(|line| line.split('\t').nth(1))
        .collect();
    assert_eq!(templates(json!({"max-segments": 20}), &paths), paths);
}

#[test]
fn a_request_without_a_path_has_no_template() {
    assert_eq!(templates(json!({}), &[""]), ["null"]);
}

#[test]
fn letters_can_be_lowered() {
    let config = json!({ "lowercase": true });
    assert_eq!(
        templates(config, &["/Users/42/ÄPFEL.HTML"]),
        ["/users/:id/Äpfel.html"]
    );
}

#[test]
fn segments_can_be_capped() {
    let config = json!({ "max-segments": 2 });
    assert_eq!(
        templates(config, &["/a/b", "/a/b/", "/a/b/c", "/a/1/c/d"]),
        ["/a/b", "/a/b/", "/a/b/*", "/a/:id/*"]
    );
}

#[test]
fn the_first_rule_that_matches_gives_the_template() {
    let config = json!({ "rules": [
        { "match": "/users/me" },
        { "match": "/users/:user/*" },
        { "match": "/:lang/wiki/:page", "template": "/{lang}/wiki/:page" },
        { "match": "/health/*", "template": "health" },
    ]});
    let paths = [
        "/users/me",
        "/users/ann/posts/7",
        "/users/ann",
        "/de/wiki/Graz",
        "/de/wiki/",
        "/health/live?x=1",
    ];
    let expected = [
        "/users/me",
        "/users/:user/*",
        "/users/ann",
        "/de/wiki/:page",
        "/de/wiki/",
        "health",
    ];
    assert_eq!(templates(config, &paths), expected);
}

#[test]
fn a_wrong_configuration_names_its_key() {
    let key = |config| {
        let error = Harness::<NormalizePath>::new(config)
            .configure()
            .unwrap_err();
        match error {
            Error::Config { key, .. } => key,
            other => panic!("{other}"),
        }
    };
    assert_eq!(key(json!({ "max-segments": 0 })), "max-segments");
    assert_eq!(key(json!({ "max-segments": "x" })), "max-segments");
    assert_eq!(key(json!({ "lower": true })), "lower");
    assert_eq!(
        key(json!({ "rules": [{ "match": "users" }] })),
        "rules.0.match"
    );
    assert_eq!(
        key(json!({ "rules": [{ "match": "/:/x" }] })),
        "rules.0.match"
    );
    assert_eq!(
        key(json!({ "rules": [{ "match": "/a" }, { "match": "/:a", "template": "{b}" }] })),
        "rules.1.template"
    );
    assert_eq!(key(json!({ "rules": [{ "template": "/a" }] })), "rules.0");
}
