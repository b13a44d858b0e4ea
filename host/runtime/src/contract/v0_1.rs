//! Contract 0.1: the Rust side of `wit/plugin.wit`, item for item.
//!
//! Written by hand rather than with `bindgen!` so that each direction gets the
//! type that costs least: inputs borrow slices of Arrow buffers, which wasmtime
//! copies into the guest in bulk, one copy a list; outputs are plain `Vec`s,
//! one bulk copy each, which become Arrow buffers without another.
//! (`WasmList`, which borrows guest memory, cannot be used for results:
//! wasmtime 48 runs the guest's post-return, which frees them, inside `call`.)

use std::sync::Arc;

use wasmtime::component::{ComponentType, Instance, Lift, Linker, Lower, TypedFunc, WasmStr};
use wasmtime::{AsContextMut, StoreContextMut};

use crate::instance::{GuestState, is_lower_name};

/// The interface every plugin may import, under the newest version known.
const HOST_INTERFACE: &str = "canopy:plugin/host@0.1.0";

/// `types.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "lifting makes the variants from their numbers")]
pub(crate) enum Kind {
    #[component(name = "text")]
    Text,
    #[component(name = "int")]
    Int,
    #[component(name = "float")]
    Float,
    #[component(name = "timestamp")]
    Timestamp,
    #[component(name = "boolean")]
    Boolean,
}

impl From<Kind> for canopy_batch::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Text => canopy_batch::Kind::Text,
            Kind::Int => canopy_batch::Kind::Int,
            Kind::Float => canopy_batch::Kind::Float,
            Kind::Timestamp => canopy_batch::Kind::Timestamp,
            Kind::Boolean => canopy_batch::Kind::Boolean,
        }
    }
}

/// `types.text` on its way in.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct TextIn<'a> {
    pub(crate) offsets: &'a [u32],
    pub(crate) bytes: &'a [u8],
}

/// `types.values` on its way in.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(variant)]
pub(crate) enum ValuesIn<'a> {
    #[component(name = "text")]
    Text(TextIn<'a>),
    #[component(name = "int")]
    Int(&'a [i64]),
    #[component(name = "float")]
    Float(&'a [f64]),
    #[component(name = "timestamp")]
    Timestamp(&'a [i64]),
    #[component(name = "boolean")]
    Boolean(&'a [u8]),
}

/// `types.column` on its way in.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct ColumnIn<'a> {
    pub(crate) values: ValuesIn<'a>,
    pub(crate) validity: Option<&'a [u8]>,
}

/// `types.text` on its way out, unchecked.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct TextOut {
    pub(crate) offsets: Vec<u32>,
    pub(crate) bytes: Vec<u8>,
}

/// `types.values` on its way out, unchecked.
#[derive(Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum ValuesOut {
    #[component(name = "text")]
    Text(TextOut),
    #[component(name = "int")]
    Int(Vec<i64>),
    #[component(name = "float")]
    Float(Vec<f64>),
    #[component(name = "timestamp")]
    Timestamp(Vec<i64>),
    #[component(name = "boolean")]
    Boolean(Vec<u8>),
}

impl ValuesOut {
    /// Returns the kind of the values.
    pub(crate) fn kind(&self) -> canopy_batch::Kind {
        match self {
            ValuesOut::Text(_) => canopy_batch::Kind::Text,
            ValuesOut::Int(_) => canopy_batch::Kind::Int,
            ValuesOut::Float(_) => canopy_batch::Kind::Float,
            ValuesOut::Timestamp(_) => canopy_batch::Kind::Timestamp,
            ValuesOut::Boolean(_) => canopy_batch::Kind::Boolean,
        }
    }
}

/// `types.column` on its way out, unchecked.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct ColumnOut {
    pub(crate) values: ValuesOut,
    pub(crate) validity: Option<Vec<u8>>,
}

/// `types.rejected-row`.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct RejectedRow {
    pub(crate) row: u32,
    pub(crate) reason: String,
}

/// `types.output`, unchecked.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Output {
    pub(crate) columns: Vec<ColumnOut>,
    #[component(name = "source-rows")]
    pub(crate) source_rows: Option<Vec<u32>>,
    pub(crate) rejected: Vec<RejectedRow>,
}

/// `types.input-column`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InputColumn {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// `types.output-column`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct OutputColumn {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    #[component(name = "low-cardinality")]
    pub(crate) low_cardinality: bool,
    pub(crate) doc: String,
}

/// `types.schema`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Schema {
    pub(crate) inputs: Vec<InputColumn>,
    pub(crate) outputs: Vec<OutputColumn>,
}

/// `types.purity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "lifting makes the variants from their numbers")]
pub(crate) enum Purity {
    #[component(name = "per-row")]
    PerRow,
    #[component(name = "per-distinct")]
    PerDistinct,
}

/// `types.data-file`.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct DataFile {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) required: bool,
}

/// `types.descriptor`.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Descriptor {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    #[component(name = "config-schema")]
    pub(crate) config_schema: String,
    pub(crate) data: Vec<DataFile>,
    pub(crate) purity: Purity,
}

/// `types.config-error`.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct ConfigError {
    pub(crate) key: String,
    pub(crate) message: String,
}

/// `types.data-error`.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct DataError {
    pub(crate) name: String,
    pub(crate) message: String,
}

/// `types.input-error`.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InputError {
    pub(crate) row: u32,
    pub(crate) message: String,
}

/// `types.error`.
#[derive(Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Error {
    #[component(name = "config")]
    Config(ConfigError),
    #[component(name = "data")]
    Data(DataError),
    #[component(name = "input")]
    Input(InputError),
    #[component(name = "other")]
    Other(String),
}

/// `types.read-error`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum ReadError {
    #[component(name = "not-granted")]
    NotGranted,
    #[component(name = "unreadable")]
    Unreadable,
}

/// `types.level`.
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "lifting makes the variants from their numbers")]
enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl From<Level> for crate::metrics::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => crate::metrics::Level::Debug,
            Level::Info => crate::metrics::Level::Info,
            Level::Warn => crate::metrics::Level::Warn,
            Level::Error => crate::metrics::Level::Error,
        }
    }
}

/// Offers the `host` interface to guests: `log`, `count` and `read-data`.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut host = linker.instance(HOST_INTERFACE)?;
    host.func_wrap(
        "log",
        |mut store: StoreContextMut<'_, GuestState>, (level, message): (Level, WasmStr)| {
            let message = match store.data().log_has_room_for(0) {
                true => message.to_str(&store)?,
                false => "".into(),
            };
            // What is not kept is not copied either.
            if store.data().log_has_room_for(message.len()) {
                let message = message.into_owned();
                store.data_mut().log(level.into(), message);
            } else {
                store.data_mut().skip_log_line();
            }
            Ok(())
        },
    )?;
    host.func_wrap(
        "count",
        |mut store: StoreContextMut<'_, GuestState>, (metric, delta): (WasmStr, u64)| {
            let metric = metric.to_str(&store)?;
            let metric = is_lower_name(&metric).then(|| metric.into_owned());
            store.data_mut().count(metric, delta);
            Ok(())
        },
    )?;
    host.func_wrap(
        "read-data",
        |store: StoreContextMut<'_, GuestState>, (name,): (String,)| {
            let bytes: Result<Arc<[u8]>, ReadError> = store.data().read_data(&name);
            Ok((bytes,))
        },
    )
}

type Describe = TypedFunc<(), (Descriptor,)>;
type Configure = TypedFunc<(&'static str,), (Result<Schema, Error>,)>;
type Transform = TypedFunc<(u32, &'static [ColumnIn<'static>]), (Result<Output, Error>,)>;

/// The functions of an instance's `guest` interface, types checked.
pub(crate) struct Guest {
    describe: Describe,
    configure: Configure,
    transform: Transform,
}

impl Guest {
    /// Looks the functions up under `interface`, the name under which the
    /// component exports `guest`.
    pub(crate) fn find(
        mut store: impl AsContextMut<Data = GuestState>,
        instance: &Instance,
        interface: &str,
    ) -> wasmtime::Result<Self> {
        let guest = instance.get_export_index(&mut store, None, interface);
        let mut function = |name: &str| {
            guest
                .as_ref()
                .and_then(|guest| instance.get_export_index(&mut store, Some(guest), name))
                .ok_or_else(|| wasmtime::format_err!("`{interface}` has no function `{name}`"))
        };
        let (describe, configure, transform) = (
            function("describe")?,
            function("configure")?,
            function("transform")?,
        );
        Ok(Guest {
            describe: instance.get_typed_func(&mut store, describe)?,
            configure: instance.get_typed_func(&mut store, configure)?,
            transform: instance.get_typed_func(&mut store, transform)?,
        })
    }

    /// Calls `describe`.
    pub(crate) fn describe(
        &self,
        store: impl AsContextMut<Data = GuestState>,
    ) -> wasmtime::Result<Descriptor> {
        Ok(self.describe.call(store, ())?.0)
    }

    /// Calls `configure`.
    pub(crate) fn configure(
        &self,
        store: impl AsContextMut<Data = GuestState>,
        config_json: &str,
    ) -> wasmtime::Result<Result<Schema, Error>> {
        // Parameters are only ever copied into the guest during the call, so
        // the function is covariant in them and takes shorter borrows.
        let configure: TypedFunc<(&str,), _> = self.configure;
        Ok(configure.call(store, (config_json,))?.0)
    }

    /// Calls `transform`.
    pub(crate) fn transform(
        &self,
        store: impl AsContextMut<Data = GuestState>,
        rows: u32,
        inputs: &[ColumnIn<'_>],
    ) -> wasmtime::Result<Result<Output, Error>> {
        let transform: TypedFunc<(u32, &[ColumnIn<'_>]), _> = self.transform;
        Ok(transform.call(store, (rows, inputs))?.0)
    }
}
