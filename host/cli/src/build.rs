//! Building a Rust plugin: its crate for `wasm32-unknown-unknown`, the core
//! module into a component.
//!
//! Rust needs its standard library for that target, and this looks for it in
//! two places: the toolchain in use (`rustup target add`), and Debian's
//! packages, which hold the library's source and a linker. It installs
//! nothing.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::files::write_whole;
use serde::Deserialize;
use wit_component::{ComponentEncoder, DecodedWasm};

const TARGET: &str = "wasm32-unknown-unknown";

/// The environment variable that picks the toolchain: `rustup` or `debian`.
/// Unset: whichever is there, in this order.
const TOOLCHAIN_VARIABLE: &str = "CANOPY_WASM_TOOLCHAIN";

/// The profile plugins are built with, given on the command line so that a
/// plugin's own workspace need not define it. A component is compiled again by
/// the host, so debug information would only make it larger; link-time
/// optimisation inlines the SDK's readers and writers into the plugin's row.
const PROFILE: [&str; 6] = [
    r#"profile.plugin.inherits="release""#,
    "profile.plugin.debug=false",
    r#"profile.plugin.strip="debuginfo""#,
    "profile.plugin.lto=true",
    "profile.plugin.codegen-units=1",
    r#"profile.plugin.panic="abort""#,
];

/// Why a core module cannot become a plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ComponentizeError {
    /// It is not WebAssembly, or imports what no plugin can reach.
    #[error("the module cannot be made a component")]
    Encode(#[source] Box<dyn Error + Send + Sync>),
    /// It does not export the contract.
    #[error(
        "the module is not a plugin: it does not export `canopy:plugin/guest` \
         (does the crate call `canopy_sdk::export!`?)"
    )]
    NotAPlugin,
}

/// Why a plugin cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BuildError {
    /// A program could not be started.
    #[error("cannot start `{program}`")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// Cargo does not take the folder for a package.
    #[error("{folder} is not a Rust package: {message}", folder = folder.display())]
    NotAPackage {
        /// The folder.
        folder: PathBuf,
        /// What cargo says.
        message: String,
    },
    /// The package has no library that can become a plugin.
    #[error(
        "`{package}` builds no plugin: its Cargo.toml needs \
         crate-type = [\"cdylib\", \"rlib\"] under [lib]"
    )]
    NoLibrary {
        /// The package.
        package: String,
    },
    /// There is no toolchain that can build for WebAssembly.
    #[error(
        "no Rust toolchain here can build for {TARGET}: {detail}\n\
         get it with `rustup target add {TARGET}`, or on Debian with \
         `apt-get install rustc-web rust-web-src cargo-web lld-19`"
    )]
    NoTarget {
        /// What was looked for in vain.
        detail: String,
    },
    /// The compiler failed; its messages went to standard error.
    #[error("cargo could not compile `{package}`")]
    Compile {
        /// The package.
        package: String,
    },
    /// The compiled module is not a plugin.
    #[error("cannot make a component of {module}", module = module.display())]
    Componentize {
        /// The core module.
        module: PathBuf,
        /// Why.
        source: ComponentizeError,
    },
    /// A file could not be read or written.
    #[error("cannot access {path}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Makes a component of a core module that was built against the plugin
/// contract: the module carries the contract's types in a custom section.
///
/// # Errors
///
/// [`ComponentizeError`] where it is not WebAssembly, does not export the
/// contract, or imports anything that a component cannot.
pub(crate) fn componentize(core_module: &[u8]) -> Result<Vec<u8>, ComponentizeError> {
    let component = ComponentEncoder::default()
        .module(core_module)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| ComponentizeError::Encode(error.into()))?;
    if exports_guest(&component).map_err(ComponentizeError::Encode)? {
        Ok(component)
    } else {
        Err(ComponentizeError::NotAPlugin)
    }
}

fn exports_guest(component: &[u8]) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        return Ok(false);
    };
    let mut exports = resolve.worlds[world].exports.keys();
    Ok(exports.any(|key| {
        resolve
            .name_world_key(key)
            .starts_with("canopy:plugin/guest@")
    }))
}

/// Builds the plugin in `folder` and returns the path of the component:
/// `out`, or `NAME.wasm` in the folder.
///
/// Cargo builds in `target_dir`, by default `wasm` in the workspace's target
/// folder: apart from native builds, so that neither waits for the other.
///
/// # Errors
///
/// [`BuildError`]; what cargo and the compiler say goes to standard error.
pub(crate) fn build_plugin(
    folder: &Path,
    out: Option<&Path>,
    target_dir: Option<&Path>,
) -> Result<PathBuf, BuildError> {
    let metadata = Metadata::of(folder)?;
    let package = metadata.plugin(folder)?;
    let target_dir = match target_dir {
        Some(target_dir) => target_dir.to_owned(),
        None => metadata.target_directory.join("wasm"),
    };
    let wanted = std::env::var(TOOLCHAIN_VARIABLE).ok();
    let module = Toolchain::find(folder, wanted.as_deref())?.compile(package, &target_dir)?;
    let core = std::fs::read(&module).map_err(|source| file(&module, source))?;
    let component =
        componentize(&core).map_err(|source| BuildError::Componentize { module, source })?;
    let out = match out {
        Some(out) => out.to_owned(),
        None => folder.join(format!("{}.wasm", package.name)),
    };
    write(&out, &component)?;
    Ok(out)
}

/// Writes a file whole or not at all, and its folder where there is none.
fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|source| file(parent, source))?;
    }
    write_whole(path, bytes).map_err(|source| file(path, source))
}

fn file(path: &Path, source: std::io::Error) -> BuildError {
    BuildError::File {
        path: path.to_owned(),
        source,
    }
}

/// What `cargo metadata` says, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<CrateTarget>,
}

#[derive(Debug, Deserialize)]
struct CrateTarget {
    /// A library's crate types; of an example it is `example`, whatever its
    /// crate types are.
    kind: Vec<String>,
}

impl CrateTarget {
    fn is_cdylib(&self) -> bool {
        self.kind.iter().any(|kind| kind == "cdylib")
    }
}

impl Metadata {
    fn of(folder: &Path) -> Result<Self, BuildError> {
        let mut command = Command::new(cargo());
        command
            .args(["metadata", "--no-deps", "--format-version=1"])
            .arg("--manifest-path")
            .arg(folder.join("Cargo.toml"));
        let output = command.output().map_err(|source| start(&command, source))?;
        let not_a_package = |message: String| BuildError::NotAPackage {
            folder: folder.to_owned(),
            message,
        };
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            let message = message.trim().trim_start_matches("error: ");
            return Err(not_a_package(message.to_owned()));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| not_a_package(error.to_string()))
    }

    /// Returns the package in `folder`.
    fn plugin(&self, folder: &Path) -> Result<&Package, BuildError> {
        let manifest = folder.join("Cargo.toml");
        let manifest = manifest
            .canonicalize()
            .map_err(|source| file(&manifest, source))?;
        let package = self
            .packages
            .iter()
            .find(|package| package.manifest_path == manifest)
            .ok_or_else(|| BuildError::NotAPackage {
                folder: folder.to_owned(),
                message: "its Cargo.toml has no [package]".to_owned(),
            })?;
        if package.targets.iter().any(CrateTarget::is_cdylib) {
            Ok(package)
        } else {
            Err(BuildError::NoLibrary {
                package: package.name.clone(),
            })
        }
    }
}

/// A way to compile for WebAssembly.
#[derive(Debug, PartialEq, Eq)]
enum Toolchain {
    /// The toolchain in use has the target's standard library.
    Installed,
    /// Debian's compiler builds the standard library from Debian's source of
    /// it: once for each target folder, in about 80 s.
    Debian { linker: PathBuf },
}

/// Looks for a toolchain; what is missing where there is none.
type Find = fn(&Path) -> Result<Toolchain, String>;

/// Where Debian's packages put the compiler. Not looked for on `PATH`, where
/// rustup's may come first.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

impl Toolchain {
    fn find(folder: &Path, wanted: Option<&str>) -> Result<Self, BuildError> {
        let find: &[Find] = match wanted {
            None | Some("") => &[Self::installed, Self::debian],
            Some("rustup") => &[Self::installed],
            Some("debian") => &[Self::debian],
            Some(other) => {
                return Err(BuildError::NoTarget {
                    detail: format!(
                        "{TOOLCHAIN_VARIABLE} is `{other}`; it may be `rustup` or `debian`"
                    ),
                });
            }
        };
        let mut missing = Vec::new();
        for find in find {
            match find(folder) {
                Ok(toolchain) => return Ok(toolchain),
                Err(detail) => missing.push(detail),
            }
        }
        Err(BuildError::NoTarget {
            detail: missing.join("; "),
        })
    }

    fn installed(folder: &Path) -> Result<Self, String> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        // The folder may say which toolchain, in a rust-toolchain file.
        let sysroot = sysroot(Command::new(&rustc).current_dir(folder))
            .ok_or_else(|| format!("{} does not run", rustc.display()))?;
        let library = sysroot.join("lib/rustlib").join(TARGET).join("lib");
        if library.is_dir() {
            Ok(Toolchain::Installed)
        } else {
            Err(format!("the toolchain {} lacks it", sysroot.display()))
        }
    }

    fn debian(_: &Path) -> Result<Self, String> {
        if !Path::new(DEBIAN_CARGO).is_file() {
            return Err(format!("there is no {DEBIAN_CARGO}"));
        }
        let source = sysroot(&mut Command::new(DEBIAN_RUSTC))
            .ok_or_else(|| format!("{DEBIAN_RUSTC} does not run"))?
            .join("lib/rustlib/src/rust/library/Cargo.toml");
        if !source.is_file() {
            return Err(format!("there is no {}", source.display()));
        }
        let linker = newest_linker(Path::new("/usr/bin"))
            .ok_or_else(|| "there is no /usr/bin/wasm-ld-19".to_owned())?;
        Ok(Toolchain::Debian { linker })
    }

    /// Compiles the package and returns the path of the core module.
    fn compile(&self, package: &Package, target_dir: &Path) -> Result<PathBuf, BuildError> {
        let mut command = match self {
            Toolchain::Installed => Command::new(cargo()),
            Toolchain::Debian { linker } => {
                let mut command = Command::new(DEBIAN_CARGO);
                command
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                    // Building std is an unstable option of a stable compiler.
                    .env("RUSTC_BOOTSTRAP", "1");
                command
            }
        };
        command.args(["build", "--lib", "--profile=plugin", "--target", TARGET]);
        if let Toolchain::Debian { .. } = self {
            command.arg("-Zbuild-std=std,panic_abort");
        }
        for setting in PROFILE {
            command.args(["--config", setting]);
        }
        command
            .arg("--message-format=json-render-diagnostics")
            .arg("--manifest-path")
            .arg(&package.manifest_path)
            .arg("--target-dir")
            .arg(target_dir)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let output = command.output().map_err(|source| start(&command, source))?;
        let module = module_of(package, &output.stdout);
        match module {
            Some(module) if output.status.success() => Ok(module),
            _ => Err(BuildError::Compile {
                package: package.name.clone(),
            }),
        }
    }
}

/// Returns the core module among cargo's messages, one JSON object a line.
fn module_of(package: &Package, messages: &[u8]) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Artifact {
        manifest_path: PathBuf,
        filenames: Vec<PathBuf>,
    }
    messages
        .split(|&byte| byte == b'\n')
        // Messages about other things lack these keys.
        .filter_map(|line| serde_json::from_slice::<Artifact>(line).ok())
        .filter(|artifact| artifact.manifest_path == package.manifest_path)
        .flat_map(|artifact| artifact.filenames)
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wasm")
        })
}

/// Returns the linker for WebAssembly of the newest LLVM: `wasm-ld-19`.
fn newest_linker(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version: u32 = path
                .file_name()?
                .to_str()?
                .strip_prefix("wasm-ld-")?
                .parse()
                .ok()?;
            Some((version, path))
        })
        .max()
        .map(|(_, path)| path)
}

fn sysroot(rustc: &mut Command) -> Option<PathBuf> {
    let output = rustc.args(["--print", "sysroot"]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| path.trim().into())
}

/// Cargo: the one that runs this program, if one does.
fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn start(command: &Command, source: std::io::Error) -> BuildError {
    BuildError::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_no_plugin_is_refused() {
        let empty_module = b"\0asm\x01\0\0\0";
        let error = componentize(empty_module).unwrap_err();
        assert!(matches!(error, ComponentizeError::NotAPlugin), "{error}");
        let error = componentize(b"not wasm").unwrap_err();
        assert!(matches!(error, ComponentizeError::Encode(_)), "{error}");
    }

    #[test]
    fn a_folder_without_a_package_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = build_plugin(folder.path(), None, None).unwrap_err();
        assert!(matches!(error, BuildError::NotAPackage { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains(&folder.path().display().to_string())
        );
    }

    #[test]
    fn a_package_without_a_cdylib_is_told_what_to_add() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/lib.rs"), "").unwrap();
        // An example that is a cdylib makes no plugin of the package.
        let manifest = "[package]\nname = \"plain\"\n[workspace]\n\
             [[example]]\nname = \"e\"\npath = \"src/lib.rs\"\ncrate-type = [\"cdylib\"]\n";
        std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
        let error = build_plugin(folder.path(), None, None).unwrap_err();
        assert!(error.to_string().contains("crate-type"), "{error}");
    }

    #[test]
    fn the_newest_linker_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest_linker(folder.path()), None);
        for name in ["wasm-ld-9", "wasm-ld-19", "wasm-ld", "wasm-ld-15.old"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let newest = folder.path().join("wasm-ld-19");
        assert_eq!(newest_linker(folder.path()), Some(newest));
    }

    #[test]
    fn an_unknown_toolchain_names_the_known_ones() {
        let error = Toolchain::find(Path::new("."), Some("nightly")).unwrap_err();
        assert!(
            error.to_string().contains("`rustup` or `debian`"),
            "{error}"
        );
    }
}
