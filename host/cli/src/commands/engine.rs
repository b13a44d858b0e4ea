//! `canopy engine`

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use canopy_clickhouse::engine::{self, FetchProgress, ServeSettings, Stopped};
use canopy_pipeline::units::HumanDuration;
use indicatif::{ProgressBar, ProgressStyle};

use crate::exit;
use crate::project::{DEFAULT_STORE, engine_cache, library_path};

/// The embedded ClickHouse: fetch its library, serve a store
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Fetch(FetchArgs),
    Serve(ServeArgs),
}

/// Fetch the engine's library with npm and check its digest
///
/// About 180 MB to download, 570 MB on disk. Does nothing where it is there
/// already.
///
/// Example: canopy engine fetch
#[derive(Debug, clap::Args)]
pub(crate) struct FetchArgs {
    /// The folder to put it in; by default the user's cache folder
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

/// Serve a store over ClickHouse's HTTP protocol, on loopback
///
/// `run`, `query` and others start this by themselves; start it by hand to let
/// Grafana, curl or another client in. Address, user and password are in the
/// store's engine.json, which only its owner can read.
///
/// Example: canopy engine serve --store canopy-data --listen 127.0.0.1:8123
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The store's folder
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STORE)]
    store: PathBuf,

    /// The loopback address to listen on; by default a free port
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,

    /// The password of the user `canopy`; by default a random one
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "CANOPY_ENGINE_PASSWORD",
        hide_env_values = true
    )]
    password: Option<String>,

    /// End when unused for this long, such as 30s; by default never
    #[arg(long, value_name = "TIME")]
    idle: Option<HumanDuration>,

    /// The engine's library, libchdb.so
    #[arg(long, value_name = "FILE", env = "CANOPY_ENGINE_LIBRARY")]
    library: Option<PathBuf>,
}

pub(crate) async fn run(command: Command) -> Result<u8> {
    match command {
        Command::Fetch(args) => fetch(args),
        Command::Serve(args) => serve(args).await,
    }
}

fn fetch(args: FetchArgs) -> Result<u8> {
    let into = args
        .into
        .or_else(engine_cache)
        .context("there is no home folder to put the engine in: name one with --into")?;
    let bar = ProgressBar::no_length().with_style(
        ProgressStyle::with_template("{spinner} {msg} {bytes}")
            .expect("the template is well formed"),
    );
    let library = engine::fetch(&into, |progress| match progress {
        FetchProgress::Downloading => bar.set_message("downloading the engine with npm"),
        FetchProgress::Verifying => bar.set_message("checking its digest"),
        FetchProgress::Unpacking { done, .. } => {
            bar.set_message("unpacking");
            bar.set_position(done);
        }
        _ => {}
    });
    bar.finish_and_clear();
    exit::outln!("{}", library?.display());
    Ok(exit::DONE)
}

async fn serve(args: ServeArgs) -> Result<u8> {
    let library = library_path(args.library.as_deref())?;
    let mut settings = ServeSettings::new(args.store, library);
    settings.idle = args.idle.map(|idle| idle.0);
    settings.password = args.password;
    if let Some(listen) = args.listen {
        settings.listen = listen;
    }
    let engine = engine::Engine::start(settings).await?;
    if engine.forgotten_blocks() > 0 {
        // Goes to engine.log where the engine was started by another command.
        eprintln!(
            "the last engine was killed: {} blocks that it noted but did not store may be sent again",
            engine.forgotten_blocks()
        );
    }
    let server = engine.server();
    exit::outln!(
        "ClickHouse {} at {}, user {}, database {}",
        engine.version(),
        server.url,
        server.user,
        server.database
    );
    match engine.run().await? {
        Stopped::Idle => exit::outln!("stopped: unused"),
        Stopped::Signal => exit::outln!("stopped"),
    }
    Ok(exit::DONE)
}
