//! The search for the rows that make a batch fail, within a budget.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::failure::Blame;
use crate::limits::Limits;

/// How many failed calls the search may make. Each one on a trap costs a new
/// instance. About 25 separate traps among 10,000 rows fit in; rows that the
/// plugin rejects itself cost none.
const MAX_FAILED_CALLS: u32 = 256;

/// A part of the batch is given at least this share of the deadline, so that a
/// few rows are not condemned for a moment in which the machine was busy.
const SMALLEST_SHARE: u32 = 16;

/// And never less than this.
const SHORTEST_DEADLINE: Duration = Duration::from_millis(20);

/// A call that gave nothing to use.
pub(crate) struct Failed {
    /// Whom it lays the blame on; a row is one of the call, from 0.
    pub(crate) blame: Blame,
    /// Whether a part without the row at fault would have passed: true of a
    /// trap, false of a deadline.
    pub(crate) of_one_row: bool,
    /// Why, in a phrase.
    pub(crate) reason: String,
}

/// What the search found. Ranges and pieces cover every row once.
pub(crate) struct Isolated<T> {
    /// The parts that passed, by first row, ascending.
    pub(crate) passed: Vec<(Range<u32>, T)>,
    /// The parts that did not, ascending: single rows, or where the budget
    /// ended, the rest.
    pub(crate) failed: Vec<(Range<u32>, String)>,
}

struct Part {
    range: Range<u32>,
    /// The plugin has named this row: it is not called again.
    condemned: Option<String>,
    /// The whole it is the second half of failed, and the first half passes:
    /// calling it as a whole would fail.
    known_bad: bool,
    /// It is the first half of a whole that one row made fail.
    first_half_of_bad: bool,
}

/// Calls `call` with the whole batch, and where it fails with ever smaller
/// parts, until what fails are single rows or the budget ends. `call` is given
/// the rows and the time it may take; without rows it is not called.
pub(crate) fn isolate<T>(
    rows: u32,
    deadline: Duration,
    mut call: impl FnMut(Range<u32>, Duration) -> Result<T, Failed>,
) -> Isolated<T> {
    let start = Instant::now();
    let budget = deadline * Limits::SEARCH_DEADLINES;
    let mut failed_calls = 0;
    let mut last_reason = String::new();
    let mut isolated = Isolated {
        passed: Vec::new(),
        failed: Vec::new(),
    };
    let mut parts = Vec::new();
    if rows > 0 {
        parts.push(Part::new(0..rows));
    }
    while let Some(part) = parts.pop() {
        let range = part.range;
        if let Some(reason) = part.condemned {
            isolated.failed.push((range, reason));
            continue;
        }
        let spent = start.elapsed();
        if failed_calls > 0 && (failed_calls >= MAX_FAILED_CALLS || spent >= budget) {
            let reason = format!(
                "not tried by itself: the plugin had failed {failed_calls} times on this batch \
                 within {} ms, the last time with: {last_reason}",
                spent.as_millis()
            );
            isolated.give_up(range, parts, &reason);
            break;
        }
        if part.known_bad && range.len() > 1 {
            split(&mut parts, range, true);
            continue;
        }
        let share = share(deadline, range.len() as u32, rows);
        match call(range.clone(), share) {
            Ok(value) => {
                if part.first_half_of_bad
                    && let Some(second_half) = parts.last_mut()
                {
                    second_half.known_bad = true;
                }
                isolated.passed.push((range, value));
            }
            Err(failed) => {
                failed_calls += 1;
                last_reason.clone_from(&failed.reason);
                match failed.blame {
                    Blame::Plugin => {
                        isolated.give_up(range, parts, &failed.reason);
                        break;
                    }
                    Blame::Row(row) if row < range.len() as u32 => {
                        let row = range.start + row;
                        if row + 1 < range.end {
                            parts.push(Part::new(row + 1..range.end));
                        }
                        parts.push(Part {
                            condemned: Some(failed.reason),
                            ..Part::new(row..row + 1)
                        });
                        if range.start < row {
                            parts.push(Part::new(range.start..row));
                        }
                    }
                    Blame::SomeRow | Blame::Row(_) if range.len() > 1 => {
                        split(&mut parts, range, failed.of_one_row);
                    }
                    Blame::SomeRow | Blame::Row(_) => {
                        isolated.failed.push((range, failed.reason));
                    }
                }
            }
        }
    }
    isolated
}

impl<T> Isolated<T> {
    /// Files what is left as failed: `range`, which was to be called next, and
    /// all that waits, which follows it.
    fn give_up(&mut self, range: Range<u32>, waiting: Vec<Part>, reason: &str) {
        self.failed.push((range, reason.to_owned()));
        for part in waiting.into_iter().rev() {
            let reason = part.condemned.unwrap_or_else(|| reason.to_owned());
            match self.failed.last_mut() {
                Some((range, last)) if *last == reason => range.end = part.range.end,
                _ => self.failed.push((part.range, reason)),
            }
        }
    }
}

impl Part {
    fn new(range: Range<u32>) -> Self {
        Part {
            range,
            condemned: None,
            known_bad: false,
            first_half_of_bad: false,
        }
    }
}

/// Puts both halves on the stack, the first on top.
fn split(parts: &mut Vec<Part>, range: Range<u32>, of_one_row: bool) {
    let middle = range.start + (range.end - range.start) / 2;
    parts.push(Part::new(middle..range.end));
    parts.push(Part {
        first_half_of_bad: of_one_row,
        ..Part::new(range.start..middle)
    });
}

/// Returns the part of the deadline that `rows` of all rows may take.
fn share(deadline: Duration, rows: u32, all: u32) -> Duration {
    let share = deadline.mul_f64(f64::from(rows) / f64::from(all.max(1)));
    share
        .max(deadline / SMALLEST_SHARE)
        .max(SHORTEST_DEADLINE)
        .min(deadline)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn trap() -> Failed {
        Failed {
            blame: Blame::SomeRow,
            of_one_row: true,
            reason: "trap".to_owned(),
        }
    }

    /// Runs the search on a plugin that traps on the rows given. Returns the
    /// rows found at fault, the rows that passed and the calls made.
    fn search(rows: u32, bad: &[u32]) -> (Vec<Range<u32>>, Vec<u32>, u32) {
        let mut calls = 0;
        let isolated = isolate(rows, SECOND, |range, _| {
            calls += 1;
            match bad.iter().any(|row| range.contains(row)) {
                true => Err(trap()),
                false => Ok(()),
            }
        });
        let failed = isolated
            .failed
            .into_iter()
            .map(|(range, _)| range)
            .collect();
        let passed = isolated
            .passed
            .into_iter()
            .flat_map(|(range, ())| range)
            .collect();
        (failed, passed, calls)
    }

    #[test]
    fn a_batch_without_fault_is_one_call() {
        let (failed, passed, calls) = search(10_000, &[]);
        assert_eq!((failed.len(), passed.len(), calls), (0, 10_000, 1));
    }

    #[test]
    fn one_row_among_ten_thousand_is_found_in_about_log2_calls() {
        for row in [0, 1, 4_999, 5_000, 9_999] {
            let (failed, passed, calls) = search(10_000, &[row]);
            assert_eq!(failed, vec![row..row + 1]);
            assert_eq!(passed.len(), 9_999);
            assert!(calls <= 30, "{calls} calls");
        }
    }

    #[test]
    fn a_plugin_that_always_fails_costs_a_bounded_number_of_calls() {
        let all: Vec<u32> = (0..10_000).collect();
        let (failed, passed, calls) = search(10_000, &all);
        assert!(passed.is_empty());
        assert_eq!(calls, MAX_FAILED_CALLS);
        let rest = failed.last().unwrap();
        assert_eq!(rest.end, 10_000);
        assert_eq!(
            failed.iter().map(|range| range.len()).sum::<usize>(),
            10_000
        );
    }

    #[test]
    fn the_rest_is_given_up_with_a_reason_that_says_so() {
        let isolated = isolate::<()>(1000, SECOND, |_, _| Err(trap()));
        let (_, reason) = isolated.failed.last().unwrap();
        assert!(
            reason.contains("had failed 256 times") && reason.ends_with("trap"),
            "{reason}"
        );
    }

    #[test]
    fn the_time_ends_the_search_too() {
        let deadline = Duration::from_millis(20);
        let start = Instant::now();
        let isolated = isolate::<()>(1000, deadline, |_, share| {
            std::thread::sleep(share);
            Err(Failed {
                of_one_row: false,
                ..trap()
            })
        });
        assert!(start.elapsed() < deadline * (Limits::SEARCH_DEADLINES + 2));
        assert!(
            isolated
                .failed
                .last()
                .unwrap()
                .1
                .contains("not tried by itself")
        );
    }

    #[test]
    fn a_row_the_plugin_names_is_set_aside_without_a_search() {
        let mut calls = Vec::new();
        let isolated = isolate(100, SECOND, |range, _| {
            calls.push(range.clone());
            match range.contains(&42) {
                true => Err(Failed {
                    blame: Blame::Row(42 - range.start),
                    ..trap()
                }),
                false => Ok(()),
            }
        });
        assert_eq!(calls, [0..100, 0..42, 43..100]);
        assert_eq!(isolated.failed[0].0, 42..43);
    }

    #[test]
    fn a_row_named_out_of_range_is_searched_for() {
        let isolated = isolate(4, SECOND, |range, _| match range.contains(&3) {
            true => Err(Failed {
                blame: Blame::Row(77),
                ..trap()
            }),
            false => Ok(()),
        });
        assert_eq!(isolated.failed[0].0, 3..4);
    }

    #[test]
    fn a_fault_of_the_plugin_is_not_searched_for() {
        let mut calls = 0;
        let isolated = isolate::<()>(100, SECOND, |_, _| {
            calls += 1;
            Err(Failed {
                blame: Blame::Plugin,
                ..trap()
            })
        });
        assert_eq!((calls, isolated.failed[0].0.clone()), (1, 0..100));
    }

    #[test]
    fn parts_get_their_share_of_the_deadline_but_never_next_to_nothing() {
        assert_eq!(share(SECOND, 1000, 1000), SECOND);
        assert_eq!(share(SECOND, 500, 1000), SECOND / 2);
        assert_eq!(share(SECOND, 1, 1000), SECOND / 16);
        let short = Duration::from_millis(50);
        assert_eq!(share(short, 1, 1000), SHORTEST_DEADLINE);
        assert_eq!(share(SHORTEST_DEADLINE / 2, 1, 1000), SHORTEST_DEADLINE / 2);
    }

    proptest! {
        #[test]
        fn exactly_the_rows_at_fault_are_found(
            rows in 1_u32..400,
            bad in proptest::collection::btree_set(0_u32..400, 0..12),
        ) {
            let bad: Vec<u32> = bad.into_iter().filter(|&row| row < rows).collect();
            let (failed, passed, _) = search(rows, &bad);
            let found: Vec<u32> = failed.into_iter().flatten().collect();
            prop_assert_eq!(&found, &bad);
            let good: Vec<u32> = (0..rows).filter(|row| !bad.contains(row)).collect();
            prop_assert_eq!(passed, good);
        }
    }
}
