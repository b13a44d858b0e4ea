//! CloudFront's fields and the columns they become.
//!
//! [`FIELDS`] is the one list of CloudFront's real-time log fields, in the
//! order in which CloudFront delivers them. Every other log format is mapped
//! onto these columns, so that a column means the same thing wherever its
//! value came from.

use std::borrow::Cow;

use arrow_schema::{DataType, Field as ArrowField, TimeUnit};

/// How a column is held in memory, and with it how ClickHouse stores it.
///
/// Source of the choices: the CloudFront developer guide's field list; the
/// mapping to ClickHouse types is `canopy-clickhouse`'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// UTF-8 text, Arrow `Utf8`.
    Text,
    /// UTF-8 text with few distinct values (under about 10,000), Arrow `Utf8`.
    LowText,
    /// The text of an IPv4 or IPv6 address, Arrow `Utf8`. Every value parses
    /// as [`std::net::IpAddr`] or is empty.
    Ip,
    /// Arrow `UInt8`.
    UInt8,
    /// Arrow `UInt16`.
    UInt16,
    /// Arrow `UInt32`.
    UInt32,
    /// Arrow `UInt64`, values at most `i64::MAX` so that plugins can hold them.
    UInt64,
    /// Arrow `Int64`; what an integer column made by a plugin is.
    Int64,
    /// Arrow `Float32`.
    Float32,
    /// Arrow `Float64`; what a float column made by a plugin is.
    Float64,
    /// Milliseconds since the epoch, Arrow `Timestamp(Millisecond, "UTC")`.
    TimestampMs,
    /// Arrow `Boolean`.
    Bool,
}

/// What a plugin sees of a column: `kind` of the contract in `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Signed 64-bit integer.
    Int,
    /// 64-bit float.
    Float,
    /// Milliseconds since the epoch, UTC.
    Timestamp,
    /// True or false.
    Boolean,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Text => "text",
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Timestamp => "timestamp",
            Kind::Boolean => "boolean",
        })
    }
}

impl ColumnType {
    /// Returns the kind under which a plugin reads and writes this type.
    pub const fn kind(self) -> Kind {
        match self {
            ColumnType::Text | ColumnType::LowText | ColumnType::Ip => Kind::Text,
            ColumnType::UInt8
            | ColumnType::UInt16
            | ColumnType::UInt32
            | ColumnType::UInt64
            | ColumnType::Int64 => Kind::Int,
            ColumnType::Float32 | ColumnType::Float64 => Kind::Float,
            ColumnType::TimestampMs => Kind::Timestamp,
            ColumnType::Bool => Kind::Boolean,
        }
    }

    /// Returns the Arrow type of arrays of this type.
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::Text | ColumnType::LowText | ColumnType::Ip => DataType::Utf8,
            ColumnType::UInt8 => DataType::UInt8,
            ColumnType::UInt16 => DataType::UInt16,
            ColumnType::UInt32 => DataType::UInt32,
            ColumnType::UInt64 => DataType::UInt64,
            ColumnType::Int64 => DataType::Int64,
            ColumnType::Float32 => DataType::Float32,
            ColumnType::Float64 => DataType::Float64,
            ColumnType::TimestampMs => {
                DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
            }
            ColumnType::Bool => DataType::Boolean,
        }
    }
}

/// A column: its name, its type, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Lower-case letters, digits and `_`.
    pub name: Cow<'static, str>,
    /// How its values are held.
    pub column_type: ColumnType,
    /// Whether a row may be null. Where not, an absent value is the type's
    /// empty: `""`, `0`, the epoch, `false`, and `::` for an address.
    pub nullable: bool,
    /// One line saying what it is.
    pub doc: Cow<'static, str>,
}

impl Column {
    /// Returns the Arrow field of this column.
    pub fn arrow(&self) -> ArrowField {
        ArrowField::new(self.name.as_ref(), self.column_type.arrow(), self.nullable)
    }
}

/// One field of CloudFront's real-time logs.
#[derive(Clone, Debug)]
pub struct Field {
    /// CloudFront's name, such as `cs-uri-stem`.
    pub name: &'static str,
    /// The column its value becomes.
    pub column: Column,
    /// Whether CloudFront percent-encodes the value (once).
    pub encoded: bool,
}

const NULLABLE: bool = true;
const NOT_NULL: bool = false;
const ENCODED: bool = true;
const PLAIN: bool = false;

const fn field(
    name: &'static str,
    column: &'static str,
    column_type: ColumnType,
    nullable: bool,
    encoded: bool,
    doc: &'static str,
) -> Field {
    Field {
        name,
        column: Column {
            name: Cow::Borrowed(column),
            column_type,
            nullable,
            doc: Cow::Borrowed(doc),
        },
        encoded,
    }
}

use ColumnType::{Float32, Ip, LowText, Text, TimestampMs, UInt8, UInt16, UInt32, UInt64};

/// How many fields CloudFront's real-time logs have.
pub const FIELD_COUNT: usize = 71;

/// CloudFront's real-time log fields in the order of delivery, which CloudFront
/// keeps whatever order a configuration lists them in.
///
/// What `-` (absent) becomes: text becomes empty, an address `::`; a number
/// becomes 0 where CloudFront always sends it in normal traffic, and null where
/// its absence says something (no origin was asked, no range was sent).
///
/// One value is not what CloudFront sends: `cs_uri_stem` holds the path alone,
/// as in standard logs, although the real-time field carries the query string
/// too; the query is in `cs_uri_query`.
pub static FIELDS: [Field; FIELD_COUNT] = [
    field(
        "timestamp",
        "timestamp",
        TimestampMs,
        NOT_NULL,
        PLAIN,
        "When the edge finished responding, UTC, in milliseconds.",
    ),
    field(
        "c-ip",
        "c_ip",
        Ip,
        NOT_NULL,
        PLAIN,
        "The viewer's IP address, or its proxy's.",
    ),
    field(
        "s-ip",
        "s_ip",
        Ip,
        NOT_NULL,
        PLAIN,
        "The IP address of the CloudFront server; only in real-time logs.",
    ),
    field(
        "time-to-first-byte",
        "time_to_first_byte",
        Float32,
        NOT_NULL,
        PLAIN,
        "Seconds from receiving the request to the first byte of the response.",
    ),
    field(
        "sc-status",
        "sc_status",
        UInt16,
        NOT_NULL,
        PLAIN,
        "The HTTP status returned; 0 where the viewer closed before a response.",
    ),
    field(
        "sc-bytes",
        "sc_bytes",
        UInt64,
        NOT_NULL,
        PLAIN,
        "Bytes sent to the viewer, headers included.",
    ),
    field(
        "cs-method",
        "cs_method",
        LowText,
        NOT_NULL,
        PLAIN,
        "The HTTP method.",
    ),
    field(
        "cs-protocol",
        "cs_protocol",
        LowText,
        NOT_NULL,
        PLAIN,
        "The viewer's protocol: http, https, grpcs, ws or wss.",
    ),
    field(
        "cs-host",
        "cs_host",
        LowText,
        NOT_NULL,
        PLAIN,
        "The Host header the viewer sent: an alternate name or the distribution's domain.",
    ),
    field(
        "cs-uri-stem",
        "cs_uri_stem",
        Text,
        NOT_NULL,
        ENCODED,
        "The path of the URL, without the query string.",
    ),
    field(
        "cs-bytes",
        "cs_bytes",
        UInt64,
        NOT_NULL,
        PLAIN,
        "Bytes received from the viewer, headers included.",
    ),
    field(
        "x-edge-location",
        "x_edge_location",
        LowText,
        NOT_NULL,
        PLAIN,
        "The edge location's code, such as SFO53-P9.",
    ),
    field(
        "x-edge-request-id",
        "x_edge_request_id",
        Text,
        NOT_NULL,
        PLAIN,
        "CloudFront's opaque, unique id of the request.",
    ),
    field(
        "x-host-header",
        "x_host_header",
        LowText,
        NOT_NULL,
        PLAIN,
        "The distribution's domain name.",
    ),
    field(
        "time-taken",
        "time_taken",
        Float32,
        NOT_NULL,
        PLAIN,
        "Seconds from receiving the request to the last byte queued.",
    ),
    field(
        "cs-protocol-version",
        "cs_protocol_version",
        LowText,
        NOT_NULL,
        PLAIN,
        "The HTTP version the viewer spoke.",
    ),
    field(
        "c-ip-version",
        "c_ip_version",
        LowText,
        NOT_NULL,
        PLAIN,
        "IPv4 or IPv6.",
    ),
    field(
        "cs-user-agent",
        "cs_user_agent",
        Text,
        NOT_NULL,
        ENCODED,
        "The User-Agent header.",
    ),
    field(
        "cs-referer",
        "cs_referer",
        Text,
        NOT_NULL,
        ENCODED,
        "The Referer header.",
    ),
    field(
        "cs-cookie",
        "cs_cookie",
        Text,
        NOT_NULL,
        ENCODED,
        "The Cookie header, cut at 800 bytes by CloudFront.",
    ),
    field(
        "cs-uri-query",
        "cs_uri_query",
        Text,
        NOT_NULL,
        ENCODED,
        "The query string, without the question mark.",
    ),
    field(
        "x-edge-response-result-type",
        "x_edge_response_result_type",
        LowText,
        NOT_NULL,
        PLAIN,
        "How the response was classified just before it was sent.",
    ),
    field(
        "x-forwarded-for",
        "x_forwarded_for",
        Text,
        NOT_NULL,
        ENCODED,
        "The viewer's address as reported by proxies.",
    ),
    field(
        "ssl-protocol",
        "ssl_protocol",
        LowText,
        NOT_NULL,
        PLAIN,
        "The TLS version; empty for plain http.",
    ),
    field(
        "ssl-cipher",
        "ssl_cipher",
        LowText,
        NOT_NULL,
        PLAIN,
        "The TLS cipher; empty for plain http.",
    ),
    field(
        "x-edge-result-type",
        "x_edge_result_type",
        LowText,
        NOT_NULL,
        PLAIN,
        "How the response was classified after the last byte: Hit, RefreshHit, Miss, Error and so on.",
    ),
    field(
        "fle-encrypted-fields",
        "fle_encrypted_fields",
        UInt16,
        NULLABLE,
        PLAIN,
        "How many fields field-level encryption encrypted.",
    ),
    field(
        "fle-status",
        "fle_status",
        LowText,
        NOT_NULL,
        PLAIN,
        "The outcome of field-level encryption.",
    ),
    field(
        "sc-content-type",
        "sc_content_type",
        LowText,
        NOT_NULL,
        ENCODED,
        "The response's Content-Type.",
    ),
    field(
        "sc-content-len",
        "sc_content_len",
        UInt64,
        NULLABLE,
        PLAIN,
        "The response's Content-Length; null where it had none.",
    ),
    field(
        "sc-range-start",
        "sc_range_start",
        UInt64,
        NULLABLE,
        PLAIN,
        "Start of the response's Content-Range; null where it had none.",
    ),
    field(
        "sc-range-end",
        "sc_range_end",
        UInt64,
        NULLABLE,
        PLAIN,
        "End of the response's Content-Range; null where it had none.",
    ),
    field(
        "c-port",
        "c_port",
        UInt16,
        NOT_NULL,
        PLAIN,
        "The viewer's port.",
    ),
    field(
        "x-edge-detailed-result-type",
        "x_edge_detailed_result_type",
        LowText,
        NOT_NULL,
        PLAIN,
        "The result type with the detail of errors.",
    ),
    field(
        "c-country",
        "c_country",
        LowText,
        NOT_NULL,
        PLAIN,
        "The viewer's country by its address, ISO 3166-1 alpha-2.",
    ),
    field(
        "cs-accept-encoding",
        "cs_accept_encoding",
        LowText,
        NOT_NULL,
        ENCODED,
        "The Accept-Encoding header.",
    ),
    field(
        "cs-accept",
        "cs_accept",
        Text,
        NOT_NULL,
        ENCODED,
        "The Accept header.",
    ),
    field(
        "cache-behavior-path-pattern",
        "cache_behavior_path_pattern",
        LowText,
        NOT_NULL,
        ENCODED,
        "The path pattern of the cache behavior that matched.",
    ),
    field(
        "cs-headers",
        "cs_headers",
        Text,
        NOT_NULL,
        ENCODED,
        "The request's headers, name:value, one a line, cut at 800 bytes by CloudFront.",
    ),
    field(
        "cs-header-names",
        "cs_header_names",
        Text,
        NOT_NULL,
        ENCODED,
        "The names of the request's headers, one a line, cut at 800 bytes by CloudFront.",
    ),
    field(
        "cs-headers-count",
        "cs_headers_count",
        UInt16,
        NOT_NULL,
        PLAIN,
        "How many headers the request had.",
    ),
    field(
        "primary-distribution-id",
        "primary_distribution_id",
        LowText,
        NOT_NULL,
        PLAIN,
        "The primary distribution's id, under continuous deployment.",
    ),
    field(
        "primary-distribution-dns-name",
        "primary_distribution_dns_name",
        LowText,
        NOT_NULL,
        PLAIN,
        "The primary distribution's domain, under continuous deployment.",
    ),
    field(
        "origin-fbl",
        "origin_fbl",
        Float32,
        NULLABLE,
        PLAIN,
        "Seconds from CloudFront's request to the origin to its first byte; null where the origin was not asked.",
    ),
    field(
        "origin-lbl",
        "origin_lbl",
        Float32,
        NULLABLE,
        PLAIN,
        "Seconds from CloudFront's request to the origin to its last byte; null where the origin was not asked.",
    ),
    field(
        "asn",
        "asn",
        UInt32,
        NOT_NULL,
        PLAIN,
        "The viewer's autonomous system number; 0 where unknown.",
    ),
    field(
        "cmcd-encoded-bitrate",
        "cmcd_encoded_bitrate",
        UInt32,
        NULLABLE,
        PLAIN,
        "CMCD br: encoded bitrate, kbit/s.",
    ),
    field(
        "cmcd-buffer-length",
        "cmcd_buffer_length",
        UInt32,
        NULLABLE,
        PLAIN,
        "CMCD bl: buffer length, milliseconds.",
    ),
    field(
        "cmcd-buffer-starvation",
        "cmcd_buffer_starvation",
        LowText,
        NOT_NULL,
        PLAIN,
        "CMCD bs: whether the buffer ran dry since the last request.",
    ),
    field(
        "cmcd-content-id",
        "cmcd_content_id",
        Text,
        NOT_NULL,
        ENCODED,
        "CMCD cid: the content's id.",
    ),
    field(
        "cmcd-object-duration",
        "cmcd_object_duration",
        UInt32,
        NULLABLE,
        PLAIN,
        "CMCD d: duration of the object, milliseconds.",
    ),
    field(
        "cmcd-deadline",
        "cmcd_deadline",
        UInt32,
        NULLABLE,
        PLAIN,
        "CMCD dl: deadline from the request, milliseconds.",
    ),
    field(
        "cmcd-measured-throughput",
        "cmcd_measured_throughput",
        UInt32,
        NULLABLE,
        PLAIN,
        "CMCD mtp: throughput measured by the player, kbit/s.",
    ),
    field(
        "cmcd-next-object-request",
        "cmcd_next_object_request",
        Text,
        NOT_NULL,
        ENCODED,
        "CMCD nor: relative path of the next object.",
    ),
    field(
        "cmcd-next-range-request",
        "cmcd_next_range_request",
        Text,
        NOT_NULL,
        ENCODED,
        "CMCD nrr: byte range of the next request.",
    ),
    field(
        "cmcd-object-type",
        "cmcd_object_type",
        LowText,
        NOT_NULL,
        PLAIN,
        "CMCD ot: type of the media object.",
    ),
    field(
        "cmcd-playback-rate",
        "cmcd_playback_rate",
        Float32,
        NULLABLE,
        PLAIN,
        "CMCD pr: playback rate; 1 is real time, 0 stopped.",
    ),
    field(
        "cmcd-requested-maximum-throughput",
        "cmcd_requested_maximum_throughput",
        UInt32,
        NULLABLE,
        PLAIN,
        "CMCD rtp: throughput that suffices, kbit/s.",
    ),
    field(
        "cmcd-streaming-format",
        "cmcd_streaming_format",
        LowText,
        NOT_NULL,
        PLAIN,
        "CMCD sf: streaming format.",
    ),
    field(
        "cmcd-session-id",
        "cmcd_session_id",
        Text,
        NOT_NULL,
        ENCODED,
        "CMCD sid: the playback session's id.",
    ),
    field(
        "cmcd-stream-type",
        "cmcd_stream_type",
        LowText,
        NOT_NULL,
        PLAIN,
        "CMCD st: v for on demand, l for live.",
    ),
    field(
        "cmcd-startup",
        "cmcd_startup",
        LowText,
        NOT_NULL,
        PLAIN,
        "CMCD su: whether the object was needed urgently.",
    ),
    field(
        "cmcd-top-bitrate",
        "cmcd_top_bitrate",
        UInt32,
        NULLABLE,
        PLAIN,
        "CMCD tb: highest bitrate the player could play, kbit/s.",
    ),
    field(
        "cmcd-version",
        "cmcd_version",
        UInt8,
        NULLABLE,
        PLAIN,
        "CMCD v: version of the specification.",
    ),
    field(
        "r-host",
        "r_host",
        LowText,
        NOT_NULL,
        PLAIN,
        "The origin asked; empty where none was.",
    ),
    field(
        "sr-reason",
        "sr_reason",
        LowText,
        NOT_NULL,
        PLAIN,
        "Why that origin was chosen, such as Failover:503.",
    ),
    field(
        "x-edge-mqcs",
        "x_edge_mqcs",
        UInt8,
        NULLABLE,
        PLAIN,
        "Media quality confidence score, 0 to 100.",
    ),
    field(
        "distribution-tenant-id",
        "distribution_tenant_id",
        LowText,
        NOT_NULL,
        PLAIN,
        "The distribution tenant's id.",
    ),
    field(
        "connection-id",
        "connection_id",
        Text,
        NOT_NULL,
        PLAIN,
        "The TLS connection's id, where mutual TLS is on.",
    ),
    field(
        "viewer-request-log-data",
        "viewer_request_log_data",
        Text,
        NOT_NULL,
        ENCODED,
        "What a CloudFront function logged on the viewer's request, at most 800 bytes.",
    ),
    field(
        "viewer-response-log-data",
        "viewer_response_log_data",
        Text,
        NOT_NULL,
        ENCODED,
        "What a CloudFront function logged on the response, at most 800 bytes.",
    ),
];

/// The column that says how many requests a row stands for: 100 divided by the
/// sampling rate in percent, times whatever a sampling plugin makes of it.
pub static SAMPLE_WEIGHT: Column = Column {
    name: Cow::Borrowed("sample_weight"),
    column_type: ColumnType::Float32,
    nullable: false,
    doc: Cow::Borrowed("How many requests this row stands for; 1 where nothing is sampled."),
};

/// Returns the columns that every source of logs can fill, in the table's
/// order: the columns of [`FIELDS`], then [`SAMPLE_WEIGHT`].
pub fn base_columns() -> impl Iterator<Item = &'static Column> {
    FIELDS
        .iter()
        .map(|field| &field.column)
        .chain(std::iter::once(&SAMPLE_WEIGHT))
}

/// Returns the place of CloudFront's field `name` (`cs-uri-stem`) in [`FIELDS`].
pub fn field_index(name: &str) -> Option<usize> {
    FIELDS.iter().position(|field| field.name == name)
}

/// Returns the base column called `name` (`cs_uri_stem`).
pub fn base_column(name: &str) -> Option<&'static Column> {
    base_columns().find(|column| column.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_its_field_with_underscores() {
        for field in &FIELDS {
            assert_eq!(field.column.name, field.name.replace('-', "_"));
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::HashSet<_> = base_columns().map(|c| &c.name).collect();
        assert_eq!(names.len(), FIELD_COUNT + 1);
    }
}
