//! The engine's process.
