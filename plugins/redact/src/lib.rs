//! Redacts personal data and secrets in CloudFront's columns before they are
//! stored: addresses are cut to their network, and the values of parameters,
//! cookies and headers that carry secrets are replaced by `REDACTED`.
//!
//! The rule throughout: what is understood and harmless stays, what is listed
//! goes, and what cannot be understood goes wholly.
//!
//! - [`Redact`] is the plugin, [`Config`] what can be configured;
//! - `address` cuts addresses, `url` scrubs query strings and URLs, `headers`
//!   scrubs cookies and headers;
//! - `edit` writes a value with parts of it replaced;
//! - `memo` keeps what was decided about names;
//! - `names` decides whether a name is that of a secret.

mod address;
mod config;
mod edit;
mod headers;
mod memo;
mod names;
mod url;

use std::ops::Range;

use canopy_sdk::prelude::*;

use crate::config::Column;
pub use crate::config::Config;
use crate::edit::Edit;
use crate::headers::Rules;

/// The plugin.
#[derive(Debug)]
pub struct Redact {
    config: Config,
    rules: Rules,
}

/// The columns it may read.
#[derive(Input)]
pub struct Request<'a> {
    c_ip: &'a str,
    x_forwarded_for: &'a str,
    cs_uri_stem: &'a str,
    cs_uri_query: &'a str,
    cs_referer: &'a str,
    cs_cookie: &'a str,
    cs_headers: &'a str,
}

/// The columns it may replace: the same.
#[derive(Output)]
pub struct Redacted {
    /// The network of the viewer's address.
    c_ip: Text,
    /// The networks of the addresses that proxies reported.
    x_forwarded_for: Text,
    /// The path, parameters in it scrubbed.
    cs_uri_stem: Text,
    /// The query string, scrubbed.
    cs_uri_query: Text,
    /// The referring URL, scrubbed.
    cs_referer: Text,
    /// The cookies, without their values.
    cs_cookie: Text,
    /// The request's headers, scrubbed.
    cs_headers: Text,
}

impl Plugin for Redact {
    type Config = Config;
    type Input<'a> = Request<'a>;
    type Output = Redacted;

    fn new(config: Config, _data: &Data) -> Result<Self, Error> {
        let rules = config.rules()?;
        Ok(Redact { config, rules })
    }

    fn columns(&self, schema: &mut Schema) {
        for column in Column::ALL {
            if !self.config.selects(column) {
                schema.leave_out_input(column.name());
                schema.leave_out_output(column.name());
            }
        }
    }

    // A column that was left out is empty here, and what is made of an empty
    // text is the empty text: no need to ask which are selected.
    fn row(&mut self, request: Request<'_>, row: &mut Row<Redacted>) -> RowResult {
        let rules = &mut self.rules;
        let names = &rules.parameters;
        edit(request.c_ip, &mut row.c_ip, |edit, whole| {
            rules.prefixes.column(edit, whole)
        });
        edit(
            request.x_forwarded_for,
            &mut row.x_forwarded_for,
            |edit, whole| {
                rules.prefixes.list(edit, whole);
            },
        );
        edit(request.cs_uri_stem, &mut row.cs_uri_stem, |edit, whole| {
            url::path(edit, whole, names)
        });
        edit(
            request.cs_uri_query,
            &mut row.cs_uri_query,
            |edit, whole| url::query(edit, whole, names),
        );
        edit(request.cs_referer, &mut row.cs_referer, |edit, whole| {
            url::url(edit, whole, names)
        });
        edit(request.cs_cookie, &mut row.cs_cookie, |edit, whole| {
            rules.cookies(edit, whole)
        });
        edit(request.cs_headers, &mut row.cs_headers, |edit, whole| {
            rules.header_block(edit, whole)
        });
        Ok(Verdict::Keep)
    }
}

/// Writes a column's value, edited.
fn edit(value: &str, out: &mut Text, scrub: impl FnOnce(&mut Edit<'_, '_>, Range<usize>)) {
    // Most columns of most rows are empty.
    if !value.is_empty() {
        let mut edit = Edit::new(value, out);
        scrub(&mut edit, 0..value.len());
        edit.finish();
    }
}

canopy_sdk::export!(Redact);

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: [(&str, &str, &str); 7] = [
        ("c_ip", "203.0.113.77", "203.0.113.0"),
        (
            "x_forwarded_for",
            "198.51.100.4, 2001:db8:1:2::9",
            "198.51.100.0, 2001:db8:1::",
        ),
        (
            "cs_uri_stem",
            "/account;jsessionid=1A2B/orders",
            "/account;jsessionid=REDACTED/orders",
        ),
        (
            "cs_uri_query",
            "page=2&access_token=eyJhbGciOi&user[email]=alice%40example.com",
            "page=2&access_token=REDACTED&user[email]=REDACTED",
        ),
        (
            "cs_referer",
            "https://www.example.com/reset?key=6f1ed002&lang=de",
            "https://www.example.com/reset?key=REDACTED&lang=de",
        ),
        (
            "cs_cookie",
            "session=abc123; theme=dark",
            "session=REDACTED; theme=REDACTED",
        ),
        (
            "cs_headers",
            "Host:www.example.com\nX-Api-Key:k-123\nCookie:session=abc123; theme=dark\n",
            "Host:www.example.com\nX-Api-Key:REDACTED\nCookie:session=REDACTED; theme=REDACTED\n",
        ),
    ];

    /// Returns a row of JSON with the columns that `pick` takes of a case.
    fn row(
        cases: &[(&'static str, &'static str, &'static str)],
        pick: fn(&(&'static str, &'static str, &'static str)) -> (&'static str, &'static str),
    ) -> serde_json::Value {
        cases
            .iter()
            .map(pick)
            .collect::<std::collections::BTreeMap<_, _>>()
            .into_iter()
            .collect()
    }

    #[test]
    fn every_column_is_redacted_by_default() {
        let input = row(&LINE, |(name, before, _)| (*name, *before));
        let made = Harness::<Redact>::default().run(json!([input]));
        assert_eq!(
            made.rows,
            json!([row(&LINE, |(name, _, after)| (*name, *after))])
        );
    }

    #[test]
    fn a_row_without_values_stays_one() {
        let empty = row(&LINE, |(name, ..)| (*name, ""));
        let made = Harness::<Redact>::default().run(json!([{}, empty]));
        assert_eq!(made.rows, json!([empty, empty]));
    }

    #[test]
    fn only_selected_columns_are_read_and_replaced() {
        let config = json!({ "columns": ["c_ip", "cs_cookie"], "keep-cookies": ["theme"] });
        let mut redact = Harness::<Redact>::new(config);
        let schema = redact.configure().unwrap();
        let inputs: Vec<_> = schema.inputs().map(|(name, _)| name.to_owned()).collect();
        let outputs: Vec<_> = schema.outputs().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(inputs, ["c_ip", "cs_cookie"]);
        assert_eq!(outputs, inputs);
        let made = redact.run(json!([{ "c_ip": "192.0.2.9", "cs_cookie": "a=1; theme=dark" }]));
        assert_eq!(
            made.rows,
            json!([{ "c_ip": "192.0.2.0", "cs_cookie": "a=REDACTED; theme=dark" }])
        );
    }

    #[test]
    fn lists_can_be_replaced_or_added_to() {
        let run = |config, query| {
            let made = Harness::<Redact>::new(config).run(json!([{ "cs_uri_query": query }]));
            made.rows[0]["cs_uri_query"]
                .as_str()
                .map(str::to_owned)
                .unwrap()
        };
        let columns = json!(["cs_uri_query"]);
        assert_eq!(
            run(
                json!({ "columns": columns, "parameters": ["q"] }),
                "q=1&token=2"
            ),
            "q=REDACTED&token=2"
        );
        assert_eq!(
            run(
                json!({ "columns": columns, "extra-parameters": ["q"] }),
                "q=1&token=2"
            ),
            "q=REDACTED&token=REDACTED"
        );
    }

    #[test]
    fn a_wrong_configuration_names_its_key() {
        for (config, key) in [
            (json!({ "columns": ["c_port"] }), "columns.0"),
            (json!({ "ipv4-bits": 40 }), "ipv4-bits"),
            (json!({ "parameter": [] }), "parameter"),
        ] {
            match Harness::<Redact>::new(config).configure() {
                Err(Error::Config { key: found, .. }) => assert_eq!(found, key),
                other => panic!("{other:?}"),
            }
        }
    }
}
