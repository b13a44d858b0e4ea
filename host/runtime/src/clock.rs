//! The clock of deadlines: it ticks only while a plugin runs.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(5);

/// Returns a deadline in ticks of the epoch, from now: never less than
/// `deadline`, at most two ticks more.
pub(crate) fn ticks(deadline: Duration) -> u64 {
    let ticks = deadline.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(ticks)
        .unwrap_or(u64::MAX)
        .saturating_add(1)
        .min(u64::MAX / 2)
}

/// When the epoch advances: only while a plugin runs, so that an idle process
/// sleeps.
#[derive(Default)]
pub(crate) struct Clock {
    state: Mutex<ClockState>,
    changed: Condvar,
}

#[derive(Default)]
struct ClockState {
    running: usize,
    stopped: bool,
}

impl Clock {
    fn lock(&self) -> MutexGuard<'_, ClockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets deadlines pass for as long as the value returned lives.
    pub(crate) fn running(&self) -> Running<'_> {
        self.enter();
        Running { clock: self }
    }

    fn enter(&self) {
        let mut state = self.lock();
        state.running += 1;
        if state.running == 1 {
            self.changed.notify_one();
        }
    }

    fn leave(&self) {
        self.lock().running -= 1;
    }

    /// Ends [`Clock::tick_until_stopped`].
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_one();
    }

    /// Calls `tick` every [`TICK`] while anything runs.
    pub(crate) fn tick_until_stopped(&self, tick: impl Fn()) {
        let mut state = self.lock();
        while !state.stopped {
            if state.running == 0 {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            } else {
                let (after, waited) = self
                    .changed
                    .wait_timeout(state, TICK)
                    .unwrap_or_else(PoisonError::into_inner);
                state = after;
                if waited.timed_out() {
                    tick();
                }
            }
        }
    }
}

/// A plugin is running; see [`Clock::running`].
pub(crate) struct Running<'a> {
    clock: &'a Clock,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.clock.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn the_clock_stands_still_while_nothing_runs() {
        let clock = Arc::new(Clock::default());
        let ticks = Arc::new(AtomicU64::new(0));
        let ticker = std::thread::spawn({
            let (clock, ticks) = (Arc::clone(&clock), Arc::clone(&ticks));
            move || {
                clock.tick_until_stopped(|| {
                    ticks.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        std::thread::sleep(4 * TICK);
        assert_eq!(ticks.load(Ordering::Relaxed), 0);
        let running = clock.running();
        while ticks.load(Ordering::Relaxed) < 3 {
            std::thread::sleep(TICK);
        }
        drop(running);
        clock.stop();
        ticker.join().unwrap();
    }

    #[test]
    fn a_deadline_in_ticks_is_never_short() {
        assert_eq!(ticks(Duration::ZERO), 1);
        assert_eq!(ticks(Duration::from_millis(12)), 4);
        assert!(ticks(Duration::MAX) > 1 << 40);
    }
}
