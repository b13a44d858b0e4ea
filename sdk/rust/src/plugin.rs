//! The trait a plugin implements, and what drives it.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::columns::Column;
use crate::error::Error;
use crate::host::Data;
use crate::input::{Binder, Input};
use crate::output::Output;
use crate::row::{Row, RowResult, Transformed};
use crate::schema::{DataFile, Purity, Schema};

/// A plugin: its configuration, the columns it reads and makes, and what it
/// does with a row.
///
/// Register it with [`export!`](crate::export). A plugin without configuration
/// or state can be a function instead: see [`plugin`](macro@crate::plugin).
pub trait Plugin: Sized {
    /// The configuration, the table `config` in canopy.toml; mark the struct
    /// with [`#[config]`](macro@crate::config), or use
    /// [`NoConfig`](crate::NoConfig). Its JSON Schema is published with the
    /// plugin, doc comments included.
    type Config: DeserializeOwned + JsonSchema;

    /// The columns it reads, of one row.
    type Input<'a>: Input<'a>;

    /// The columns it makes.
    type Output: Output;

    /// Whether equal inputs always give equal outputs.
    const PURITY: Purity = Purity::PerRow;

    /// The data files it wants.
    const DATA: &'static [DataFile] = &[];

    /// Makes the plugin for a configuration. Called once per instance, and an
    /// instance may be replaced between batches.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the key, or [`Error::Data`]: nothing runs
    /// until it is mended.
    fn new(config: Self::Config, data: &Data) -> Result<Self, Error>;

    /// Changes the columns by the configuration: names them, leaves some out.
    /// The default changes nothing.
    fn columns(&self, schema: &mut Schema) {
        let _ = schema;
    }

    /// Works on a row: reads `input`, writes to `row`, says what becomes of it.
    ///
    /// # Errors
    ///
    /// [`Reject`](crate::Reject), the reason why this row cannot be handled.
    /// The other rows of the batch go on. A panic costs more: the host then
    /// has to find the row by halving the batch.
    fn row(&mut self, input: Self::Input<'_>, row: &mut Row<Self::Output>) -> RowResult;
}

/// What [`export!`](crate::export) knows of the package a plugin is in.
pub trait Package {
    /// The plugin's name: lower-case letters, digits and `-`.
    const NAME: &'static str;
    /// The plugin's version, semver.
    const VERSION: &'static str;
    /// What it does, in one line.
    const SUMMARY: &'static str;
}

/// A configured plugin that works on batches.
pub struct Instance<P: Plugin> {
    plugin: P,
    schema: Schema,
    row: Row<P::Output>,
}

impl<P: Plugin> Instance<P> {
    /// Configures the plugin.
    ///
    /// # Errors
    ///
    /// Where the configuration is wrong, or the plugin says so.
    pub fn new(config_json: &str, data: &Data) -> Result<Self, Error> {
        let plugin = P::new(crate::config::parse(config_json)?, data)?;
        let mut schema = Schema {
            inputs: <P::Input<'static> as Input<'static>>::declare(),
            outputs: P::Output::declare(),
        };
        plugin.columns(&mut schema);
        schema.check()?;
        let row = Row::new(P::Output::new(&schema.outputs));
        Ok(Instance {
            plugin,
            schema,
            row,
        })
    }

    /// Returns the columns it reads and makes.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Works on a batch: `inputs` are the schema's inputs in their order, each
    /// with `rows` rows.
    ///
    /// # Errors
    ///
    /// [`Error::Other`] where the columns are not those declared, or a plugin
    /// that declares [`Purity::PerDistinct`] dropped or emitted rows.
    pub fn transform(&mut self, rows: u32, inputs: &[Column]) -> Result<Transformed, Error> {
        let mut binder = Binder::new(&self.schema.inputs, inputs, rows as usize);
        let columns = <P::Input<'_> as Input<'_>>::bind(&mut binder)?;
        self.row.start(rows);
        for index in 0..rows {
            let input = <P::Input<'_> as Input<'_>>::row(&columns, index as usize);
            self.row.work(index, |row| self.plugin.row(input, row));
        }
        let transformed = self.row.take(&self.schema.outputs);
        if P::PURITY == Purity::PerDistinct && transformed.source_rows.is_some() {
            return Err(Error::other(
                "a per-distinct plugin must neither drop nor emit rows",
            ));
        }
        Ok(transformed)
    }
}
