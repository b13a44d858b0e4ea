//! Whether plugins fit one after the other, known before any data flows.

use canopy_batch::{Column, ColumnType, Kind};

use crate::plugin::Plugin;

/// Plugins do not fit one after the other, or not onto the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// A plugin reads a column that nothing before it makes.
    #[error(
        "plugin `{plugin}` reads column `{column}`, which neither the logs nor a plugin before \
         it have{}",
        suggestion.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
    )]
    NoSuchColumn {
        /// The plugin's name.
        plugin: String,
        /// The column it reads.
        column: String,
        /// A column that is spelled almost the same.
        suggestion: Option<String>,
    },
    /// A plugin reads a column as another kind than it is.
    #[error("plugin `{plugin}` reads column `{column}` as {expected}, but it is {found}")]
    InputKind {
        /// The plugin's name.
        plugin: String,
        /// The column.
        column: String,
        /// The kind the plugin expects.
        expected: Kind,
        /// The kind it is.
        found: Kind,
    },
    /// A plugin replaces a column with another kind.
    #[error(
        "plugin `{plugin}` replaces column `{column}`, which is {found}, with {declared}; give \
         its output another name"
    )]
    OutputKind {
        /// The plugin's name.
        plugin: String,
        /// The column.
        column: String,
        /// The kind the plugin makes.
        declared: Kind,
        /// The kind of the column as it is.
        found: Kind,
    },
    /// A plugin may put null into a column that cannot hold it.
    #[error(
        "plugin `{plugin}` declares column `{column}` nullable, but the column it replaces is \
         not; let it return the empty value instead, or give its output another name"
    )]
    OutputNull {
        /// The plugin's name.
        plugin: String,
        /// The column.
        column: String,
    },
}

/// Checks that every plugin, in this order, finds the columns it reads among
/// `available` and what the plugins before it make, with the right kinds.
/// Returns the columns that the plugins add, in the order they are made.
///
/// # Errors
///
/// The first [`ChainError`], in the order of the plugins.
pub fn check_chain(available: &[Column], plugins: &[&Plugin]) -> Result<Vec<Column>, ChainError> {
    let steps: Vec<Step<'_>> = plugins
        .iter()
        .map(|plugin| Step {
            plugin: canopy_batch::Stage::name(*plugin),
            inputs: plugin.inputs(),
            outputs: plugin
                .outputs()
                .iter()
                .map(|output| &output.column)
                .collect(),
        })
        .collect();
    check_steps(available, &steps)
}

struct Step<'a> {
    plugin: &'a str,
    inputs: &'a [(String, Kind)],
    outputs: Vec<&'a Column>,
}

fn check_steps(available: &[Column], steps: &[Step<'_>]) -> Result<Vec<Column>, ChainError> {
    let mut columns = available.to_vec();
    for step in steps {
        for (name, expected) in step.inputs {
            let found = find(&columns, name).ok_or_else(|| ChainError::NoSuchColumn {
                plugin: step.plugin.to_owned(),
                column: name.clone(),
                suggestion: nearest(name, &columns),
            })?;
            let found = found.column_type.kind();
            if found != *expected {
                return Err(ChainError::InputKind {
                    plugin: step.plugin.to_owned(),
                    column: name.clone(),
                    expected: *expected,
                    found,
                });
            }
        }
        for output in &step.outputs {
            match find(&columns, &output.name) {
                Some(replaced) => check_replaced(step.plugin, output, replaced)?,
                None => columns.push((*output).clone()),
            }
        }
    }
    Ok(columns.split_off(available.len()))
}

fn check_replaced(plugin: &str, output: &Column, replaced: &Column) -> Result<(), ChainError> {
    let (declared, found) = (output.column_type.kind(), replaced.column_type.kind());
    if declared != found {
        return Err(ChainError::OutputKind {
            plugin: plugin.to_owned(),
            column: output.name.to_string(),
            declared,
            found,
        });
    }
    if output.nullable && !replaced.nullable {
        return Err(ChainError::OutputNull {
            plugin: plugin.to_owned(),
            column: output.name.to_string(),
        });
    }
    Ok(())
}

fn find<'a>(columns: &'a [Column], name: &str) -> Option<&'a Column> {
    columns.iter().find(|column| column.name == name)
}

/// Returns the column type of a new column.
pub(crate) fn new_column_type(kind: Kind, low_cardinality: bool) -> ColumnType {
    match kind {
        Kind::Text if low_cardinality => ColumnType::LowText,
        Kind::Text => ColumnType::Text,
        Kind::Int => ColumnType::Int64,
        Kind::Float => ColumnType::Float64,
        Kind::Timestamp => ColumnType::TimestampMs,
        Kind::Boolean => ColumnType::Bool,
    }
}

/// Returns the column whose name is at most two edits away, `-` taken for `_`.
fn nearest(name: &str, columns: &[Column]) -> Option<String> {
    let name = name.replace('-', "_");
    columns
        .iter()
        .map(|column| (strsim::levenshtein(&name, &column.name), &column.name))
        .filter(|&(edits, _)| edits <= 2)
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, name)| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use canopy_batch::schema::base_columns;

    fn base() -> Vec<Column> {
        base_columns().cloned().collect()
    }

    fn column(name: &'static str, column_type: ColumnType, nullable: bool) -> Column {
        Column {
            name: name.into(),
            column_type,
            nullable,
            doc: "".into(),
        }
    }

    fn message(inputs: &[(String, Kind)], output: &Column) -> String {
        let step = Step {
            plugin: "tag",
            inputs,
            outputs: vec![output],
        };
        check_steps(&base(), &[step]).unwrap_err().to_string()
    }

    #[test]
    fn a_plugin_may_read_what_an_earlier_one_makes() {
        let tag = column("tag", ColumnType::Text, true);
        let length = column("tag_length", ColumnType::Int64, true);
        let steps = [
            Step {
                plugin: "tag",
                inputs: &[("cs_uri_stem".to_owned(), Kind::Text)],
                outputs: vec![&tag],
            },
            Step {
                plugin: "measure",
                inputs: &[("tag".to_owned(), Kind::Text)],
                outputs: vec![&length, &tag],
            },
        ];
        let added = check_steps(&base(), &steps).unwrap();
        assert_eq!(added, [tag.clone(), length.clone()]);
        assert!(check_steps(&base(), &steps[1..]).is_err());
    }

    #[test]
    fn a_misspelled_column_gets_a_suggestion() {
        let output = column("x", ColumnType::Text, true);
        let error = message(&[("cs-uri-stm".to_owned(), Kind::Text)], &output);
        assert!(error.ends_with("did you mean `cs_uri_stem`?"), "{error}");
        let error = message(&[("nothing_like_it".to_owned(), Kind::Text)], &output);
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn kinds_must_agree_on_both_sides() {
        let output = column("x", ColumnType::Text, true);
        let error = message(&[("sc_status".to_owned(), Kind::Text)], &output);
        assert!(
            error.contains("reads column `sc_status` as text, but it is int"),
            "{error}"
        );
        let status = column("sc_status", ColumnType::Text, false);
        assert!(message(&[], &status).contains("which is int, with text"));
    }

    #[test]
    fn null_does_not_fit_into_every_column() {
        let address = column("c_ip", ColumnType::Text, true);
        assert!(message(&[], &address).contains("the column it replaces is not"));
    }
}
