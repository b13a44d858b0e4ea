//! The crate from outside: lines, the truth about them, geo databases.

mod naive;

mod geo;
mod lines;
mod truth;
