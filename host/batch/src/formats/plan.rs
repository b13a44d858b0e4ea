//! Where the values of a source go: which of its slots fills which column.
//!
//! A slot is a place in a record: the position of a field in a line, or a
//! number given to a JSON key. Every format is brought to slots first, so
//! that columns are filled by one piece of code.

use crate::schema::{FIELDS, field_index};

use super::layout::Layout;

/// Which slots become which columns.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// How many slots a record has.
    pub(super) width: usize,
    /// How many of them are fields of the line.
    pub(super) field_count: usize,
    /// What the source calls its fields, for messages.
    pub(super) names: Vec<Box<str>>,
    /// Where the timestamp comes from.
    pub(super) clock: Option<Clock>,
    /// The other columns, in the order of [`FIELDS`].
    pub(super) steps: Vec<Step>,
    /// A URL field that holds the query string too.
    pub(super) url: Option<Url>,
}

/// One column filled from one slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The column, as an index into [`FIELDS`].
    pub(super) column: usize,
    /// The slot.
    pub(super) slot: usize,
}

/// Where the timestamp comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Clock {
    /// Seconds since the epoch with decimals.
    Seconds(usize),
    /// What standard logs have; `millis` is preferred where it is present.
    Standard {
        /// The slot of `timestamp(ms)`.
        millis: Option<usize>,
        /// The slots of `date` and `time`.
        date_time: Option<(usize, usize)>,
    },
}

/// A URL field that is cut at its question mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Url {
    /// The slot of the field.
    pub(super) stem: usize,
    /// The slot that takes what is behind the question mark, where the source
    /// has no field for it.
    pub(super) query: Option<usize>,
}

/// What a field of standard logs is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StandardField {
    /// `date`.
    Date,
    /// `time`.
    Time,
    /// `timestamp(ms)`.
    Millis,
    /// The value of this column, an index into [`FIELDS`].
    Column(usize),
}

/// Names that standard logs use for what the real-time logs call otherwise.
/// The first two say the opposite of the real-time names.
const STANDARD_NAMES: [(&str, &str); 5] = [
    ("cs(Host)", "x-host-header"),
    ("x-host-header", "cs-host"),
    ("cs(User-Agent)", "cs-user-agent"),
    ("cs(Referer)", "cs-referer"),
    ("cs(Cookie)", "cs-cookie"),
];

/// Returns what standard logs mean by `name`, whatever its case; `None` for a
/// name that Canopy has no column for.
pub(super) fn standard_field(name: &str) -> Option<StandardField> {
    let special = [
        ("date", StandardField::Date),
        ("time", StandardField::Time),
        ("timestamp(ms)", StandardField::Millis),
    ];
    if let Some((_, field)) = special.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
        return Some(*field);
    }
    let lower = name.to_ascii_lowercase();
    let real_time = STANDARD_NAMES
        .iter()
        .find(|(standard, _)| standard.eq_ignore_ascii_case(name))
        .map(|(_, real_time)| *real_time)
        // Not used by standard logs, so nobody says what they would mean there.
        .or((!matches!(lower.as_str(), "timestamp" | "cs-host")).then_some(lower.as_str()))?;
    field_index(real_time).map(StandardField::Column)
}

impl Plan {
    /// Returns the plan of real-time lines.
    pub(super) fn real_time(layout: &Layout) -> Self {
        let slot_of = |name| {
            let field = field_index(name)?;
            layout.fields().binary_search(&field).ok()
        };
        let steps = layout
            .fields()
            .iter()
            .enumerate()
            .map(|(slot, &column)| Step { column, slot })
            .filter(|step| FIELDS[step.column].name != "timestamp");
        let mut plan = Plan {
            width: layout.len(),
            field_count: layout.len(),
            names: layout.names().map(Box::from).collect(),
            clock: slot_of("timestamp").map(Clock::Seconds),
            steps: steps.collect(),
            url: None,
        };
        if let Some(stem) = slot_of("cs-uri-stem") {
            let query = slot_of("cs-uri-query").is_none().then_some(layout.len());
            plan.url = Some(Url { stem, query });
            if let (Some(slot), Some(column)) = (query, field_index("cs-uri-query")) {
                plan.width += 1;
                plan.names.push("cs-uri-query".into());
                plan.steps.push(Step { column, slot });
                plan.steps.sort_by_key(|step| step.column);
            }
        }
        plan
    }

    /// Returns the plan of a standard log with these fields; names without a
    /// column are passed over.
    ///
    /// # Errors
    ///
    /// A phrase saying why no record under such a header can become a row.
    pub(super) fn standard<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let names: Vec<Box<str>> = names.into_iter().map(Box::from).collect();
        let (mut date, mut time, mut millis) = (None, None, None);
        let mut steps: Vec<Step> = Vec::new();
        for (slot, name) in names.iter().enumerate() {
            let twice = match standard_field(name) {
                Some(StandardField::Date) => date.replace(slot).is_some(),
                Some(StandardField::Time) => time.replace(slot).is_some(),
                Some(StandardField::Millis) => millis.replace(slot).is_some(),
                Some(StandardField::Column(column)) => {
                    let twice = steps.iter().any(|step| step.column == column);
                    steps.push(Step { column, slot });
                    twice
                }
                None => false,
            };
            if twice {
                return Err(format!("the field `{name}` is named twice"));
            }
        }
        let date_time = date.zip(time);
        if millis.is_none() && date_time.is_none() {
            return Err("neither `timestamp(ms)` nor `date` and `time` are named".into());
        }
        steps.sort_by_key(|step| step.column);
        Ok(Plan {
            width: names.len(),
            field_count: names.len(),
            names,
            clock: Some(Clock::Standard { millis, date_time }),
            steps,
            url: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column_of(name: &str) -> Option<&'static str> {
        match standard_field(name)? {
            StandardField::Column(column) => Some(&FIELDS[column].column.name),
            _ => None,
        }
    }

    #[test]
    fn the_two_host_names_are_turned() {
        assert_eq!(column_of("cs(Host)"), Some("x_host_header"));
        assert_eq!(column_of("x-host-header"), Some("cs_host"));
        assert_eq!(column_of("cs-host"), None);
    }

    #[test]
    fn standard_names_are_known_in_any_case_and_others_are_not() {
        assert_eq!(column_of("cs(user-agent)"), Some("cs_user_agent"));
        assert_eq!(column_of("SC-Status"), Some("sc_status"));
        assert_eq!(standard_field("Timestamp(MS)"), Some(StandardField::Millis));
        assert_eq!(standard_field("timestamp"), None);
        assert_eq!(standard_field("DistributionId"), None);
    }

    #[test]
    fn a_header_that_names_a_field_twice_or_no_time_is_refused() {
        let names = ["date", "time", "cs(Cookie)", "cs-cookie"];
        assert_eq!(
            Plan::standard(names).unwrap_err(),
            "the field `cs-cookie` is named twice"
        );
        assert!(Plan::standard(["date", "c-ip"]).is_err());
        assert!(Plan::standard(["timestamp(ms)"]).is_ok());
    }

    #[test]
    fn the_query_has_a_slot_of_its_own_where_the_layout_lacks_it() {
        let plan =
            |names: &[&str]| Plan::real_time(&Layout::from_names(names.iter().copied()).unwrap());
        let derived = plan(&["timestamp", "cs-uri-stem", "asn"]);
        assert_eq!((derived.field_count, derived.width), (3, 4));
        let given = plan(&["cs-uri-stem", "cs-uri-query"]);
        assert_eq!((given.field_count, given.width), (2, 2));
    }
}
