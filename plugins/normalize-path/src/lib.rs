//! Turns the path of a request into a template that many requests share, so
//! that one can group by it: `/users/42/avatar.png` becomes
//! `/users/:id/avatar.png`.
//!
//! [`NormalizePath`] is the plugin, [`Normalizer`] what it does with a path:
//! the operator's [`rules`] first, else each segment on its own.

mod forms;
pub mod rules;
mod segment;
mod shape;

use canopy_sdk::prelude::*;

use rules::{Rule, RuleConfig};
use segment::Template;

/// What canopy.toml may say under `config`.
#[config]
#[derive(Clone, Debug)]
#[serde(default)]
pub struct Config {
    /// Whether letters are turned to lower case (ASCII only).
    pub lowercase: bool,
    /// How many segments of a path are kept; what follows becomes one `*`.
    #[schemars(range(min = 1))]
    pub max_segments: u32,
    /// Templates for paths that are known; the first rule that matches a path
    /// gives its template, and the rest of this configuration does not matter.
    pub rules: Vec<RuleConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            lowercase: false,
            max_segments: 10,
            rules: Vec::new(),
        }
    }
}

/// The column the plugin reads.
#[derive(Input)]
pub struct Request<'a> {
    cs_uri_stem: &'a str,
}

/// The column the plugin makes.
#[derive(Output)]
pub struct Made {
    /// The path with ids, UUIDs, hashes and dates replaced by placeholders; null where there is no path.
    #[canopy(low_cardinality)]
    path_template: Nullable<Text>,
}

/// The plugin.
#[derive(Debug)]
pub struct NormalizePath {
    normalizer: Normalizer,
}

impl Plugin for NormalizePath {
    type Config = Config;
    type Input<'a> = Request<'a>;
    type Output = Made;

    const PURITY: Purity = Purity::PerDistinct;

    fn new(config: Config, _: &Data) -> Result<Self, Error> {
        let normalizer = Normalizer::new(&config)?;
        Ok(NormalizePath { normalizer })
    }

    fn row(&mut self, request: Request<'_>, row: &mut Row<Made>) -> RowResult {
        if !request.cs_uri_stem.is_empty() {
            self.normalizer
                .template(request.cs_uri_stem, row.path_template.text());
        }
        Ok(Verdict::Keep)
    }
}

canopy_sdk::export!(NormalizePath);

/// Turns paths into templates under a configuration.
#[derive(Debug)]
pub struct Normalizer {
    lowercase: bool,
    max_segments: u32,
    rules: Vec<Rule>,
}

impl Normalizer {
    /// Returns the normalizer of a configuration.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where `max-segments` is 0 or a rule makes no sense.
    pub fn new(config: &Config) -> Result<Self, Error> {
        if config.max_segments == 0 {
            return Err(Error::config("max-segments", "must be at least 1"));
        }
        Ok(Normalizer {
            lowercase: config.lowercase,
            max_segments: config.max_segments,
            rules: rules::compile(&config.rules)?,
        })
    }

    /// Appends the template of `path` to `out`. What follows a `?` is no part
    /// of the path.
    pub fn template(&self, path: &str, out: &mut Text) {
        if !self.rules.is_empty() {
            let known = path.split('?').next().unwrap_or(path);
            if self.rules.iter().any(|rule| rule.apply(known, out)) {
                return;
            }
        }
        self.by_segment(path, out);
    }

    fn by_segment(&self, path: &str, out: &mut Text) {
        let bytes = path.as_bytes();
        let mut template = Template::new(path, out);
        let mut at = usize::from(bytes.first() == Some(&b'/'));
        let mut kept = 0;
        while at < bytes.len() && bytes[at] != b'?' {
            if kept == self.max_segments {
                template.replace(at, at, "*");
                break;
            }
            kept += 1;
            at = segment::replace_values(&mut template, at);
            at += usize::from(bytes.get(at) == Some(&b'/'));
        }
        template.finish(at);
        if self.lowercase {
            out.make_ascii_lowercase();
        }
    }
}
