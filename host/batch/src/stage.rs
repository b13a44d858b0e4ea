//! What a batch passes through ([`Stage`]) and where it ends ([`Sink`]).

use std::future::Future;

use crate::batch::{Batch, Rejected};

/// Something that changes batches: in practice a plugin.
pub trait Stage: Send {
    /// The name under which records are rejected and metrics are kept.
    fn name(&self) -> &str;

    /// Works on a batch. On success the books balance: the records of the
    /// input are the records of `batch`, plus `dropped`, plus the records of
    /// `rejected`, each counted once.
    ///
    /// # Errors
    ///
    /// [`StageError`] where the whole batch must be tried again.
    fn apply(&mut self, batch: Batch) -> Result<Outcome, StageError>;
}

/// What a stage made of a batch.
#[derive(Debug)]
pub struct Outcome {
    /// The rows that go on.
    pub batch: Batch,
    /// How many records the stage dropped on purpose.
    pub dropped: u64,
    /// Records that must not go on, with the reason; each record at most once.
    pub rejected: Vec<Rejected>,
}

/// A stage could not handle the batch and its settings say to try again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("plugin `{stage}` failed the batch: {message}")]
pub struct StageError {
    /// The stage's name.
    pub stage: String,
    /// What went wrong.
    pub message: String,
}

/// Where batches end: in practice ClickHouse.
pub trait Sink {
    /// What can go wrong.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Stores the batch, once for each `token` however often it is called
    /// with it. Returns the number of rows stored, also where an earlier call
    /// with the same token had stored them.
    ///
    /// # Errors
    ///
    /// The sink's own; a batch that failed may be sent again with its token.
    fn insert(
        &self,
        batch: &Batch,
        token: &str,
    ) -> impl Future<Output = Result<u64, Self::Error>> + Send;
}
