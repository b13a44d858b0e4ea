//! How long ClickHouse is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use canopy_clickhouse::{Disposition, Error, Retries};

/// The wait before a second try, doubled for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long ClickHouse is waited for where it fails in a way that may pass: as
/// long as an insert is retried, or with a live source until a stop, because
/// what a pipe gave is not given again.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    /// Whether the sources are live: pipes, followed files.
    pub(crate) live: bool,
    /// Set to end the run.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Patience {
    /// Reads, until it succeeds, patience ends or a stop comes: nothing is lost
    /// by a read that is given up.
    pub(crate) async fn read<T, F>(&self, attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.retry(attempt, |_| true).await
    }

    /// Writes, until it succeeds or patience ends; a stop leaves it the time
    /// that any insert has.
    pub(crate) async fn write<T, F>(&self, attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let deadline = Retries::default().deadline;
        self.retry(attempt, |elapsed| elapsed >= deadline).await
    }

    /// `stops` says whether a stop ends trying after so long.
    async fn retry<T, F>(
        &self,
        mut attempt: impl FnMut() -> F,
        stops: impl Fn(Duration) -> bool,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let started = Instant::now();
        let mut wait = FIRST_WAIT;
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let elapsed = started.elapsed();
            let too_long = !self.live && elapsed >= Retries::default().deadline;
            let stopped = self.stop.load(Ordering::Relaxed) && stops(elapsed);
            if error.disposition() != Disposition::Retry || too_long || stopped {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn passing() -> Error {
        Error::TimedOut {
            url: "http://127.0.0.1:1".to_owned(),
            after: Duration::from_secs(1),
        }
    }

    fn patience(live: bool, stopped: bool) -> Patience {
        Patience {
            live,
            stop: Arc::new(AtomicBool::new(stopped)),
        }
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again() {
        for live in [false, true] {
            let left = Cell::new(2);
            let attempt = || async {
                match left.replace(left.get() - 1) {
                    0 => Ok(7),
                    _ => Err(passing()),
                }
            };
            assert_eq!(patience(live, false).read(attempt).await.unwrap(), 7);
            left.set(2);
            assert_eq!(patience(live, true).write(attempt).await.unwrap(), 7);
        }
    }

    #[tokio::test]
    async fn a_stop_ends_reads_and_a_permanent_error_ends_everything() {
        let tries = Cell::new(0);
        let attempt = || async {
            tries.set(tries.get() + 1);
            Err::<(), _>(passing())
        };
        assert!(patience(true, true).read(attempt).await.is_err());
        assert_eq!(tries.get(), 1);

        let attempt = || async {
            tries.set(tries.get() + 1);
            let error = serde_json::from_str::<u8>("x").unwrap_err();
            Err::<(), _>(Error::Row(error))
        };
        assert!(patience(true, false).write(attempt).await.is_err());
        assert_eq!(tries.get(), 2);
    }
}
