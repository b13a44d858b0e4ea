//! The host: one wasmtime engine for the process, and what it loads.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, Precompiled, Store};

use crate::clock::Clock;
use crate::contract::{self, v0_1};
use crate::descriptor::{DescribeError, Descriptor};
use crate::instance::{GuestState, Instance};
use crate::limits::Limits;
use crate::load::{LoadError, sha256_hex};

/// The exact version of wasmtime in this build: artifacts of another do not
/// load. A test holds it to the lock file.
const WASMTIME_VERSION: &str = "48.0.8";

/// Counts changes of [`engine_config`] that make older artifacts unloadable.
const ENGINE_REVISION: u32 = 1;

/// The CPU that code is compiled for: the architecture's baseline and, on
/// x86-64, what every such CPU since about 2009 has (x86-64-v2). Without a
/// target of its own wasmtime would take whatever the compiling machine has,
/// and an artifact compiled on a laptop would fail to load in Lambda. AVX2 is
/// left out: plugins are built without SIMD, so it would gain nothing.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const TARGET: (&str, &[&str]) = ("x86_64-unknown-linux-gnu", X86_64_V2);
#[cfg(all(target_arch = "x86_64", target_os = "macos"))]
const TARGET: (&str, &[&str]) = ("x86_64-apple-darwin", X86_64_V2);
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
const TARGET: (&str, &[&str]) = ("aarch64-unknown-linux-gnu", &[]);
#[cfg(all(target_arch = "aarch64", target_os = "macos"))]
const TARGET: (&str, &[&str]) = ("aarch64-apple-darwin", &[]);
#[cfg(target_arch = "x86_64")]
const X86_64_V2: &[&str] = &[
    "has_cmpxchg16b",
    "has_sse3",
    "has_ssse3",
    "has_sse41",
    "has_sse42",
    "has_popcnt",
];

/// The engine could not be set up on this machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// wasmtime refused its configuration.
    #[error("failed to set up the WebAssembly engine for {target}: {message}")]
    Engine {
        /// The target triple.
        target: &'static str,
        /// wasmtime's account of it.
        message: String,
    },
    /// The thread that watches deadlines could not be started.
    #[error("failed to start the thread that watches plugin deadlines")]
    Ticker(#[source] std::io::Error),
}

/// Runs plugins: one wasmtime engine, its linker and the thread that watches
/// deadlines. Cheap to clone; make one per process. The thread ends with the
/// last clone, [`Loaded`] and [`Plugin`](crate::Plugin).
#[derive(Clone)]
pub struct Host {
    inner: Arc<HostInner>,
}

struct HostInner {
    engine: Engine,
    linker: Linker<GuestState>,
    clock: Arc<Clock>,
    ticker: Option<JoinHandle<()>>,
}

impl Host {
    /// Sets up the engine and starts the thread that watches deadlines.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Engine`] where this machine lacks what the target
    /// needs, [`RuntimeError::Ticker`] where no thread can be started.
    pub fn new() -> Result<Host, RuntimeError> {
        let engine_error = |error: wasmtime::Error| RuntimeError::Engine {
            target: TARGET.0,
            message: format!("{error:#}"),
        };
        let engine = engine_config()
            .and_then(|config| Engine::new(&config))
            .map_err(engine_error)?;
        let mut linker = Linker::new(&engine);
        v0_1::add_to_linker(&mut linker).map_err(engine_error)?;
        let clock = Arc::new(Clock::default());
        let ticker = std::thread::Builder::new()
            .name("canopy-epoch".to_owned())
            .spawn({
                let (engine, clock) = (engine.clone(), Arc::clone(&clock));
                move || clock.tick_until_stopped(|| engine.increment_epoch())
            })
            .map_err(RuntimeError::Ticker)?;
        Ok(Host {
            inner: Arc::new(HostInner {
                engine,
                linker,
                clock,
                ticker: Some(ticker),
            }),
        })
    }

    /// Names everything outside the component that its compiled form depends
    /// on: wasmtime's version, the target with its CPU flags, the engine's
    /// configuration. Equal keys mean that an artifact loads. Safe in a file
    /// name.
    pub fn artifact_key(&self) -> String {
        let flags: String = TARGET
            .1
            .iter()
            .map(|flag| flag.trim_start_matches("has_"))
            .fold(String::new(), |key, flag| key + "+" + flag);
        format!(
            "wasmtime-{WASMTIME_VERSION}-{}{flags}-r{ENGINE_REVISION}",
            TARGET.0
        )
    }

    /// Compiles a component for this machine's target, after checking that it
    /// is a component and one of the contract. Returns the artifact.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotWasm`], [`LoadError::CoreModule`],
    /// [`LoadError::Malformed`], [`LoadError::Contract`], or
    /// [`LoadError::Invalid`] where it does not validate.
    #[cfg(feature = "compile")]
    pub fn compile(&self, component: &[u8]) -> Result<Vec<u8>, LoadError> {
        crate::load::inspect(component)?;
        self.inner
            .engine
            .precompile_component(component)
            .map_err(|error| LoadError::Invalid {
                message: format!("{error:#}"),
            })
    }

    /// Loads an artifact that [`Host::compile`] made, if its SHA-256 is the
    /// one given (hex). An artifact is native code: pass the digest from where
    /// it was written down when it was compiled, never one computed from the
    /// file itself.
    ///
    /// # Errors
    ///
    /// [`LoadError::Digest`] where the digest is another,
    /// [`LoadError::Artifact`] where the artifact was made for another
    /// wasmtime, target or configuration, [`LoadError::Contract`].
    pub fn load(&self, artifact: &[u8], sha256: &str) -> Result<Loaded, LoadError> {
        let found = sha256_hex(artifact);
        if !found.eq_ignore_ascii_case(sha256) {
            return Err(LoadError::Digest {
                pinned: sha256.to_owned(),
                found,
            });
        }
        let artifact_error = |message: String| LoadError::Artifact {
            key: self.artifact_key(),
            message,
        };
        if Engine::detect_precompiled(artifact) != Some(Precompiled::Component) {
            return Err(artifact_error("it is not a compiled component".to_owned()));
        }
        // SAFETY: the bytes are those that `compile` made: they have the
        // digest that was written down then. wasmtime itself refuses output of
        // other versions and configurations.
        let component = unsafe { Component::deserialize(&self.inner.engine, artifact) }
            .map_err(|error| artifact_error(format!("{error:#}")))?;
        Loaded::new(self.clone(), &component)
    }

    /// Reads the artifact at `path` and loads it as [`Host::load`] does.
    ///
    /// # Errors
    ///
    /// [`LoadError::Io`], and those of [`Host::load`].
    pub fn load_file(&self, path: &Path, sha256: &str) -> Result<Loaded, LoadError> {
        let artifact = std::fs::read(path).map_err(|source| LoadError::Io {
            path: path.to_owned(),
            source,
        })?;
        self.load(&artifact, sha256)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// What deadlines are measured with.
    pub(crate) fn clock(&self) -> &Clock {
        &self.inner.clock
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.artifact_key()).finish()
    }
}

impl Drop for HostInner {
    fn drop(&mut self) {
        self.clock.stop();
        if let Some(ticker) = self.ticker.take() {
            // The thread only sleeps and counts: it cannot have panicked.
            let _ = ticker.join();
        }
    }
}

fn engine_config() -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config.target(TARGET.0)?;
    #[cfg(feature = "compile")]
    for flag in TARGET.1 {
        // SAFETY: these flags name CPU features. They are compiled into the
        // artifact, and wasmtime refuses to load it on a CPU without them.
        unsafe { config.cranelift_flag_enable(flag) };
    }
    config.epoch_interruption(true);
    // Calls are synchronous: without this each store would carry the tables of
    // the component model's async.
    config.concurrency_support(false);
    // The same input gives the same output on every machine.
    config.wasm_relaxed_simd(false);
    Ok(config)
}

/// A component that is ready to be instantiated. Cheap to clone.
#[derive(Clone)]
pub struct Loaded {
    host: Host,
    inner: Arc<LoadedInner>,
}

struct LoadedInner {
    component: InstancePre<GuestState>,
    guest_interface: String,
}

impl Loaded {
    /// Checks the component against the contract and binds its imports.
    fn new(host: Host, component: &Component) -> Result<Loaded, LoadError> {
        let engine = host.engine();
        let component_type = component.component_type();
        let guest_interface = contract::check_names(
            component_type.imports(engine).map(|(name, _)| name),
            component_type.exports(engine).map(|(name, _)| name),
        )?;
        let component = host
            .inner
            .linker
            .instantiate_pre(component)
            .map_err(|error| LoadError::Unlinkable {
                message: format!("{error:#}"),
            })?;
        Ok(Loaded {
            host,
            inner: Arc::new(LoadedInner {
                component,
                guest_interface,
            }),
        })
    }

    /// Asks the plugin what it is, in an instance of its own under the default
    /// [`Limits`].
    ///
    /// # Errors
    ///
    /// [`DescribeError`] where the call fails or the answer breaks the
    /// contract's rules.
    pub fn describe(&self) -> Result<Descriptor, DescribeError> {
        let limits = Limits::default();
        let data = Arc::new(BTreeMap::new());
        let mut instance = Instance::new(self, &limits, data)?;
        Descriptor::check(instance.describe(&limits)?)
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.host.engine()
    }

    /// Returns the version of the contract the component was built for, such
    /// as `0.1.0`.
    pub fn contract(&self) -> &str {
        self.inner
            .guest_interface
            .split_once('@')
            .map_or("", |(_, version)| version)
    }

    pub(crate) fn guest_interface(&self) -> &str {
        &self.inner.guest_interface
    }

    pub(crate) fn instantiate(
        &self,
        store: &mut Store<GuestState>,
    ) -> wasmtime::Result<wasmtime::component::Instance> {
        self.inner.component.instantiate(store)
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("guest_interface", &self.inner.guest_interface)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wasmtime_version_in_the_key_is_the_locked_one() {
        let lock = include_str!("../../../Cargo.lock");
        let locked = lock
            .split("[[package]]")
            .find(|package| package.contains("name = \"wasmtime\"\n"))
            .unwrap();
        assert!(locked.contains(&format!("version = \"{WASMTIME_VERSION}\"")));
    }

    #[test]
    fn the_key_fits_in_a_file_name() {
        let key = Host::new().unwrap().artifact_key();
        assert!(
            key.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte)),
            "{key}"
        );
    }
}
