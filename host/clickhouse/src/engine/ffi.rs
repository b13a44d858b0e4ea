//! The functions of libchdb's C interface, as chdb-core's `programs/local/chdb.h`
//! declares them.

use super::library::LibraryError;
use std::ffi::{c_char, c_int, c_void};
use std::path::Path;

#[repr(C)]
pub(super) struct RawResult {
    internal: *mut c_void,
}

/// An opaque pointer: a connection or an insert.
pub(super) type Handle = *mut c_void;

/// `chdb_query_analysis_v1`.
#[repr(C)]
#[derive(Default)]
pub(super) struct Analysis {
    pub(super) struct_size: u32,
    pub(super) statement_count: u32,
    pub(super) flags: u32,
    pub(super) query_class: u32,
}
macro_rules! api {
    ($($field:ident: $name:literal = fn($($argument:ty),*) $(-> $output:ty)?;)*) => {
        /// The functions of the C interface that Canopy calls.
        pub(super) struct Api { $(pub(super) $field: unsafe extern "C" fn($($argument),*) $(-> $output)?,)* }

        impl Api {
            /// # Safety
            ///
            /// `library` must be libchdb, so that the functions have these types,
            /// and must stay loaded as long as the value is used.
            pub(super) unsafe fn resolve(library: &libloading::Library, path: &Path) -> Result<Self, LibraryError> {
                Ok(Self {
                    $($field: {
                        // SAFETY: the caller vouches for the types.
                        let symbol = unsafe { library.get($name.as_bytes()) };
                        *symbol.map_err(|source| LibraryError::Symbol {
                            path: path.to_owned(),
                            symbol: $name,
                            source,
                        })?
                    },)*
                })
            }
        }
    };
}

api! {
    version: "chdb_version" = fn() -> *const c_char;
    set_signal_handlers_enabled: "chdb_set_signal_handlers_enabled" = fn(c_int);
    connect: "chdb_connect" = fn(c_int, *const *const c_char) -> *mut Handle;
    close: "chdb_close_conn" = fn(*mut Handle);
    shutdown: "chdb_shutdown" = fn() -> c_int;
    classify: "chdb_classify_query_n" = fn(Handle, *const c_char, usize, *const c_char, usize, *mut Analysis) -> c_int;
    query: "chdb_query_with_params_n" = fn(
        Handle, *const c_char, usize, *const c_char, usize,
        *const *const c_char, *const usize, *const *const c_char, *const usize, usize
    ) -> *mut RawResult;
    destroy_result: "chdb_destroy_query_result" = fn(*mut RawResult);
    result_buffer: "chdb_result_buffer" = fn(*mut RawResult) -> *const c_char;
    result_length: "chdb_result_length" = fn(*mut RawResult) -> usize;
    result_error: "chdb_result_error" = fn(*mut RawResult) -> *const c_char;
    result_elapsed: "chdb_result_elapsed" = fn(*mut RawResult) -> f64;
    result_rows: "chdb_result_rows_read" = fn(*mut RawResult) -> u64;
    result_bytes: "chdb_result_bytes_read" = fn(*mut RawResult) -> u64;
    storage_rows: "chdb_result_storage_rows_read" = fn(*mut RawResult) -> u64;
    storage_bytes: "chdb_result_storage_bytes_read" = fn(*mut RawResult) -> u64;
    written_rows: "chdb_result_rows_written" = fn(*mut RawResult) -> u64;
    written_bytes: "chdb_result_bytes_written" = fn(*mut RawResult) -> u64;
    insert: "chdb_stream_insert_with_params_n" = fn(
        Handle, *const c_char, usize, *const c_char, usize,
        *const *const c_char, *const usize, *const *const c_char, *const usize, usize
    ) -> Handle;
    insert_append: "chdb_stream_append" = fn(Handle, *const c_void, usize) -> c_int;
    insert_done: "chdb_stream_done" = fn(Handle) -> *mut RawResult;
    insert_cancel: "chdb_stream_cancel_insert" = fn(Handle);
    insert_error: "chdb_stream_insert_error" = fn(Handle) -> *const c_char;
    destroy_insert: "chdb_destroy_insert_stream" = fn(Handle);
}
