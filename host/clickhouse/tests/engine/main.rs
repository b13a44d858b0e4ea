//! The embedded engine, with the real libchdb: its HTTP protocol, its inserts,
//! and the life of its process.

mod inserts;
mod life;
mod protocol;
mod support;

/// Not a test: the process that serves a store, started by [`support::store`]
/// from this very executable.
#[test]
fn engine_process() {
    support::serve_if_asked();
}
