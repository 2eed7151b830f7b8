//! The rows of the six tables. A column is added here alone.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

use super::{Column, ColumnValue, Record, Table, Timestamp};

/// The values of a column of conformed rows.
fn values<T: ColumnValue>(rows: &RecordBatch, name: &str) -> Result<Vec<T>, ArrowError> {
    rows.column_by_name(name).and_then(|array| T::values(array)).ok_or_else(|| {
        ArrowError::SchemaError(format!("column \"{name}\" lacks values that must be there"))
    })
}

macro_rules! record {
    (
        $(#[doc = $description:literal])*
        $table:literal => $record:ident in $variant:ident {
            $( $(#[doc = $doc:literal])* $field:ident: $type:ty, )*
        }
    ) => {
        $(#[doc = $description])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $record {
            $( $(#[doc = $doc])* pub $field: $type, )*
        }

        impl $record {
            pub(super) const NAME: &'static str = $table;
            pub(super) const DESCRIPTION: &'static str = concat!($($description),*);
            pub(super) const COLUMNS: &'static [Column] = &[$(Column {
                name: stringify!($field),
                description: concat!($($doc),*),
                is_optional: <$type as ColumnValue>::IS_OPTIONAL,
                data_type: <$type as ColumnValue>::data_type,
            }),*];
        }

        impl Record for $record {
            const TABLE: Table = Table::$variant;
            fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
                RecordBatch::try_new(
                    Table::$variant.schema(),
                    vec![$(ColumnValue::array(&mut rows.iter().map(|row| &row.$field))),*],
                )
            }
            fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError> {
                let batch = Table::$variant.conform(batch)?;
                $(let mut $field = values::<$type>(&batch, stringify!($field))?.into_iter();)*
                let row = || Some(Self { $($field: $field.next()?),* });
                Ok(std::iter::from_fn(row).collect())
            }
        }
    };
}

record! {
    /// One row per run: what was run, on what, and how it ended.
    "runs" => RunRecord in Runs {
        /// Identifier of the run: time of its start and a hash of its configuration.
        run_id: String,
        /// Version of this schema.
        schema_version: i64,
        /// Study that the run belongs to.
        study: String,
        /// When the run started.
        started_at: Option<Timestamp>,
        /// When the run ended.
        finished_at: Option<Timestamp>,
        /// `completed`, `nan`, `interrupted`, `failed`, or `crashed`: the process was killed or the
        /// machine stopped, and `batchlab doctor` recovered the rows.
        status: String,
        /// Why the run did not complete.
        error: Option<String>,
        /// The resolved configuration, all defaults filled in, as JSON.
        config: String,
        /// SHA-256 of the resolved configuration.
        config_hash: Option<String>,
        /// Version of batchlab.
        version: Option<String>,
        /// Commit from which batchlab was built; null outside a repository.
        git_commit: Option<String>,
        /// Whether files differed from that commit when batchlab was built.
        git_dirty: Option<bool>,
        /// Rust compiler.
        rustc: Option<String>,
        /// `debug` or `release`.
        build_profile: Option<String>,
        /// Name of the machine.
        host: Option<String>,
        /// Operating system and its kernel.
        os: Option<String>,
        /// Model of the processor.
        cpu_model: Option<String>,
        /// Processors that the run may use.
        cpu_count: Option<i64>,
        /// Threads that the engine uses.
        n_thread: Option<i64>,
        /// Device of the engine, `cpu` or `cuda:0`.
        device: String,
        /// The program that computes the steps, with its version: this one, or that of a model in another
        /// process, such as `jax 0.10.2`.
        engine: Option<String>,
        /// Data set.
        dataset: String,
        /// SHA-256 over everything that training can see of the data.
        dataset_hash: Option<String>,
        /// What one output is, the unit of `n_output`: `graph` or `node`.
        output: Option<String>,
        /// Graphs in the data set.
        n_dataset_graph: Option<i64>,
        /// Graphs for training.
        n_train: Option<i64>,
        /// Graphs for validation.
        n_validation: Option<i64>,
        /// Graphs for testing.
        n_test: Option<i64>,
        /// Target.
        target: Option<String>,
        /// Unit of the target.
        target_unit: Option<String>,
        /// Mean of the target over the training graphs, in its unit.
        target_mean: Option<f64>,
        /// Standard deviation of the target over the training graphs, in its unit; 0 if all have the
        /// same value, which is then trained with its own scale.
        target_std: Option<f64>,
        /// Model.
        model: String,
        /// Trainable numbers of the model.
        n_parameter: Option<i64>,
        /// Batching strategy as results name it, for example `static-64`.
        batcher: String,
        /// Whether a batch holds all that its outputs depend on. Strategies of which this is true compute
        /// the same function and can be ranked by time per output; of others, which choose among nodes
        /// or edges, the time to an accuracy says more.
        is_whole: Option<bool>,
        /// B: at most B - 1 real graphs in a batch, and one slot for padding.
        batch_size: Option<i64>,
        /// How much each output counts in the gradient: `per-batch-mean`, `per-graph`, `per-node`.
        weighting: String,
        /// Batching strategy of all evaluations.
        evaluation_batcher: String,
        /// `stages`: synchronised at every boundary; `combined`: once per step, next batch
        /// prepared meanwhile. Never mix the two in one figure.
        timing: String,
        /// Batches prepared ahead by another thread; 0 means none.
        prefetch_depth: i64,
        /// Seed of the split.
        seed_split: Option<i64>,
        /// Seed of the order of the graphs.
        seed_order: Option<i64>,
        /// Seed of the initial parameters.
        seed_init: Option<i64>,
        /// Steps asked for; null where epochs were.
        n_step_planned: Option<i64>,
        /// Epochs asked for, at most; null where steps were.
        n_epoch_planned: Option<i64>,
        /// Steps done, of those asked for.
        n_step: Option<i64>,
        /// Distinct padded shapes that these steps met; the number of compilations of an engine that
        /// compiles per shape.
        n_shape: Option<i64>,
        /// Loading the data, in nanoseconds.
        load_ns: Option<i64>,
        /// Opening the batcher of the training set, in nanoseconds. Preparation whose result was kept by
        /// an earlier run counts with the time that it took then.
        prepare_ns: Option<i64>,
        /// These steps, without evaluations, in nanoseconds.
        train_ns: Option<i64>,
        /// All evaluations, in nanoseconds.
        eval_ns: Option<i64>,
        /// Largest memory of the process on the host, in bytes; null where the system does not say, and
        /// for runs of a cell, which share a process.
        peak_host_bytes: Option<i64>,
        /// Largest memory on the device while this run was at work, in bytes, with what other runs of its
        /// cell keep there and without what libraries do; null on a CPU, and where a run failed in its first turn.
        peak_device_bytes: Option<i64>,
        /// Cell of a study: its runs were trained in one process, alternately, so that they can be
        /// compared block by block. A cell that was started again has another name. Null for a run
        /// of its own.
        cell: Option<String>,
        /// Number of the repetition within the study, from 0.
        repeat: Option<i64>,
        /// Repetitions that the study asked for when the run was trained.
        n_repeat: Option<i64>,
        /// Whether the cell kept all other cells off the device while it ran.
        is_exclusive: Option<bool>,
        /// How often the run was started or resumed; 1 if it was never interrupted. The times of a
        /// run that was resumed come from several processes.
        n_attempt: Option<i64>,
        /// How often the cell was allowed to stop by its intervals; each look uses the n-th part of the
        /// level. Null or 0: the number of pairs did not depend on what was measured.
        n_look: Option<i64>,
        /// The run from whose last checkpoint this one started; its steps are numbered on from there. Null:
        /// it started with initial parameters.
        parent: Option<String>,
    }
}

record! {
    /// One row per training step. Times are raw samples in nanoseconds. With timing = combined the
    /// stages on the device are not timed on their own and null; with prefetching, planning and
    /// collating happen in another thread and are no part of `step_ns`, waiting for it is. A step
    /// whose loss is not finite has a row, but is not counted as done.
    "steps" => StepRecord in Steps {
        /// Identifier of the run.
        run_id: String,
        /// Step, from 1.
        step: i64,
        /// Epoch in which the batch was completed, from 0.
        epoch: i64,
        /// Real graphs.
        n_graph: i64,
        /// Real nodes.
        n_node: i64,
        /// Real edges.
        n_edge: i64,
        /// Outputs that the loss sees: the real graphs, or the output nodes of one large graph.
        n_output: i64,
        /// Graphs with padding.
        n_graph_padded: i64,
        /// Nodes with padding.
        n_node_padded: i64,
        /// Edges with padding.
        n_edge_padded: i64,
        /// Outputs with padding.
        n_output_padded: i64,
        /// Number of the padded shape, in the order of first appearance, from 0.
        shape_id: i64,
        /// Whether the shape appeared for the first time.
        is_new_shape: bool,
        /// Whether the step belongs to the warm-up, which summaries leave out: in a cell, block 0.
        is_warmup: bool,
        /// Deciding what is in the batch.
        plan_ns: Option<i64>,
        /// Copying and padding.
        collate_ns: Option<i64>,
        /// Waiting for a batch that another thread prepares.
        wait_ns: Option<i64>,
        /// Copying to the device.
        upload_ns: Option<i64>,
        /// Predictions and loss.
        forward_ns: Option<i64>,
        /// Gradients.
        backward_ns: Option<i64>,
        /// Change of the parameters.
        optimiser_ns: Option<i64>,
        /// The whole step, from asking for the batch to the changed parameters. With timing =
        /// combined, what a GPU has still to do when the loss has come back is counted in the next
        /// step.
        step_ns: i64,
        /// Mean loss that was minimised, in standardised units.
        loss: f64,
        /// Sum of the output weights of the batch.
        weight_sum: f64,
        /// Learning rate of the step.
        learning_rate: f64,
        /// Block of the cell, from 0: in each block every run of the cell trains one stretch of
        /// steps. Null for a run of its own.
        block: Option<i64>,
        /// Which stretch of steps of the cell this is, in the order in which they were trained, from 0.
        turn: Option<i64>,
        /// Whether the step comes after those that were asked for, and was trained for its time alone:
        /// errors and checkpoints are from before.
        is_timing_only: Option<bool>,
    }
}

record! {
    /// One row per evaluation of one subset.
    "evals" => EvalRecord in Evals {
        /// Identifier of the run.
        run_id: String,
        /// Steps done before the evaluation.
        step: i64,
        /// `train`, `validation` or `test`.
        subset: String,
        /// Outputs evaluated: graphs, or nodes of one large graph.
        n_output: Option<i64>,
        /// Mean loss, in standardised units.
        loss: Option<f64>,
        /// Root mean squared error in the unit of the target; null for classes.
        rmse: Option<f64>,
        /// Mean absolute error in the unit of the target; null for classes.
        mae: Option<f64>,
        /// Share of outputs whose class is right; null for numbers.
        accuracy: Option<f64>,
        /// Mean over classes, those that occur or are predicted, of the harmonic mean of precision and
        /// recall; null for numbers.
        macro_f1: Option<f64>,
        /// Root mean squared error of predicting the mean of the training set, in the unit of the
        /// target.
        rmse_of_mean: Option<f64>,
        /// The evaluation, in nanoseconds; of one that serves several subsets, the share of its outputs.
        eval_ns: Option<i64>,
        /// The run's own training steps before it, without preparation and evaluations, in nanoseconds.
        train_ns: Option<i64>,
        /// Batching strategy of the evaluation.
        eval_batcher: Option<String>,
    }
}

record! {
    /// One row per thing that happened: a new shape, a value that is not finite, an interruption.
    "events" => EventRecord in Events {
        /// Identifier of the run.
        run_id: String,
        /// When it happened.
        at: Option<Timestamp>,
        /// Steps done before; null before training.
        step: Option<i64>,
        /// `disturbed` (no comparison of times uses a mirrored pair of blocks, whose number is the `pair` of the
        /// payload), `new_shape`, `recorded_step` (a step was recorded for a GPU to repeat), `nan`,
        /// `interrupted`, `checkpoint`, `resumed`, `crashed`, `threads` (there are more threads than
        /// processors), `arithmetic` (the run goes on with other vectors), `timing_ended` (steps for timing
        /// alone ended early), `learning_rate` (it was reduced, because the loss on the validation set no
        /// longer fell), `early_stopping`, what a batcher reports, such as `oversize`, or a warning before
        /// training: `unseen_class`, `mostly_oversize`, `small_training_set`, `mostly_without_edges`,
        /// `untrained_class`, `edges_without_weights`, `empty_subset` (a share that rounds down to
        /// nothing), `constant_target`.
        kind: String,
        /// Message for the user.
        message: String,
        /// Details as JSON. For `nan`: the `members` of the batch and their `names` in the source of the
        /// data, the cursors before and after it, and under `replay` the configuration and the command
        /// that repeats the run up to that step.
        payload: Option<String>,
    }
}

record! {
    /// One row per named number that has no column of its own; plugins put theirs here.
    "metrics" => MetricRecord in Metrics {
        /// Identifier of the run.
        run_id: String,
        /// Steps done before; null for a number about the whole run.
        step: Option<i64>,
        /// Name of the number, for example `batcher.budget_n_node`.
        name: String,
        /// The number.
        value: f64,
    }
}

record! {
    /// One row per block of a run in a cell: when it was trained, and what else the machine did
    /// meanwhile. The last four columns are null where the system does not say.
    "blocks" => BlockRecord in Blocks {
        /// Identifier of the run.
        run_id: String,
        /// Block of the cell, from 0; block 0 is the warm-up.
        block: i64,
        /// Which stretch of steps of the cell this is, in the order in which they were trained, from 0.
        turn: i64,
        /// The first of its steps.
        first_step: i64,
        /// Its steps.
        n_step: i64,
        /// Whether all of its steps were trained for their time alone.
        is_timing_only: bool,
        /// When it began.
        started_at: Option<Timestamp>,
        /// From its beginning to its end, with the evaluations that fell into it.
        wall_ns: i64,
        /// Processors that other processes of the machine kept at work, on average over the block.
        load: Option<f64>,
        /// Time that the machine below a virtual one gave to others, summed over processors.
        steal_ns: Option<i64>,
        /// Mean frequency at its end, in megahertz, of as many processors as the engine has threads: the
        /// fastest ones.
        cpu_mhz: Option<f64>,
        /// How often a thread of this process gave up its processor before its time: the system took it away,
        /// or the thread offered it while it waited for others.
        n_involuntary_switch: Option<i64>,
    }
}
