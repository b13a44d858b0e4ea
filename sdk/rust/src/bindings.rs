//! The boundary: generated from the contract, and the way from its types to
//! the SDK's. Exists only inside a component.

#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

use std::cell::RefCell;

use crate::columns::{Column, Kind, TextColumn, Values};
use crate::error::Error;
use crate::host::Data;
use crate::plugin::{Instance, Package, Plugin};
use crate::row::Transformed;
use crate::schema::{Purity, Schema};

wit_bindgen::generate!({
    path: "wit",
    world: "plugin",
    pub_export_macro: true,
    default_bindings_module: "canopy_sdk::bindings",
    export_macro_name: "export_component",
});

use canopy::plugin::types as wit;
pub use exports::canopy::plugin::guest::Guest;

pub type State<P> = RefCell<Option<Instance<P>>>;

pub fn describe<P: Plugin + Package>() -> wit::Descriptor {
    wit::Descriptor {
        name: P::NAME.to_owned(),
        version: P::VERSION.to_owned(),
        summary: P::SUMMARY.to_owned(),
        config_schema: crate::config::schema::<P::Config>(),
        data: P::DATA
            .iter()
            .map(|file| wit::DataFile {
                name: file.name.to_owned(),
                doc: file.doc.to_owned(),
                required: file.required,
            })
            .collect(),
        purity: match P::PURITY {
            Purity::PerRow => wit::Purity::PerRow,
            Purity::PerDistinct => wit::Purity::PerDistinct,
        },
    }
}

pub fn configure<P: Plugin>(state: &State<P>, config: &str) -> Result<wit::Schema, wit::Error> {
    crate::host::log_panics();
    let instance = Instance::new(config, &Data::of_host())?;
    let schema = instance.schema().into();
    state.replace(Some(instance));
    Ok(schema)
}

pub fn transform<P: Plugin>(
    state: &State<P>,
    rows: u32,
    inputs: Vec<wit::Column>,
) -> Result<wit::Output, wit::Error> {
    let inputs: Vec<Column> = inputs.into_iter().map(Into::into).collect();
    let mut state = state.borrow_mut();
    let Some(instance) = state.as_mut() else {
        return Err(Error::other("transform was called before configure").into());
    };
    Ok(instance.transform(rows, &inputs)?.into())
}

impl From<wit::Column> for Column {
    fn from(column: wit::Column) -> Self {
        let values = match column.values {
            // SAFETY: the contract says that each row is valid UTF-8 by
            // itself, and the host, which gives text out of Arrow arrays that
            // were checked when they were made, is trusted: it can do whatever
            // it likes to the guest's memory anyway.
            wit::Values::Text(text) => {
                Values::Text(unsafe { TextColumn::new_unchecked(text.offsets, text.bytes) })
            }
            wit::Values::Int(values) => Values::Int(values),
            wit::Values::Float(values) => Values::Float(values),
            wit::Values::Timestamp(values) => Values::Timestamp(values),
            wit::Values::Boolean(bits) => Values::Boolean(bits),
        };
        Column {
            values,
            validity: column.validity,
        }
    }
}

impl From<Column> for wit::Column {
    fn from(column: Column) -> Self {
        let values = match column.values {
            Values::Text(text) => {
                let (offsets, bytes) = text.into_parts();
                wit::Values::Text(wit::Text { offsets, bytes })
            }
            Values::Int(values) => wit::Values::Int(values),
            Values::Float(values) => wit::Values::Float(values),
            Values::Timestamp(values) => wit::Values::Timestamp(values),
            Values::Boolean(bits) => wit::Values::Boolean(bits),
        };
        wit::Column {
            values,
            validity: column.validity,
        }
    }
}

impl From<Transformed> for wit::Output {
    fn from(transformed: Transformed) -> Self {
        wit::Output {
            columns: transformed.columns.into_iter().map(Into::into).collect(),
            source_rows: transformed.source_rows,
            rejected: transformed
                .rejected
                .into_iter()
                .map(|(row, reason)| wit::RejectedRow { row, reason })
                .collect(),
        }
    }
}

impl From<Kind> for wit::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Text => wit::Kind::Text,
            Kind::Int => wit::Kind::Int,
            Kind::Float => wit::Kind::Float,
            Kind::Timestamp => wit::Kind::Timestamp,
            Kind::Boolean => wit::Kind::Boolean,
        }
    }
}

impl From<&Schema> for wit::Schema {
    fn from(schema: &Schema) -> Self {
        wit::Schema {
            inputs: schema
                .inputs()
                .map(|(name, kind)| wit::InputColumn {
                    name: name.to_owned(),
                    kind: kind.into(),
                })
                .collect(),
            outputs: schema
                .outputs()
                .map(|(name, field)| wit::OutputColumn {
                    name: name.to_owned(),
                    kind: field.kind.into(),
                    nullable: field.nullable,
                    low_cardinality: field.low_cardinality,
                    doc: field.doc.to_owned(),
                })
                .collect(),
        }
    }
}

impl From<Error> for wit::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Config { key, message } => wit::Error::Config(wit::ConfigError { key, message }),
            Error::Data { name, message } => wit::Error::Data(wit::DataError { name, message }),
            Error::Other(message) => wit::Error::Other(message),
        }
    }
}
