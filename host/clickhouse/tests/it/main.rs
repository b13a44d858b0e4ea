//! The crate against a real ClickHouse: the embedded engine, in a process of
//! its own, as `canopy` runs it. Each test has its own database, named after it.
//!
//! The engine's library is looked for in `target/engine/`, or where
//! `CANOPY_ENGINE_LIBRARY` says.

mod connect;
mod faults;
mod harness;
mod insert;
mod ledger;
mod round_trip;
mod tables;

/// Not a test of anything: the engine's process. The harness starts this very
/// executable with this name and a store; in an ordinary run there is none.
#[tokio::test(flavor = "multi_thread")]
async fn engine_process() {
    harness::serve_if_asked().await;
}
