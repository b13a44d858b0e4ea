//! A plugin at work: the [`Stage`] that calls it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use canopy_batch::{Batch, Column, Kind, Outcome, Stage, StageError, schema};

use crate::assemble::{Assembled, assemble};
use crate::check::{Checked, Expected, OutputError, Target, check};
use crate::contract::v0_1::{ColumnIn, Output, Schema};
use crate::descriptor::{Descriptor, Purity, shorten};
use crate::distinct::{Distinct, Spread};
use crate::failure::Failure;
use crate::growth::Growth;
use crate::host::Loaded;
use crate::input::{Inputs, Source, kind_of};
use crate::instance::Instance;
use crate::isolate::{Failed, isolate};
use crate::limits::Limits;
use crate::metrics::{LogLine, Meter, Metrics};
use crate::settings::OnError;

/// A column a plugin makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    /// The column. Where it replaces one of the logs' columns it has that
    /// column's type.
    pub column: Column,
    /// Whether it replaces one of the logs' columns.
    pub replaces: bool,
}

/// A configured plugin: a [`Stage`] that reads and makes columns of a batch.
///
/// A row it cannot handle gets what [`OnError`] says; the others go on,
/// whatever the plugin does.
pub struct Plugin {
    parts: PluginParts,
    meter: Meter,
    distinct: Distinct,
    /// None after a failure that used it up, until the next call.
    instance: Option<Instance>,
    /// Log lines of the batch at hand, over all instances that had a part.
    log: Vec<LogLine>,
}

/// What a plugin is opened with.
pub(crate) struct PluginParts {
    pub(crate) name: Arc<str>,
    pub(crate) loaded: Loaded,
    pub(crate) descriptor: Descriptor,
    pub(crate) config_json: String,
    pub(crate) data: Arc<BTreeMap<String, PathBuf>>,
    pub(crate) limits: Limits,
    pub(crate) on_error: OnError,
    pub(crate) schema: Schema,
    pub(crate) inputs: Vec<(String, Kind)>,
    pub(crate) outputs: Vec<OutputColumn>,
}

/// What the calls on one batch share.
struct Calls<'a> {
    inputs: &'a Inputs,
    targets: &'a [Target],
    /// The rows of the batch that the rows of the calls are; absent: the same.
    representatives: Option<&'a [u32]>,
    /// How many rows of the batch each row of the calls is; absent: one.
    weights: Option<Vec<u32>>,
    batch: &'a Batch,
    /// What the plugin may still make of the batch.
    growth: Growth,
    /// Time spent in the guest.
    busy: Duration,
    /// Time that new instances may still take for the batch.
    restarting_left: Duration,
}

impl Plugin {
    /// Takes over the first instance, which is configured.
    pub(crate) fn new(parts: PluginParts, instance: Instance) -> Self {
        let mut plugin = Plugin {
            parts,
            meter: Meter::default(),
            distinct: Distinct::default(),
            instance: Some(instance),
            log: Vec::new(),
        };
        plugin.meter.totals().instances = 1;
        plugin.collect_traces();
        plugin.end_log();
        plugin
    }

    /// What the plugin says of itself.
    pub fn descriptor(&self) -> &Descriptor {
        &self.parts.descriptor
    }

    /// The columns it reads, in the order it is given them.
    pub fn inputs(&self) -> &[(String, Kind)] {
        &self.parts.inputs
    }

    /// The columns it makes, in the order it returns them.
    pub fn outputs(&self) -> &[OutputColumn] {
        &self.parts.outputs
    }

    /// What happens to rows it cannot handle.
    pub fn on_error(&self) -> OnError {
        self.parts.on_error
    }

    /// What it did since it was opened.
    pub fn metrics(&self) -> Metrics {
        self.meter.snapshot()
    }

    /// Takes the log lines that it wrote since the last call of this function,
    /// the latest 1,000 of them.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        self.meter.take_log()
    }

    /// Calls the plugin on the whole batch, and where that fails, on parts.
    fn run(&mut self, batch: Batch) -> Result<Outcome, StageError> {
        let sources = self.sources(&batch)?;
        let targets = self.targets(&batch)?;
        let rows = batch.row_count();
        let mut inputs = Inputs::new(sources, rows);
        let spread = match self.parts.descriptor.purity {
            Purity::PerDistinct => self.distinct.spread(&inputs),
            Purity::PerRow => None,
        };
        if let Some(spread) = &spread {
            inputs = inputs.select(&spread.representatives);
        }
        let mut calls = Calls {
            inputs: &inputs,
            targets: &targets,
            representatives: spread
                .as_ref()
                .map(|spread| spread.representatives.as_slice()),
            weights: spread.as_ref().map(Spread::weights),
            batch: &batch,
            growth: Growth::new(
                self.parts.limits.output_bytes(),
                rows,
                batch.record_count(),
                self.parts.limits.fan_out,
            ),
            busy: Duration::ZERO,
            restarting_left: self.parts.limits.configure_deadline,
        };
        let deadline = self.parts.limits.deadline;
        let isolated = isolate(inputs.rows() as u32, deadline, |range, deadline| {
            self.call(range, deadline, &mut calls)
        });
        self.meter.batch(rows, calls.busy);
        let Assembled {
            outcome,
            nulled,
            nulled_example,
        } = assemble(
            batch,
            isolated,
            &targets,
            spread.map(|spread| spread.of_row),
            self.parts.on_error,
            &self.parts.name,
        )?;
        let totals = self.meter.totals();
        totals.rows_out += outcome.batch.row_count() as u64;
        totals.rejected += outcome.rejected.len() as u64;
        totals.dropped += outcome.dropped;
        totals.nulled += nulled;
        totals.nulled_example = totals.nulled_example.take().or(nulled_example);
        Ok(outcome)
    }

    /// Calls the plugin on a range of the rows and checks what it returns.
    fn call(
        &mut self,
        range: Range<u32>,
        deadline: Duration,
        calls: &mut Calls<'_>,
    ) -> Result<Checked, Failed> {
        let answer = self.transform(range.clone(), deadline, calls);
        let first = range.start;
        let batch_row = |row: u32| match calls.representatives {
            Some(rows) => rows[(first + row) as usize],
            None => first + row,
        };
        let checked = answer.and_then(|raw| {
            let expected = Expected {
                plugin: &self.parts.name,
                targets: calls.targets,
                limits: &self.parts.limits,
                purity: self.parts.descriptor.purity,
                rows: range.len() as u32,
                batch_row: &batch_row,
            };
            let checked = check(raw, &expected)?;
            let taken = calls
                .growth
                .weigh(
                    &checked,
                    &range,
                    calls.weights.as_deref(),
                    calls.batch.columns(),
                )
                .map_err(|problem| OutputError {
                    plugin: Arc::clone(&self.parts.name),
                    column: None,
                    row: None,
                    problem,
                })?;
            Ok((checked, taken))
        });
        match checked {
            Ok((checked, taken)) => {
                calls.growth.take(&taken);
                if let Some(instance) = &mut self.instance {
                    let (counters, ignored) = instance.take_counters();
                    self.meter.count(counters);
                    self.meter.totals().counters_ignored += ignored;
                }
                Ok(checked)
            }
            Err(failure) => {
                if !failure.spares_instance() {
                    self.meter.totals().traps += 1;
                    self.retire_instance();
                }
                Err(Failed {
                    blame: failure.blame(),
                    of_one_row: failure.is_of_one_row(),
                    reason: shorten(&failure.to_string()),
                })
            }
        }
    }

    /// Calls `transform` on a range of the rows, in a new instance where there
    /// is none.
    fn transform(
        &mut self,
        range: Range<u32>,
        deadline: Duration,
        calls: &mut Calls<'_>,
    ) -> Result<Output, Failure> {
        self.ensure_instance(&mut calls.restarting_left)?;
        let instance = self
            .instance
            .as_mut()
            .expect("an instance was just ensured");
        let columns = calls.inputs.range(range.start as usize..range.end as usize);
        let borrowed: Vec<ColumnIn<'_>> = columns.iter().map(|column| column.borrow()).collect();
        let start = Instant::now();
        let answer = instance.transform(
            deadline,
            self.parts.limits.output_bytes(),
            range.len() as u32,
            &borrowed,
        );
        calls.busy += start.elapsed();
        self.meter.totals().calls += 1;
        answer
    }

    /// Starts an instance where there is none, within the time left for that.
    fn ensure_instance(&mut self, time_left: &mut Duration) -> Result<(), Failure> {
        if self.instance.is_some() {
            return Ok(());
        }
        let start = Instant::now();
        let limits = &Limits {
            configure_deadline: *time_left,
            ..self.parts.limits.clone()
        };
        let data = Arc::clone(&self.parts.data);
        let started = Instance::new(&self.parts.loaded, limits, data).and_then(|mut instance| {
            instance.refill_log(limits, &self.log);
            let schema = instance.configure(limits, &self.parts.config_json);
            self.instance = Some(instance);
            match schema? == self.parts.schema {
                true => Ok(()),
                false => Err(Failure::Unsteady),
            }
        });
        *time_left = time_left.saturating_sub(start.elapsed());
        self.meter.totals().instances += 1;
        started.map_err(|failure| {
            self.retire_instance();
            Failure::Restart(Box::new(failure))
        })
    }

    /// Gives up the instance, keeping its log and its peak of memory.
    fn retire_instance(&mut self) {
        self.collect_traces();
        self.instance = None;
    }

    fn collect_traces(&mut self) {
        if let Some(instance) = &mut self.instance {
            let (lines, skipped) = instance.take_log();
            self.log.extend(lines);
            let totals = self.meter.totals();
            totals.log_lines_skipped += skipped;
            totals.peak_memory_bytes = totals.peak_memory_bytes.max(instance.memory_bytes());
        }
    }

    fn end_log(&mut self) {
        self.meter.log(std::mem::take(&mut self.log));
    }

    /// Finds the input columns in the batch.
    fn sources(&self, batch: &Batch) -> Result<Vec<Source>, StageError> {
        self.parts
            .inputs
            .iter()
            .map(|(name, kind)| {
                let (source, found) = match (batch.column(name), schema::base_column(name)) {
                    (Some(array), _) => {
                        let found = kind_of(array.data_type());
                        (Source::Array(Arc::clone(array)), found)
                    }
                    (None, Some(column)) => {
                        (Source::Absent(column), Some(column.column_type.kind()))
                    }
                    (None, None) => {
                        return Err(self.error(format!("there is no column `{name}` to read")));
                    }
                };
                if found != Some(*kind) {
                    return Err(self.error(format!("column `{name}` is not {kind}")));
                }
                Ok(source)
            })
            .collect()
    }

    /// Says what the output columns will be in the batch: a column replaced
    /// keeps its type.
    fn targets(&self, batch: &Batch) -> Result<Vec<Target>, StageError> {
        let batch_schema = batch.columns().schema();
        self.parts
            .outputs
            .iter()
            .map(|output| {
                let declared = &output.column;
                let field = batch_schema.field_with_name(&declared.name).ok();
                let column = match (schema::base_column(&declared.name), field) {
                    (Some(base), _) => base.clone(),
                    (None, Some(field)) => Column {
                        nullable: field.is_nullable(),
                        ..declared.clone()
                    },
                    (None, None) => declared.clone(),
                };
                let kind = declared.column_type.kind();
                let found = field.map_or(Some(column.column_type.kind()), |field| {
                    kind_of(field.data_type())
                });
                if column.column_type.kind() != kind || found != Some(kind) {
                    return Err(self.error(format!(
                        "column `{}` cannot be replaced with {kind}",
                        declared.name
                    )));
                }
                if self.parts.on_error == OnError::Null && !column.nullable {
                    return Err(self.error(format!(
                        "on-error = \"null\" cannot put null into column `{}`",
                        declared.name
                    )));
                }
                Ok(Target {
                    may_be_null: declared.nullable && column.nullable,
                    column,
                })
            })
            .collect()
    }

    fn error(&self, message: String) -> StageError {
        StageError {
            stage: self.parts.name.to_string(),
            message,
        }
    }
}

impl Stage for Plugin {
    fn name(&self) -> &str {
        &self.parts.name
    }

    fn apply(&mut self, batch: Batch) -> Result<Outcome, StageError> {
        if let Some(instance) = &mut self.instance {
            instance.refill_log(&self.parts.limits, &[]);
        }
        let outcome = self.run(batch);
        self.collect_traces();
        self.end_log();
        if let Some(instance) = &mut self.instance {
            instance.batches += 1;
            if instance.is_worn(&self.parts.limits) {
                self.instance = None;
            }
        }
        outcome
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.parts.name)
            .field("descriptor", &self.parts.descriptor)
            .finish_non_exhaustive()
    }
}
