//! The search for the rows that make a batch fail, within a budget.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::failure::Blame;
use crate::limits::Limits;

/// After how many failed calls the search must pay: it goes on only while at
/// least [`MIN_PASSED_PER_FAILED`] rows pass for one that fails. Each call that
/// traps costs a new instance, some 0.1 ms.
const MAX_FAILED_CALLS: u32 = 256;

/// See [`MAX_FAILED_CALLS`]. A plugin that fails on one row in ten is worth the
/// search, one that fails on most is not.
const MIN_PASSED_PER_FAILED: u32 = 2;

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
    /// ended, parts that hold one.
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
/// parts, until what fails are single rows or the budget ends. Then each part
/// that still waits is called once as it is, so that what is sound goes on,
/// until the time for that ends too; the rest fails without a call.
/// `call` is given the rows and the time it may take; without rows it is not
/// called.
pub(crate) fn isolate<T>(
    rows: u32,
    deadline: Duration,
    mut call: impl FnMut(Range<u32>, Duration) -> Result<T, Failed>,
) -> Isolated<T> {
    let mut search = Search {
        start: Instant::now(),
        budget: deadline * Limits::SEARCH_DEADLINES,
        end: deadline * Limits::BATCH_DEADLINES,
        last_reason: String::new(),
        failed_calls: 0,
        passed_rows: 0,
        failed_rows: 0,
        parts: Vec::new(),
        failed: Vec::new(),
    };
    let mut passed = Vec::new();
    if rows > 0 {
        search.parts.push(Part::new(0..rows));
    }
    while let Some(part) = search.parts.pop() {
        let range = part.range.clone();
        if let Some(reason) = part.condemned {
            search.failed_rows += 1;
            search.failed.push((range, reason));
            continue;
        }
        if part.known_bad && range.len() > 1 && !search.is_over() {
            search.split(range, true);
            continue;
        }
        let mut share = share(deadline, range.len() as u32, rows);
        if search.is_over() {
            let left = search.end.saturating_sub(search.start.elapsed());
            if left.is_zero() {
                search.leave_untried(range);
                continue;
            }
            share = share.min(left.max(SHORTEST_DEADLINE));
        }
        match call(range.clone(), share) {
            Ok(value) => {
                if part.first_half_of_bad
                    && let Some(second_half) = search.parts.last_mut()
                {
                    second_half.known_bad = true;
                }
                search.passed_rows += range.len() as u32;
                passed.push((range, value));
            }
            Err(failed) => search.handle(range, failed),
        }
    }
    Isolated {
        passed,
        failed: search.failed,
    }
}

/// A search under way.
struct Search {
    start: Instant,
    /// When parts are divided no more.
    budget: Duration,
    /// When nothing is called any more.
    end: Duration,
    /// Why the latest call failed.
    last_reason: String,
    failed_calls: u32,
    passed_rows: u32,
    /// Rows that failed by themselves.
    failed_rows: u32,
    /// What waits, the next on top.
    parts: Vec<Part>,
    failed: Vec<(Range<u32>, String)>,
}

impl Search {
    /// Whether no part is divided any more.
    fn is_over(&self) -> bool {
        let pays = self.passed_rows >= MIN_PASSED_PER_FAILED * self.failed_rows;
        (self.failed_calls >= MAX_FAILED_CALLS && !pays)
            || (self.failed_calls > 0 && self.start.elapsed() >= self.budget)
    }

    /// Goes on after a call of `range` that failed.
    fn handle(&mut self, range: Range<u32>, failed: Failed) {
        self.failed_calls += 1;
        let rows = range.len() as u32;
        self.last_reason.clone_from(&failed.reason);
        match failed.blame {
            Blame::Plugin => self.give_up(range, &failed.reason),
            Blame::Row(row) if row < rows && !self.is_over() => {
                let row = range.start + row;
                if row + 1 < range.end {
                    self.parts.push(Part::new(row + 1..range.end));
                }
                self.parts.push(Part {
                    condemned: Some(failed.reason),
                    ..Part::new(row..row + 1)
                });
                if range.start < row {
                    self.parts.push(Part::new(range.start..row));
                }
            }
            _ if rows == 1 => {
                self.failed_rows += 1;
                self.failed.push((range, failed.reason));
            }
            _ if self.is_over() => {
                let reason = format!(
                    "one of {rows} rows not tried by themselves, because the plugin had failed \
                     {} times on this batch within {} ms: {}",
                    self.failed_calls,
                    self.start.elapsed().as_millis(),
                    failed.reason
                );
                self.failed.push((range, reason));
            }
            _ => self.split(range, failed.of_one_row),
        }
    }

    /// Fails a part for which no time is left.
    fn leave_untried(&mut self, range: Range<u32>) {
        let reason = format!(
            "not tried, because the plugin had failed {} times on this batch within {} ms, the \
             last time: {}",
            self.failed_calls,
            self.start.elapsed().as_millis(),
            self.last_reason
        );
        self.failed.push((range, reason));
    }

    /// Puts both halves on the stack, the first on top.
    fn split(&mut self, range: Range<u32>, of_one_row: bool) {
        let middle = range.start + (range.end - range.start) / 2;
        self.parts.push(Part::new(middle..range.end));
        self.parts.push(Part {
            first_half_of_bad: of_one_row,
            ..Part::new(range.start..middle)
        });
    }

    /// Fails `range` and all that waits.
    fn give_up(&mut self, range: Range<u32>, reason: &str) {
        self.failed.push((range, reason.to_owned()));
        for part in std::mem::take(&mut self.parts).into_iter().rev() {
            let reason = part.condemned.unwrap_or_else(|| reason.to_owned());
            self.failed.push((part.range, reason));
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
        assert!(calls < MAX_FAILED_CALLS + 30, "{calls} calls");
        let rows = failed.iter().flat_map(Clone::clone);
        assert!(rows.eq(0..10_000), "each row fails once, in order");
    }

    #[test]
    fn many_bad_rows_among_more_good_ones_are_all_found() {
        let bad: Vec<u32> = (0..10_000).step_by(13).collect();
        let (failed, passed, _) = search(10_000, &bad);
        assert_eq!(failed, bad.iter().map(|&r| r..r + 1).collect::<Vec<_>>());
        assert_eq!(passed.len(), 10_000 - bad.len());
    }

    #[test]
    fn where_the_search_ends_the_reason_says_so_and_sound_parts_go_on() {
        let isolated = isolate(10_000, SECOND, |range, _| match range.start < 2000 {
            true => Err(trap()),
            false => Ok(()),
        });
        let reason = &isolated.failed.last().unwrap().1;
        assert!(
            reason.contains("rows not tried by themselves") && reason.ends_with("trap"),
            "{reason}"
        );
        let passed: usize = isolated.passed.iter().map(|(range, ())| range.len()).sum();
        assert!(passed > 7000, "{passed} rows passed");
    }

    #[test]
    fn the_time_ends_the_search_too() {
        let deadline = Duration::from_millis(20);
        let mut asked = Duration::ZERO;
        let isolated = isolate::<()>(1000, deadline, |_, share| {
            asked += share;
            std::thread::sleep(share);
            Err(Failed {
                of_one_row: false,
                ..trap()
            })
        });
        // Every part has the shortest deadline there is, so this is the worst:
        // the budget, and one more call for each part that waits.
        assert!(
            asked < deadline * (Limits::SEARCH_DEADLINES + 10),
            "{asked:?}"
        );
        let reason = &isolated.failed.last().unwrap().1;
        assert!(reason.contains("not tried"), "{reason}");
    }

    #[test]
    fn parts_that_wait_are_called_within_the_time_only() {
        let deadline = Duration::from_millis(20);
        let mut asked = Duration::ZERO;
        let isolated = isolate::<()>(1000, deadline, |range, share| {
            let rows = range.len() as u32;
            if rows > 1 {
                return Err(Failed {
                    blame: Blame::Row(rows - 2),
                    ..trap()
                });
            }
            asked += share;
            std::thread::sleep(share);
            Err(trap())
        });
        assert!(
            asked <= deadline * (Limits::BATCH_DEADLINES + 1),
            "{asked:?}"
        );
        let rows = isolated.failed.iter().flat_map(|(range, _)| range.clone());
        assert!(rows.eq(0..1000), "each row fails once, in order");
        let reason = &isolated.failed.last().unwrap().1;
        assert!(
            reason.starts_with("not tried, because") && reason.ends_with("trap"),
            "{reason}"
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
