//! ClickHouse: a batch becomes an insert, the tables are made and kept up to
//! date, and an embedded engine stands in where there is no server.
//!
//! The main types are [`ClickHouse`], a client over the HTTP interface, made
//! from a [`Target`]; and [`ClickHouseSink`], which stores each batch once,
//! however often it has to be sent. [`schema`] makes the tables, [`ledger`]
//! keeps the books, [`engine`] runs ClickHouse within a folder.
//!
//! There is one way in: HTTP, whether ClickHouse is a server or the embedded
//! engine, so that what is tested on a laptop is what runs in production.

pub mod engine;
pub mod ledger;
pub mod schema;

mod client;
mod dictionary;
mod encode;
mod error;
mod server;
mod sink;
mod sql;

pub use client::{ClickHouse, Timeouts, Version};
pub use encode::{EncodeError, encode};
pub use error::{Disposition, Error};
pub use server::{AddressError, DEFAULT_DATABASE, Server, Target};
pub use sink::{ClickHouseSink, Retries};
pub use sql::{Identifier, IdentifierError};
