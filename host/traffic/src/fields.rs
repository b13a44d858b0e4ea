//! The fields of each log format, in order, and the selection of real-time ones.

/// CloudFront's real-time log fields in the order in which it delivers them.
pub const FIELD_NAMES: [&str; 71] = [
    "timestamp",
    "c-ip",
    "s-ip",
    "time-to-first-byte",
    "sc-status",
    "sc-bytes",
    "cs-method",
    "cs-protocol",
    "cs-host",
    "cs-uri-stem",
    "cs-bytes",
    "x-edge-location",
    "x-edge-request-id",
    "x-host-header",
    "time-taken",
    "cs-protocol-version",
    "c-ip-version",
    "cs-user-agent",
    "cs-referer",
    "cs-cookie",
    "cs-uri-query",
    "x-edge-response-result-type",
    "x-forwarded-for",
    "ssl-protocol",
    "ssl-cipher",
    "x-edge-result-type",
    "fle-encrypted-fields",
    "fle-status",
    "sc-content-type",
    "sc-content-len",
    "sc-range-start",
    "sc-range-end",
    "c-port",
    "x-edge-detailed-result-type",
    "c-country",
    "cs-accept-encoding",
    "cs-accept",
    "cache-behavior-path-pattern",
    "cs-headers",
    "cs-header-names",
    "cs-headers-count",
    "primary-distribution-id",
    "primary-distribution-dns-name",
    "origin-fbl",
    "origin-lbl",
    "asn",
    "cmcd-encoded-bitrate",
    "cmcd-buffer-length",
    "cmcd-buffer-starvation",
    "cmcd-content-id",
    "cmcd-object-duration",
    "cmcd-deadline",
    "cmcd-measured-throughput",
    "cmcd-next-object-request",
    "cmcd-next-range-request",
    "cmcd-object-type",
    "cmcd-playback-rate",
    "cmcd-requested-maximum-throughput",
    "cmcd-streaming-format",
    "cmcd-session-id",
    "cmcd-stream-type",
    "cmcd-startup",
    "cmcd-top-bitrate",
    "cmcd-version",
    "r-host",
    "sr-reason",
    "x-edge-mqcs",
    "distribution-tenant-id",
    "connection-id",
    "viewer-request-log-data",
    "viewer-response-log-data",
];

/// The fields of a standard log in W3C form, in the order of its `#Fields:`.
pub const STANDARD_FIELDS: [&str; 33] = [
    "date",
    "time",
    "x-edge-location",
    "sc-bytes",
    "c-ip",
    "cs-method",
    "cs(Host)",
    "cs-uri-stem",
    "sc-status",
    "cs(Referer)",
    "cs(User-Agent)",
    "cs-uri-query",
    "cs(Cookie)",
    "x-edge-result-type",
    "x-edge-request-id",
    "x-host-header",
    "cs-protocol",
    "cs-bytes",
    "time-taken",
    "x-forwarded-for",
    "ssl-protocol",
    "ssl-cipher",
    "x-edge-response-result-type",
    "cs-protocol-version",
    "fle-status",
    "fle-encrypted-fields",
    "c-port",
    "time-to-first-byte",
    "x-edge-detailed-result-type",
    "sc-content-type",
    "sc-content-len",
    "sc-range-start",
    "sc-range-end",
];

/// The keys of a standard log (v2) in JSON form that are not in
/// [`STANDARD_FIELDS`]; a line has those, then these.
pub const JSON_FIELDS: [&str; 8] = [
    "timestamp(ms)",
    "origin-fbl",
    "origin-lbl",
    "asn",
    "c-country",
    "cache-behavior-path-pattern",
    "viewer-request-log-data",
    "viewer-response-log-data",
];

/// Which real-time fields a line has, always in CloudFront's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    fields: Vec<u8>,
}

/// A selection of fields that CloudFront would not take.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// CloudFront has no field of that name.
    #[error("CloudFront's real-time logs have no field `{0}`")]
    Unknown(String),
    /// The field was named twice.
    #[error("the field `{0}` is named twice")]
    Twice(String),
    /// No field was named.
    #[error("no field is named")]
    Empty,
}

impl Layout {
    /// Returns the layout of all 71 fields.
    pub fn all() -> Self {
        Self::first(FIELD_NAMES.len())
    }

    /// Returns the layout of the first `count` fields in the order of
    /// delivery, at least 1 and at most 71. The first 45 are what the published
    /// measurements of other pipelines used.
    pub fn first(count: usize) -> Self {
        let count = count.clamp(1, FIELD_NAMES.len());
        Layout {
            fields: (0..count as u8).collect(),
        }
    }

    /// Returns the layout of these fields; their order does not matter.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] for a name that is unknown or named twice, and for no
    /// names.
    pub fn from_names<I>(names: I) -> Result<Self, LayoutError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut chosen = [false; FIELD_NAMES.len()];
        for name in names {
            let name = name.as_ref();
            let Some(index) = FIELD_NAMES.iter().position(|field| *field == name) else {
                return Err(LayoutError::Unknown(name.to_owned()));
            };
            if std::mem::replace(&mut chosen[index], true) {
                return Err(LayoutError::Twice(name.to_owned()));
            }
        }
        let fields: Vec<u8> = (0..FIELD_NAMES.len() as u8)
            .filter(|index| chosen[usize::from(*index)])
            .collect();
        if fields.is_empty() {
            return Err(LayoutError::Empty);
        }
        Ok(Layout { fields })
    }

    /// Returns the names of the fields, in CloudFront's order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.fields
            .iter()
            .map(|index| FIELD_NAMES[usize::from(*index)])
    }

    /// Returns how many fields a line has, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a layout is never empty")]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Returns the places of the fields in [`FIELD_NAMES`], ascending.
    pub(crate) fn indexes(&self) -> &[u8] {
        &self.fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_cloudfronts_whatever_is_asked() {
        let layout = Layout::from_names(["asn", "c-ip", "timestamp"]).unwrap();
        assert_eq!(
            layout.names().collect::<Vec<_>>(),
            ["timestamp", "c-ip", "asn"]
        );
    }

    #[test]
    fn what_cloudfront_would_refuse_is_refused() {
        let error = |names: &[&str]| Layout::from_names(names).unwrap_err().to_string();
        assert_eq!(
            error(&["c-ip", "cs-uri"]),
            "CloudFront's real-time logs have no field `cs-uri`"
        );
        assert_eq!(error(&["c-ip", "c-ip"]), "the field `c-ip` is named twice");
        assert_eq!(error(&[]), "no field is named");
    }
}
