//! The directives of W3C files: lines that start with `#`.

use super::plan::Plan;
use super::value::shown;

/// The most fields a header may name. Standard logs have about 45; the limit
/// bounds what a forged header can make a block hold.
const MAX_FIELDS: usize = 256;

/// What is known of the fields of the lines to come.
#[derive(Clone, Debug)]
pub(super) enum Header {
    /// They are these.
    Fields(Box<Plan>),
    /// Nothing that would do, for this reason.
    Unusable(String),
}

impl Header {
    /// Returns the state before the first line.
    pub(super) fn none() -> Self {
        Header::Unusable("no `#Fields:` line before this record says what its fields are".into())
    }

    /// Obeys a directive; all but `#Fields:` are passed over.
    pub(super) fn obey(&mut self, line: &[u8]) {
        const NAME: &[u8] = b"#fields:";
        let Some((name, fields)) = line.split_at_checked(NAME.len()) else {
            return;
        };
        if !name.eq_ignore_ascii_case(NAME) {
            return;
        }
        *self = match Self::read(fields) {
            Ok(plan) => Header::Fields(Box::new(plan)),
            Err(reason) => Header::Unusable(format!("the `#Fields:` line is unusable: {reason}")),
        };
    }

    fn read(fields: &[u8]) -> Result<Plan, String> {
        let text =
            std::str::from_utf8(fields).map_err(|_| format!("{} is not UTF-8", shown(fields)))?;
        let names = || text.split_ascii_whitespace();
        match names().count() {
            0 => Err("it names no field".into()),
            count if count > MAX_FIELDS => {
                Err(format!("it names {count} fields, more than {MAX_FIELDS}"))
            }
            _ => Plan::standard(names()),
        }
    }
}

/// Whether the line is a directive rather than a record. No record starts with
/// `#`: CloudFront encodes it.
pub(super) fn is_directive(line: &[u8]) -> bool {
    line.first() == Some(&b'#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_after(lines: &[&str]) -> Result<Vec<String>, String> {
        let mut header = Header::none();
        for line in lines {
            header.obey(line.as_bytes());
        }
        match header {
            Header::Fields(plan) => Ok(plan.names.iter().map(|name| name.to_string()).collect()),
            Header::Unusable(reason) => Err(reason),
        }
    }

    #[test]
    fn names_are_separated_by_spaces_or_tabs() {
        for line in [
            "#Fields: date time c-ip",
            "#Fields:\tdate\ttime\tc-ip",
            "#fields:date  time c-ip ",
        ] {
            assert_eq!(names_after(&[line]).unwrap(), ["date", "time", "c-ip"]);
        }
    }

    #[test]
    fn other_directives_change_nothing_and_the_last_header_counts() {
        let lines = [
            "#Fields: date time",
            "#Version: 1.0",
            "#",
            "#Fields",
            "#Fields: timestamp(ms)",
        ];
        assert_eq!(names_after(&lines[..4]).unwrap(), ["date", "time"]);
        assert_eq!(names_after(&lines).unwrap(), ["timestamp(ms)"]);
    }

    #[test]
    fn a_header_that_cannot_be_used_says_why() {
        assert!(
            names_after(&["#Version: 1.0"])
                .unwrap_err()
                .starts_with("no `#Fields:` line")
        );
        assert_eq!(
            names_after(&["#Fields: "]).unwrap_err(),
            "the `#Fields:` line is unusable: it names no field"
        );
        let many = format!("#Fields: date time{}", " x".repeat(300));
        assert!(names_after(&[&many]).unwrap_err().contains("302 fields"));
    }
}
