//! Loading: what is not a plugin is told apart, and no artifact is trusted.

use std::path::Path;

use canopy_runtime::{ArtifactCache, CacheWarning, Host, LoadError, sha256_hex};

use crate::support::*;

fn message(bytes: &[u8]) -> String {
    chain(&host().compile(bytes).unwrap_err())
}

#[test]
fn a_core_module_and_damaged_components_are_told_apart() {
    assert!(message(b"\0asm\x01\0\0\0").contains("core WebAssembly module"));
    assert!(message(b"not wasm at all").contains("starts with \"not wasm\""));
    for length in [9, 100, 1000, component().len() / 2, component().len() - 1] {
        let text = message(&component()[..length]);
        assert!(
            text.contains("damaged at byte") || text.contains("not a Canopy plugin"),
            "{length}: {text}"
        );
    }
}

#[test]
fn a_component_for_another_contract_names_both_versions() {
    let other = patched(b"canopy:plugin/guest@0.1.0", b"canopy:plugin/guest@0.9.0");
    let text = message(&other);
    assert!(
        text.contains("canopy:plugin@0.9.0") && text.contains("canopy:plugin@0.1.x"),
        "{text}"
    );
}

#[test]
fn a_foreign_import_is_named() {
    let other = patched(b"canopy:plugin/host@0.1.0", b"wasi:cli/enviromnt@0.2.0");
    let text = message(&other);
    assert!(
        text.contains("imports `wasi:cli/enviromnt@0.2.0`"),
        "{text}"
    );
}

#[test]
fn an_artifact_is_loaded_under_its_digest_only() {
    let mut tampered = artifact().to_vec();
    *tampered.last_mut().unwrap() ^= 1;
    let error = host().load(&tampered, &sha256_hex(artifact())).unwrap_err();
    assert!(matches!(error, LoadError::Digest { .. }), "{error}");
    let error = host()
        .load(component(), &sha256_hex(component()))
        .unwrap_err();
    assert!(
        error.to_string().contains("not a compiled component"),
        "{error}"
    );
}

#[test]
fn an_artifact_of_another_process_and_host_loads() {
    let other = Host::new().unwrap();
    assert_eq!(other.artifact_key(), host().artifact_key());
    let loaded = other.load(artifact(), &sha256_hex(artifact())).unwrap();
    drop(other);
    assert_eq!(loaded.describe().unwrap().name, "hazards");
}

#[test]
fn the_cache_compiles_once_and_loads_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ArtifactCache::new(folder.path().join("cache"));
    let first = cache.get_or_compile(host(), component(), None).unwrap();
    assert_eq!(first.warning, None);
    let path = cache.path(host(), component());
    let written = modified(&path);
    let second = cache
        .get_or_compile(host(), component(), Some(&first.sha256))
        .unwrap();
    assert_eq!((second.sha256, second.warning), (first.sha256, None));
    assert_eq!(modified(&path), written);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = folder
            .path()
            .join("cache")
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "the folder is its owner's alone");
    }
}

fn modified(path: &Path) -> std::time::SystemTime {
    path.metadata().unwrap().modified().unwrap()
}

#[test]
fn a_damaged_artifact_is_compiled_again_and_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ArtifactCache::new(folder.path());
    let first = cache.get_or_compile(host(), component(), None).unwrap();
    let path = cache.path(host(), component());
    for damage in [b"junk".to_vec(), Vec::new(), component().to_vec()] {
        std::fs::write(&path, damage).unwrap();
        let again = cache.get_or_compile(host(), component(), None).unwrap();
        assert!(matches!(again.warning, Some(CacheWarning::Replaced { .. })));
        assert_eq!(again.sha256, first.sha256);
        assert_eq!(sha256_hex(&std::fs::read(&path).unwrap()), first.sha256);
    }
}

#[test]
fn an_artifact_swapped_together_with_its_note_does_not_pass_the_pin() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ArtifactCache::new(folder.path());
    let first = cache.get_or_compile(host(), component(), None).unwrap();
    let path = cache.path(host(), component());
    let mut evil = std::fs::read(&path).unwrap();
    *evil.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &evil).unwrap();
    std::fs::write(path.with_extension("cwasm.sha256"), sha256_hex(&evil)).unwrap();
    let again = cache
        .get_or_compile(host(), component(), Some(&first.sha256))
        .unwrap();
    assert!(matches!(again.warning, Some(CacheWarning::Replaced { .. })));
    assert_eq!(again.sha256, first.sha256);
}

#[test]
fn a_pin_that_no_artifact_has_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ArtifactCache::new(folder.path());
    let pin = "0".repeat(64);
    let error = cache
        .get_or_compile(host(), component(), Some(&pin))
        .unwrap_err();
    assert!(error.to_string().contains("was not loaded"), "{error}");
    assert!(
        !cache.path(host(), component()).exists(),
        "what was refused is not kept"
    );
}

#[test]
fn a_folder_that_cannot_be_written_costs_a_warning_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let cache = ArtifactCache::new(file.join("cache"));
    let cached = cache.get_or_compile(host(), component(), None).unwrap();
    assert!(matches!(cached.warning, Some(CacheWarning::NotKept { .. })));
}
