//! What a plugin declares: its columns, its data files, what it is.

use crate::columns::Kind;
use crate::error::Error;

/// How often the host has to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purity {
    /// The answer may depend on the row's place or on state: the host asks
    /// about every row.
    #[default]
    PerRow,
    /// The same inputs always give the same outputs, one row for one row. The
    /// host may ask once for each distinct tuple of inputs. Such a plugin may
    /// reject rows but neither drops nor emits them.
    PerDistinct,
}

/// A file of data the plugin wants, such as a geo database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// The name given to [`Data::read`](crate::Data::read), and the key under
    /// `data` in canopy.toml.
    pub name: &'static str,
    /// What it is for, in one line.
    pub doc: &'static str,
    /// Whether the plugin cannot work without it.
    pub required: bool,
}

impl DataFile {
    /// Declares a file that the plugin cannot work without.
    pub const fn required(name: &'static str, doc: &'static str) -> Self {
        DataFile {
            name,
            doc,
            required: true,
        }
    }

    /// Declares a file that the plugin can do without.
    pub const fn optional(name: &'static str, doc: &'static str) -> Self {
        DataFile {
            name,
            doc,
            required: false,
        }
    }
}

/// A field of the author's input or output struct, and the columns it stands
/// for: one, or none where it was left out, or several for a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The field's name in the struct, which is the column's unless renamed.
    pub name: &'static str,
    /// What its columns hold.
    pub kind: Kind,
    /// Whether rows may be null. Says nothing for an input.
    pub nullable: bool,
    /// Whether the column has few distinct values. Says nothing for an input.
    pub low_cardinality: bool,
    /// One line saying what it is. Empty for an input.
    pub doc: &'static str,
    /// Whether it stands for any number of columns.
    pub list: bool,
    /// The columns' names.
    pub columns: Vec<String>,
}

/// The columns a configured plugin reads and makes.
///
/// It starts as the input and output structs declare it, and
/// [`Plugin::columns`](crate::Plugin::columns) may change names, or leave
/// columns out, by the configuration. The same configuration must always give
/// the same columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The fields of the input struct in their order.
    pub(crate) inputs: Vec<Field>,
    /// The fields of the output struct in their order.
    pub(crate) outputs: Vec<Field>,
}

impl Schema {
    /// Reads the input field `field` from the column `column` instead of the
    /// one that has its name.
    ///
    /// # Panics
    ///
    /// If the input struct has no such field: that is a mistake in the plugin.
    pub fn rename_input(&mut self, field: &str, column: impl Into<String>) {
        one(&mut self.inputs, field).columns = vec![column.into()];
    }

    /// Writes the output field `field` to the column `column` instead of the
    /// one that has its name.
    ///
    /// # Panics
    ///
    /// If the output struct has no such field: that is a mistake in the plugin.
    pub fn rename_output(&mut self, field: &str, column: impl Into<String>) {
        one(&mut self.outputs, field).columns = vec![column.into()];
    }

    /// Puts `prefix` in front of the name of every output column.
    pub fn prefix_outputs(&mut self, prefix: &str) {
        for column in self.outputs.iter_mut().flat_map(|field| &mut field.columns) {
            column.insert_str(0, prefix);
        }
    }

    /// Does not read the input field `field`: it is empty, zero or `None` in
    /// every row.
    ///
    /// # Panics
    ///
    /// If the input struct has no such field: that is a mistake in the plugin.
    pub fn leave_out_input(&mut self, field: &str) {
        one(&mut self.inputs, field).columns.clear();
    }

    /// Does not make the output field `field`: what is written to it is gone.
    ///
    /// # Panics
    ///
    /// If the output struct has no such field: that is a mistake in the plugin.
    pub fn leave_out_output(&mut self, field: &str) {
        one(&mut self.outputs, field).columns.clear();
    }

    /// Names the columns that the list `field` reads
    /// ([`TextList`](crate::TextList)).
    ///
    /// # Panics
    ///
    /// If the input struct has no such list: that is a mistake in the plugin.
    pub fn input_list<S: Into<String>>(
        &mut self,
        field: &str,
        columns: impl IntoIterator<Item = S>,
    ) {
        list(&mut self.inputs, field).columns = columns.into_iter().map(Into::into).collect();
    }

    /// Names the columns that the list `field` makes ([`Texts`](crate::Texts)).
    ///
    /// # Panics
    ///
    /// If the output struct has no such list: that is a mistake in the plugin.
    pub fn output_list<S: Into<String>>(
        &mut self,
        field: &str,
        columns: impl IntoIterator<Item = S>,
    ) {
        list(&mut self.outputs, field).columns = columns.into_iter().map(Into::into).collect();
    }

    /// Returns the input columns in the order in which the host gives them:
    /// name, kind.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, Kind)> {
        columns(&self.inputs).map(|(field, column)| (column, field.kind))
    }

    /// Returns the output columns in the order in which the host is given
    /// them, each with the field that declares it.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, &Field)> {
        columns(&self.outputs).map(|(field, column)| (column, field))
    }

    /// Checks that no output column is made twice.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut seen = std::collections::BTreeSet::new();
        match self.outputs().find(|(column, _)| !seen.insert(*column)) {
            Some((column, _)) => Err(Error::config(
                "",
                format!("the column `{column}` would be made twice"),
            )),
            None => Ok(()),
        }
    }
}

fn columns(fields: &[Field]) -> impl Iterator<Item = (&Field, &str)> {
    fields.iter().flat_map(|field| {
        field
            .columns
            .iter()
            .map(move |column| (field, column.as_str()))
    })
}

fn one<'s>(fields: &'s mut [Field], name: &str) -> &'s mut Field {
    find(fields, name, false)
}

fn list<'s>(fields: &'s mut [Field], name: &str) -> &'s mut Field {
    find(fields, name, true)
}

fn find<'s>(fields: &'s mut [Field], name: &str, list: bool) -> &'s mut Field {
    let found = fields
        .iter_mut()
        .find(|field| field.name == name && field.list == list);
    match found {
        Some(field) => field,
        None => panic!("the struct has no such field: `{name}`"),
    }
}
