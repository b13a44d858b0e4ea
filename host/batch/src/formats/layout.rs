//! Which fields a real-time log configuration delivers.

use std::sync::Arc;

use crate::schema::{FIELD_COUNT, FIELDS, field_index};

/// The fields of a real-time configuration, in delivery order.
///
/// A real-time record carries neither names nor a version, so the layout must
/// be that of the configuration that delivered it. CloudFront delivers in its
/// own fixed order, whatever order a configuration lists the fields in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Indices into [`FIELDS`], rising, at least one.
    fields: Arc<[usize]>,
}

/// A list of names is not a layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// CloudFront has no such field.
    #[error("`{name}` is not a field of CloudFront's real-time logs{}", hint(.suggestion))]
    Unknown {
        /// The name given.
        name: String,
        /// The field that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A field is listed twice.
    #[error("field `{name}` is listed twice")]
    Duplicate {
        /// The field.
        name: &'static str,
    },
    /// No field is listed.
    #[error("no field is listed")]
    Empty,
}

fn hint(suggestion: &Option<&'static str>) -> String {
    match suggestion {
        Some(name) => format!("; did you mean `{name}`?"),
        None => String::new(),
    }
}

impl Layout {
    /// Returns the layout of all 71 fields.
    pub fn all() -> Self {
        Layout {
            fields: (0..FIELD_COUNT).collect(),
        }
    }

    /// Returns the layout of the fields called `names`, such as `cs-uri-stem`,
    /// given in any order.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Unknown`] for a name CloudFront does not have,
    /// [`LayoutError::Duplicate`] for one given twice, and
    /// [`LayoutError::Empty`] for no name.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, LayoutError> {
        let mut chosen = [false; FIELD_COUNT];
        for name in names {
            let index = field_index(name).ok_or_else(|| LayoutError::Unknown {
                name: name.to_owned(),
                suggestion: closest(name),
            })?;
            if std::mem::replace(&mut chosen[index], true) {
                return Err(LayoutError::Duplicate {
                    name: FIELDS[index].name,
                });
            }
        }
        let fields: Arc<[usize]> = (0..FIELD_COUNT).filter(|&index| chosen[index]).collect();
        if fields.is_empty() {
            return Err(LayoutError::Empty);
        }
        Ok(Layout { fields })
    }

    /// Returns the fields as indices into [`FIELDS`], in delivery order.
    pub fn fields(&self) -> &[usize] {
        &self.fields
    }

    /// Returns the fields' names in delivery order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|&index| FIELDS[index].name)
    }

    /// Whether the field called `name` is in the layout.
    pub fn contains(&self, name: &str) -> bool {
        field_index(name).is_some_and(|index| self.fields.binary_search(&index).is_ok())
    }

    /// How many fields a record has, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a layout is never empty")]
    pub fn len(&self) -> usize {
        self.fields.len()
    }
}

/// Returns the field whose name is nearest to `name`, if it is near.
fn closest(name: &str) -> Option<&'static str> {
    // `cs_uri_stem` and `cs(User-Agent)` are how the columns and the standard
    // logs spell the same fields.
    let spelled: String = name
        .trim()
        .chars()
        .take(80)
        .filter(|&c| c != ')')
        .map(|c| match c {
            '_' | '(' | ' ' => '-',
            c => c.to_ascii_lowercase(),
        })
        .collect();
    FIELDS
        .iter()
        .map(|field| (distance(&spelled, field.name), field.name))
        .min()
        .filter(|&(distance, field)| distance <= 1 + field.len() / 5)
        .map(|(_, field)| field)
}

/// Returns the Levenshtein distance of two ASCII names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_order_give_the_order_of_delivery() {
        let layout = Layout::from_names(["sc-status", "c-ip", "timestamp"]).unwrap();
        assert_eq!(
            layout.names().collect::<Vec<_>>(),
            ["timestamp", "c-ip", "sc-status"]
        );
        assert_eq!(layout.fields(), [0, 1, 4]);
        assert_eq!(layout.len(), 3);
        assert!(layout.contains("c-ip") && !layout.contains("s-ip"));
    }

    #[test]
    fn all_is_every_field() {
        let names: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
        assert_eq!(Layout::from_names(names).unwrap(), Layout::all());
    }

    #[test]
    fn a_misspelled_name_is_met_with_the_field_meant() {
        for (given, meant) in [
            ("cs_uri_stem", "cs-uri-stem"),
            ("cs(User-Agent)", "cs-user-agent"),
            ("sc-staus", "sc-status"),
            ("Timestamp", "timestamp"),
        ] {
            let error = Layout::from_names([given]).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "`{given}` is not a field of CloudFront's real-time logs; did you mean `{meant}`?"
                )
            );
        }
        let error = Layout::from_names(["entirely-else"]).unwrap_err();
        assert!(matches!(
            error,
            LayoutError::Unknown {
                suggestion: None,
                ..
            }
        ));
    }

    #[test]
    fn duplicates_and_nothing_are_errors() {
        assert_eq!(
            Layout::from_names(["c-ip", "c-ip"]),
            Err(LayoutError::Duplicate { name: "c-ip" })
        );
        assert_eq!(Layout::from_names([]), Err(LayoutError::Empty));
    }
}
