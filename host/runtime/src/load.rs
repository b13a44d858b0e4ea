//! From bytes to a component that can run, or to a sentence saying why not.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::contract::ContractError;

/// A component or its artifact cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The bytes are not WebAssembly.
    #[error(
        "not a WebAssembly component: {found}; a plugin is a component in binary form, such as \
         `canopy plugin build` makes"
    )]
    NotWasm {
        /// What the bytes look like.
        found: String,
    },
    /// The bytes are a core module.
    #[error(
        "this is a core WebAssembly module, not a component; turn it into one with `canopy \
         plugin build`, or `wasm-tools component new`"
    )]
    CoreModule,
    /// The component ends early or does not parse.
    #[error("the component is damaged at byte {offset}: {message}; build or download it again")]
    Malformed {
        /// Where.
        offset: usize,
        /// What is wrong.
        message: String,
    },
    /// The component does not fit the contract.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// The component does not validate, or uses features that are off.
    #[error("the component cannot be compiled: {message}")]
    Invalid {
        /// wasmtime's account of it.
        message: String,
    },
    /// It imports functions of the contract that this host does not have.
    #[error(
        "the component wants more of the contract than this canopy offers: {message}; use a \
         newer canopy or rebuild the plugin with an older SDK"
    )]
    Unlinkable {
        /// wasmtime's account of it.
        message: String,
    },
    /// The artifact is not the one that was pinned.
    #[error(
        "the artifact has SHA-256 {found}, pinned is {pinned}: it is not the code that was \
         added, so it was not loaded; add the plugin again"
    )]
    Digest {
        /// The digest expected, hex.
        pinned: String,
        /// The digest of the bytes, hex.
        found: String,
    },
    /// The artifact was compiled for another wasmtime, target or configuration.
    #[error("the artifact does not load here ({key}): {message}; compile the component again")]
    Artifact {
        /// What this host loads; see [`Host::artifact_key`](crate::Host::artifact_key).
        key: String,
        /// What is wrong.
        message: String,
    },
    /// This build carries no compiler and no artifact is at hand.
    #[error(
        "no artifact of this component for {key}, and this build carries no compiler; compile \
         it ahead of time"
    )]
    NoCompiler {
        /// What this host loads; see [`Host::artifact_key`](crate::Host::artifact_key).
        key: String,
    },
    /// A file could not be read or written.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
}

/// Returns the SHA-256 of `bytes` in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |hex, byte| {
            hex + &format!("{byte:02x}")
        })
}

/// Reads the names of a component's imports and exports without compiling it,
/// and checks them against the contract.
#[cfg(feature = "compile")]
pub(crate) fn inspect(component: &[u8]) -> Result<(), LoadError> {
    use wasmparser::{Encoding, Parser, Payload};

    if !component.starts_with(b"\0asm") {
        return Err(LoadError::NotWasm {
            found: look_of(component),
        });
    }
    let malformed = |error: wasmparser::BinaryReaderError| LoadError::Malformed {
        offset: error.offset(),
        message: error.message().to_owned(),
    };
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding == Encoding::Module {
                    return Err(LoadError::CoreModule);
                }
                depth += 1;
            }
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(malformed)?.name.name);
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(malformed)?.name.name);
                }
            }
            _ => {}
        }
    }
    crate::contract::check_names(imports, exports)?;
    Ok(())
}

/// Says what bytes look like that are not WebAssembly.
#[cfg(feature = "compile")]
fn look_of(bytes: &[u8]) -> String {
    match bytes {
        [] => "the file is empty".to_owned(),
        [0x7f, b'E', b'L', b'F', ..] => {
            "it is an ELF file, perhaps an artifact already compiled".to_owned()
        }
        [0x1f, 0x8b, ..] => "it is gzip-compressed; decompress it first".to_owned(),
        [b'(', ..] => "it is the text form; assemble it first with `wasm-tools parse`".to_owned(),
        _ => {
            let head = &bytes[..bytes.len().min(8)];
            format!("it starts with \"{}\"", head.escape_ascii())
        }
    }
}

#[cfg(all(test, feature = "compile"))]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        inspect(bytes).unwrap_err().to_string()
    }

    #[test]
    fn bytes_that_are_not_wasm_are_named_for_what_they_are() {
        assert!(message(b"").contains("the file is empty"));
        assert!(message(b"(component)").contains("text form"));
        assert!(message(b"\x1f\x8b\x08").contains("gzip"));
        assert!(message(b"\x7fELF\x02").contains("ELF"));
        assert!(message(b"\x89PNG\r\n").contains("starts with \"\\x89PNG\\r\\n\""));
    }

    #[test]
    fn a_core_module_is_told_from_a_component() {
        let module = b"\0asm\x01\0\0\0";
        assert!(matches!(inspect(module), Err(LoadError::CoreModule)));
    }

    #[test]
    fn an_empty_component_is_no_plugin() {
        let component = b"\0asm\x0d\0\x01\0";
        assert!(message(component).contains("exports nothing"));
    }

    #[test]
    fn a_digest_is_64_hex_digits() {
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
