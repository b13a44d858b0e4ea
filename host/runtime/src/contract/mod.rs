//! Which contract a component was built for, read before it is instantiated.
//!
//! One file per contract version holds only what differs; this host loads
//! `canopy:plugin@0.1.x`.

pub(crate) mod v0_1;

/// The contract versions this host loads, as its errors name them.
pub const CONTRACT_VERSIONS: &str = "canopy:plugin@0.1.x";

const PACKAGE: &str = "canopy:plugin/";

/// How a component does not fit the contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// It exports no `guest` interface of the contract at all.
    #[error(
        "the component is not a Canopy plugin: it exports {exports}, not the interface \
         `canopy:plugin/guest`; build it for the world `plugin` of {CONTRACT_VERSIONS}"
    )]
    NotAPlugin {
        /// What it exports, for the reader.
        exports: String,
    },
    /// It was built for a contract version that this host does not load.
    #[error(
        "the component was built for contract canopy:plugin@{built_for}, this canopy loads \
         {CONTRACT_VERSIONS}; rebuild the plugin with a matching SDK, or use a canopy that \
         loads its version"
    )]
    Version {
        /// The contract version in the component's names.
        built_for: String,
    },
    /// It wants something of the outside world that plugins are not given.
    #[error(
        "the component imports `{import}`, which plugins are not given: a plugin reaches \
         nothing but `canopy:plugin/host`; {remedy}"
    )]
    ForeignImport {
        /// The import's full name.
        import: String,
        /// What to try.
        remedy: &'static str,
    },
}

/// Checks the names a component imports and exports. Returns the name under
/// which it exports `guest`.
pub(crate) fn check_names<'a>(
    imports: impl IntoIterator<Item = &'a str>,
    exports: impl IntoIterator<Item = &'a str>,
) -> Result<String, ContractError> {
    let mut seen = Vec::new();
    let mut guest = None;
    for export in exports {
        match interface(export) {
            Some(("guest", version)) => {
                check_version(version)?;
                guest = Some(export.to_owned());
            }
            _ => seen.push(format!("`{export}`")),
        }
    }
    let guest = guest.ok_or_else(|| ContractError::NotAPlugin {
        exports: if seen.is_empty() {
            "nothing".to_owned()
        } else {
            seen.join(", ")
        },
    })?;
    for import in imports {
        match interface(import) {
            Some((_, version)) => check_version(version)?,
            None => {
                return Err(ContractError::ForeignImport {
                    import: import.to_owned(),
                    remedy: foreign_import_remedy(import),
                });
            }
        }
    }
    Ok(guest)
}

/// Splits `canopy:plugin/host@0.1.0` into `host` and `0.1.0`.
fn interface(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(PACKAGE)?;
    Some(rest.split_once('@').unwrap_or((rest, "")))
}

fn check_version(version: &str) -> Result<(), ContractError> {
    let mut parts = version.split('.');
    let patch = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("0"), Some("1"), Some(patch), None) => patch,
        _ => "",
    };
    if !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(ContractError::Version {
        built_for: if version.is_empty() {
            "(no version)".to_owned()
        } else {
            version.to_owned()
        },
    })
}

fn foreign_import_remedy(import: &str) -> &'static str {
    if import.starts_with("wasi:") {
        "build Rust for `wasm32-unknown-unknown`, or have the language's component tool leave \
         WASI out (componentize-py: `--stub-wasi`)"
    } else {
        "remove the import from the plugin's world"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: [&str; 1] = ["canopy:plugin/guest@0.1.0"];

    #[test]
    fn a_plugin_of_any_0_1_patch_is_taken() {
        assert_eq!(
            check_names(["canopy:plugin/host@0.1.7"], ["canopy:plugin/guest@0.1.7"]),
            Ok("canopy:plugin/guest@0.1.7".to_owned())
        );
    }

    #[test]
    fn another_version_is_named_beside_the_versions_that_load() {
        for version in ["0.2.0", "1.0.0", "0.1", "0.1.0-rc.1"] {
            let export = format!("canopy:plugin/guest@{version}");
            let message = check_names([], [export.as_str()]).unwrap_err().to_string();
            assert!(
                message.contains(&format!("canopy:plugin@{version}"))
                    && message.contains(CONTRACT_VERSIONS),
                "{message}"
            );
        }
    }

    #[test]
    fn a_foreign_import_is_named() {
        let error = check_names(["wasi:cli/environment@0.2.9"], GUEST).unwrap_err();
        assert!(error.to_string().contains("`wasi:cli/environment@0.2.9`"));
    }

    #[test]
    fn a_component_without_guest_is_not_a_plugin() {
        let message = check_names([], ["wasi:http/handler@0.2.0"])
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("exports `wasi:http/handler@0.2.0`"),
            "{message}"
        );
    }
}
