//! What `canopy` promises, tried on the real command with the real engine.
//!
//! One file a topic; each test has a project of its own. They need what `make
//! plugins guests engine` leaves in the target folder.

mod bad_input;
mod cli;
mod connection;
mod errors;
mod exactly_once;
mod formats;
mod killed;
mod plugins;
mod policies;
mod support;
mod traffic;
