//! Writing: the columns a plugin makes, one row at a time, straight into the
//! memory that the host will read. Nothing is allocated per row.

use std::fmt;
use std::ops::Deref;

use crate::columns::{Bits, Column, Kind, Millis, TextColumn, Validity, Values};
use crate::schema::Field;

/// The columns a plugin makes.
///
/// Derived with `#[derive(Output)]` on a struct with named fields. A field's
/// name is the name of the column, its doc comment the column's comment in
/// ClickHouse (one must be there), and its type the column's kind: [`Text`],
/// [`Int`], [`Float`], [`Timestamp`], [`Boolean`], or one of them in
/// [`Nullable`]; [`Texts`] is any number of text columns.
///
/// | attribute | does |
/// | --- | --- |
/// | `#[canopy(rename = "name")]` | gives the column another name |
/// | `#[canopy(low_cardinality)]` | text with fewer than about 10,000 distinct values: stored as `LowCardinality` |
///
/// A field without a doc comment does not compile:
///
/// ```compile_fail
/// use canopy_sdk::prelude::*;
///
/// #[derive(Output)]
/// struct Tags {
///     tenant: Text,
/// }
/// ```
///
/// A field that [`Plugin::row`](crate::Plugin::row) does not write is null in
/// that row where it is nullable, else empty, zero or false. What is written
/// twice keeps the last value.
pub trait Output: Sized {
    /// Returns the declared fields in their order.
    #[doc(hidden)]
    fn declare() -> Vec<Field>;

    /// Returns writers for the declared columns.
    #[doc(hidden)]
    fn new(fields: &[Field]) -> Self;

    /// Calls `visit` with each field's writer in order.
    #[doc(hidden)]
    fn visit(&mut self, visit: &mut dyn FnMut(&mut dyn Writer));

    /// Ends the current row in every column.
    #[doc(hidden)]
    fn finish_row(&mut self);

    /// Forgets what was written to the current row.
    #[doc(hidden)]
    fn clear_row(&mut self);
}

/// A type that a field of an [`Output`] can have.
pub trait Writer {
    /// Forgets what was written to the current row.
    #[doc(hidden)]
    fn clear_row(&mut self);

    /// Ends the current row.
    #[doc(hidden)]
    fn finish_row(&mut self);

    /// Makes room for `rows` rows as long as those before.
    #[doc(hidden)]
    fn reserve(&mut self, rows: usize);

    /// Keeps the first `rows` rows.
    #[doc(hidden)]
    fn truncate(&mut self, rows: usize);

    /// Moves the columns out and starts over.
    #[doc(hidden)]
    fn take(&mut self, columns: &mut Vec<Column>);
}

/// How a field's type is declared and made.
#[doc(hidden)]
pub trait Declared: Writer {
    const KIND: Kind;
    const NULLABLE: bool = false;
    const LIST: bool = false;

    /// Returns a writer for as many columns as a list has.
    fn with_columns(columns: usize) -> Self;
}

/// Declares a field.
#[doc(hidden)]
pub fn field<T: Declared>(
    name: &'static str,
    column: &'static str,
    low_cardinality: bool,
    doc: &'static str,
) -> Field {
    Field {
        name,
        kind: T::KIND,
        nullable: T::NULLABLE,
        low_cardinality,
        doc,
        list: T::LIST,
        columns: if T::LIST {
            Vec::new()
        } else {
            vec![column.to_owned()]
        },
    }
}

/// Makes the writer of a field.
#[doc(hidden)]
pub fn writer<T: Declared>(fields: &[Field], name: &str) -> T {
    let columns = fields.iter().find(|field| field.name == name);
    T::with_columns(columns.map_or(0, |field| field.columns.len()))
}

/// The output of a plugin that makes no column, such as one that only drops
/// rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoOutput;

impl Output for NoOutput {
    fn declare() -> Vec<Field> {
        Vec::new()
    }
    fn new(_: &[Field]) -> Self {
        NoOutput
    }
    fn visit(&mut self, _: &mut dyn FnMut(&mut dyn Writer)) {}
    fn finish_row(&mut self) {}
    fn clear_row(&mut self) {}
}

/// A text column. The current row's text grows in place at the end of the
/// column: [`Text::set`], [`Text::push_str`], [`write!`].
#[derive(Clone, Debug)]
pub struct Text {
    /// One entry per finished row, and the leading 0.
    offsets: Vec<u32>,
    bytes: String,
    /// Where the current row starts.
    start: usize,
    /// What the last batch took, as a guess for the next.
    last_bytes: usize,
}

impl Default for Text {
    fn default() -> Self {
        Text {
            offsets: vec![0],
            bytes: String::new(),
            start: 0,
            last_bytes: 0,
        }
    }
}

impl Text {
    /// Makes `text` the row's value.
    #[inline]
    pub fn set(&mut self, text: &str) {
        self.clear();
        self.bytes.push_str(text);
    }

    /// Appends to the row's value.
    #[inline]
    pub fn push_str(&mut self, text: &str) {
        self.bytes.push_str(text);
    }

    /// Appends a character to the row's value.
    #[inline]
    pub fn push(&mut self, character: char) {
        self.bytes.push(character);
    }

    /// Makes the row's value empty.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.truncate(self.start);
    }

    /// Returns what was written to the row so far.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.bytes[self.start..]
    }

    /// Shortens the row's value to its first `len` bytes; does nothing where
    /// it has no more.
    ///
    /// # Panics
    ///
    /// If that would split a character.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.start.saturating_add(len));
    }

    /// Turns the row's ASCII letters to lower case.
    #[inline]
    pub fn make_ascii_lowercase(&mut self) {
        self.bytes[self.start..].make_ascii_lowercase();
    }

    pub(crate) fn into_column(mut self) -> TextColumn {
        self.take_column()
    }

    fn take_column(&mut self) -> TextColumn {
        self.bytes.truncate(self.start);
        self.last_bytes = self.bytes.len();
        self.start = 0;
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let bytes = std::mem::take(&mut self.bytes).into_bytes();
        // SAFETY: the bytes were a `String` whose rows end where a `push_str`
        // or `push` ended, so each row is valid UTF-8.
        unsafe { TextColumn::new_unchecked(offsets, bytes) }
    }
}

impl fmt::Write for Text {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

impl Writer for Text {
    #[inline]
    fn clear_row(&mut self) {
        self.clear();
    }

    #[inline]
    fn finish_row(&mut self) {
        self.start = self.bytes.len();
        // The host refuses far less than 4 GiB, and a component cannot hold it.
        self.offsets.push(self.start as u32);
    }

    fn reserve(&mut self, rows: usize) {
        self.offsets.reserve(rows);
        self.bytes.reserve(self.last_bytes + self.last_bytes / 8);
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.start = self.offsets.last().map_or(0, |&end| end as usize);
        self.bytes.truncate(self.start);
    }

    fn take(&mut self, columns: &mut Vec<Column>) {
        columns.push(Column {
            values: Values::Text(self.take_column()),
            validity: None,
        });
    }
}

impl Declared for Text {
    const KIND: Kind = Kind::Text;

    fn with_columns(_: usize) -> Self {
        Text::default()
    }
}

/// Defines the writer of a kind that has one number per row.
macro_rules! numbers {
    ($(#[$doc:meta])* $writer:ident, $type:ty, $raw:ty, $kind:ident, |$value:ident| $to_raw:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub struct $writer {
            values: Vec<$raw>,
            current: $raw,
        }

        impl $writer {
            /// Makes this the row's value.
            #[inline]
            pub fn set(&mut self, $value: $type) {
                self.current = $to_raw;
            }
        }

        impl Writer for $writer {
            #[inline]
            fn clear_row(&mut self) {
                self.current = Default::default();
            }

            #[inline]
            fn finish_row(&mut self) {
                self.values.push(std::mem::take(&mut self.current));
            }

            fn reserve(&mut self, rows: usize) {
                self.values.reserve(rows);
            }

            fn truncate(&mut self, rows: usize) {
                self.values.truncate(rows);
            }

            fn take(&mut self, columns: &mut Vec<Column>) {
                columns.push(Column {
                    values: Values::$kind(std::mem::take(&mut self.values)),
                    validity: None,
                });
            }
        }

        impl Declared for $writer {
            const KIND: Kind = Kind::$kind;

            fn with_columns(_: usize) -> Self {
                Self::default()
            }
        }

        impl Nullable<$writer> {
            /// Makes this the row's value; `None` is null.
            #[inline]
            pub fn set(&mut self, value: impl Into<Option<$type>>) {
                match value.into() {
                    Some(value) => {
                        self.writer.set(value);
                        self.present = true;
                    }
                    None => self.clear_row(),
                }
            }
        }
    };
}

numbers!(
    /// A column of 64-bit integers.
    Int, i64, i64, Int, |value| value);
numbers!(
    /// A column of 64-bit floats.
    Float, f64, f64, Float, |value| value);
numbers!(
    /// A column of moments; see [`Millis`].
    Timestamp, Millis, i64, Timestamp, |value| value.0);

/// A column of truth values.
#[derive(Clone, Debug, Default)]
pub struct Boolean {
    bits: Bits,
    current: bool,
}

impl Boolean {
    /// Makes this the row's value.
    #[inline]
    pub fn set(&mut self, value: bool) {
        self.current = value;
    }
}

impl Writer for Boolean {
    #[inline]
    fn clear_row(&mut self) {
        self.current = false;
    }

    #[inline]
    fn finish_row(&mut self) {
        self.bits.push(std::mem::take(&mut self.current));
    }

    fn reserve(&mut self, _: usize) {}

    fn truncate(&mut self, rows: usize) {
        self.bits.truncate(rows);
    }

    fn take(&mut self, columns: &mut Vec<Column>) {
        columns.push(Column {
            values: Values::Boolean(self.bits.take()),
            validity: None,
        });
    }
}

impl Declared for Boolean {
    const KIND: Kind = Kind::Boolean;

    fn with_columns(_: usize) -> Self {
        Self::default()
    }
}

impl Nullable<Boolean> {
    /// Makes this the row's value; `None` is null.
    #[inline]
    pub fn set(&mut self, value: impl Into<Option<bool>>) {
        match value.into() {
            Some(value) => {
                self.writer.set(value);
                self.present = true;
            }
            None => self.clear_row(),
        }
    }
}

/// A column whose rows may be null, and are where nothing was written.
#[derive(Clone, Debug, Default)]
pub struct Nullable<W> {
    writer: W,
    present: bool,
    validity: Validity,
}

impl<W: Writer> Nullable<W> {
    /// Makes the row null.
    #[inline]
    pub fn set_null(&mut self) {
        self.clear_row();
    }
}

impl Nullable<Text> {
    /// Makes `text` the row's value; `None` is null.
    #[inline]
    pub fn set<'t>(&mut self, text: impl Into<Option<&'t str>>) {
        match text.into() {
            Some(text) => {
                self.writer.set(text);
                self.present = true;
            }
            None => self.clear_row(),
        }
    }

    /// Returns the row's value to append to; it is not null from then on.
    #[inline]
    pub fn text(&mut self) -> &mut Text {
        self.present = true;
        &mut self.writer
    }

    /// Appends to the row's value, which is not null from then on.
    #[inline]
    pub fn push_str(&mut self, text: &str) {
        self.text().push_str(text);
    }

    /// Appends a character to the row's value, which is not null from then on.
    #[inline]
    pub fn push(&mut self, character: char) {
        self.text().push(character);
    }

    /// Returns what was written to the row so far; empty where it is null.
    #[inline]
    pub fn as_str(&self) -> &str {
        self.writer.as_str()
    }
}

impl fmt::Write for Nullable<Text> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

impl<W: Writer> Writer for Nullable<W> {
    #[inline]
    fn clear_row(&mut self) {
        self.writer.clear_row();
        self.present = false;
    }

    #[inline]
    fn finish_row(&mut self) {
        self.writer.finish_row();
        self.validity.push(std::mem::take(&mut self.present));
    }

    fn reserve(&mut self, rows: usize) {
        self.writer.reserve(rows);
    }

    fn truncate(&mut self, rows: usize) {
        self.writer.truncate(rows);
        self.validity.truncate(rows);
    }

    fn take(&mut self, columns: &mut Vec<Column>) {
        let first = columns.len();
        self.writer.take(columns);
        columns[first].validity = self.validity.take();
    }
}

impl<W: Declared> Declared for Nullable<W> {
    const KIND: Kind = W::KIND;
    const NULLABLE: bool = true;

    fn with_columns(columns: usize) -> Self {
        const {
            assert!(
                !W::LIST && !W::NULLABLE,
                "only a single column can be nullable"
            )
        }
        Nullable {
            writer: W::with_columns(columns),
            present: false,
            validity: Validity::default(),
        }
    }
}

/// Any number of nullable text columns, named by the configuration with
/// [`Schema::output_list`](crate::Schema::output_list). Reads like a slice;
/// [`Texts::at`] gives the column to write to.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    columns: Vec<Nullable<Text>>,
}

impl Texts {
    /// Returns column `column`, in the order in which they were named.
    ///
    /// # Panics
    ///
    /// If there is no such column.
    #[inline]
    pub fn at(&mut self, column: usize) -> &mut Nullable<Text> {
        &mut self.columns[column]
    }

    /// Returns each column in the order in which they were named.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Nullable<Text>> {
        self.columns.iter_mut()
    }
}

impl Deref for Texts {
    type Target = [Nullable<Text>];

    fn deref(&self) -> &Self::Target {
        &self.columns
    }
}

impl Writer for Texts {
    fn clear_row(&mut self) {
        self.columns.iter_mut().for_each(Writer::clear_row);
    }

    fn finish_row(&mut self) {
        self.columns.iter_mut().for_each(Writer::finish_row);
    }

    fn reserve(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|text| text.reserve(rows));
    }

    fn truncate(&mut self, rows: usize) {
        self.columns
            .iter_mut()
            .for_each(|text| Writer::truncate(text, rows));
    }

    fn take(&mut self, columns: &mut Vec<Column>) {
        self.columns.iter_mut().for_each(|text| text.take(columns));
    }
}

impl Declared for Texts {
    const KIND: Kind = Kind::Text;
    const NULLABLE: bool = true;
    const LIST: bool = true;

    fn with_columns(columns: usize) -> Self {
        Texts {
            columns: vec![Nullable::default(); columns],
        }
    }
}
