//! Reading: a row of borrowed values out of the columns of a batch.
//!
//! `#[derive(Input)]` does the work; the types a field can have are those that
//! implement [`Read`].

use crate::columns::{Column, Kind, Millis, TextColumn, Values, bit};
use crate::error::Error;
use crate::schema::Field;

/// A row of the columns a plugin reads, borrowed from the batch for `'a`.
///
/// Derived with `#[derive(Input)]` on a struct with named fields. A field's
/// name is the name of the column (`#[canopy(rename = "name")]` gives another)
/// and its type says how it is read:
///
/// | type | column's kind | a null is |
/// | --- | --- | --- |
/// | `&'a str`, `Option<&'a str>` | text | `""`, `None` |
/// | `i64`, `Option<i64>` | int | `0`, `None` |
/// | `f64`, `Option<f64>` | float | `0.0`, `None` |
/// | [`Millis`], `Option<Millis>` | timestamp | the epoch, `None` |
/// | `bool`, `Option<bool>` | boolean | `false`, `None` |
/// | [`TextList<'a>`] | any number of text columns, named by the configuration | |
pub trait Input<'a>: Sized {
    /// The columns of a batch, ready to be read.
    #[doc(hidden)]
    type Columns;

    /// Returns the declared fields in their order.
    #[doc(hidden)]
    fn declare() -> Vec<Field>;

    /// Finds the columns of a batch.
    #[doc(hidden)]
    fn bind(columns: &mut Binder<'a>) -> Result<Self::Columns, Error>;

    /// Reads row `row`, which must be below the batch's row count.
    #[doc(hidden)]
    fn row(columns: &Self::Columns, row: usize) -> Self;
}

/// A type that a field of an [`Input`] can have.
pub trait Read<'a>: Sized {
    /// What the column holds.
    const KIND: Kind;
    /// Whether the field stands for any number of columns.
    const LIST: bool = false;
    /// Where the values of a batch are.
    #[doc(hidden)]
    type Column;

    /// Takes the field's columns.
    #[doc(hidden)]
    fn bind(columns: &[&'a Column]) -> Option<Self::Column>;

    /// Reads one row.
    #[doc(hidden)]
    fn get(column: &Self::Column, row: usize) -> Self;
}

/// Hands out the columns of a batch to the fields that declared them.
#[doc(hidden)]
#[derive(Debug)]
pub struct Binder<'a> {
    fields: std::slice::Iter<'a, Field>,
    columns: std::slice::Iter<'a, Column>,
    rows: usize,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(fields: &'a [Field], columns: &'a [Column], rows: usize) -> Self {
        Binder {
            fields: fields.iter(),
            columns: columns.iter(),
            rows,
        }
    }

    /// Binds the next field.
    pub fn column<T: Read<'a>>(&mut self) -> Result<T::Column, Error> {
        let wrong = |name: &str| {
            Error::other(format_args!(
                "the host gave no whole {} column for `{name}`",
                T::KIND
            ))
        };
        let field = self.fields.next().ok_or_else(|| wrong("a field"))?;
        let mut bound = Vec::with_capacity(field.columns.len());
        for name in &field.columns {
            let column = self.columns.next().ok_or_else(|| wrong(name))?;
            if column.values.kind() != T::KIND || !column.values.holds(self.rows) {
                return Err(wrong(name));
            }
            bound.push(column);
        }
        T::bind(&bound).ok_or_else(|| wrong(field.name))
    }
}

/// Declares a field.
#[doc(hidden)]
pub fn field<'a, T: Read<'a>>(name: &'static str, column: &'static str) -> Field {
    Field {
        name,
        kind: T::KIND,
        nullable: true,
        low_cardinality: false,
        doc: "",
        list: T::LIST,
        columns: if T::LIST {
            Vec::new()
        } else {
            vec![column.to_owned()]
        },
    }
}

/// The values of a column, and which of them are present.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Present<'a, V> {
    values: V,
    /// Absent: none is null. A column that was left out is an empty bitmap
    /// here: all rows are null.
    validity: Option<&'a [u8]>,
}

impl<V> Present<'_, V> {
    #[inline]
    fn has(&self, row: usize) -> bool {
        self.validity.is_none_or(|bits| bit(bits, row))
    }
}

/// Defines how one kind of value is read, plain and optional.
macro_rules! read {
    ($type:ty, $kind:ident, $values:ty, $variant:ident($bound:ident) => $bind:expr,
     |$column:ident, $row:ident| $get:expr, else $empty:expr) => {
        impl<'a> Read<'a> for $type {
            const KIND: Kind = Kind::$kind;
            type Column = Present<'a, $values>;

            #[inline]
            fn bind(columns: &[&'a Column]) -> Option<Self::Column> {
                let Some(column) = columns.first() else {
                    return Some(Present {
                        values: Default::default(),
                        validity: Some(&[]),
                    });
                };
                match &column.values {
                    Values::$variant($bound) => Some(Present {
                        values: $bind,
                        validity: column.validity.as_deref(),
                    }),
                    _ => None,
                }
            }

            #[inline]
            fn get($column: &Self::Column, $row: usize) -> Self {
                if $column.has($row) { $get } else { $empty }
            }
        }

        impl<'a> Read<'a> for Option<$type> {
            const KIND: Kind = Kind::$kind;
            type Column = Present<'a, $values>;

            #[inline]
            fn bind(columns: &[&'a Column]) -> Option<Self::Column> {
                <$type as Read<'a>>::bind(columns)
            }

            #[inline]
            fn get($column: &Self::Column, $row: usize) -> Self {
                if $column.has($row) { Some($get) } else { None }
            }
        }
    };
}

read!(&'a str, Text, TextRows<'a>, Text(text) => TextRows::new(text),
    |column, row| column.values.get(row), else "");
read!(i64, Int, &'a [i64], Int(values) => values,
    |column, row| column.values[row], else 0);
read!(f64, Float, &'a [f64], Float(values) => values,
    |column, row| column.values[row], else 0.0);
read!(Millis, Timestamp, &'a [i64], Timestamp(values) => values,
    |column, row| Millis(column.values[row]), else Millis(0));
read!(bool, Boolean, &'a [u8], Boolean(bits) => bits,
    |column, row| bit(column.values, row), else false);

/// The rows of a text column.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TextRows<'a> {
    offsets: &'a [u32],
    bytes: &'a [u8],
}

impl<'a> TextRows<'a> {
    fn new(column: &'a TextColumn) -> Self {
        TextRows {
            offsets: column.offsets(),
            bytes: column.bytes(),
        }
    }

    #[inline]
    fn get(&self, row: usize) -> &'a str {
        let offsets = &self.offsets[row..row + 2];
        let bytes = &self.bytes[offsets[0] as usize..offsets[1] as usize];
        // SAFETY: `TextColumn` holds valid UTF-8 in the range of every row.
        unsafe { std::str::from_utf8_unchecked(bytes) }
    }
}

/// One row of any number of text columns, named by the configuration with
/// [`Schema::input_list`](crate::Schema::input_list).
#[derive(Clone, Debug)]
pub struct TextList<'a> {
    columns: std::rc::Rc<[Present<'a, TextRows<'a>>]>,
    row: usize,
}

impl<'a> TextList<'a> {
    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Returns the text in column `column`, in the order in which they were
    /// named; nothing where it is null.
    ///
    /// # Panics
    ///
    /// If there is no such column.
    pub fn get(&self, column: usize) -> Option<&'a str> {
        Read::get(&self.columns[column], self.row)
    }

    /// Returns the text of each column in the order in which they were named.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a str>> + '_ {
        self.columns
            .iter()
            .map(|column| Read::get(column, self.row))
    }
}

impl<'a> Read<'a> for TextList<'a> {
    const KIND: Kind = Kind::Text;
    const LIST: bool = true;
    type Column = std::rc::Rc<[Present<'a, TextRows<'a>>]>;

    fn bind(columns: &[&'a Column]) -> Option<Self::Column> {
        columns
            .iter()
            .map(|column| <&str>::bind(&[*column]))
            .collect()
    }

    fn get(columns: &Self::Column, row: usize) -> Self {
        TextList {
            columns: std::rc::Rc::clone(columns),
            row,
        }
    }
}
