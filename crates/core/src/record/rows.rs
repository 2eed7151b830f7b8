//! The rows of the six tables. To add a column, only this file needs to change.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

use super::{Column, ColumnValue, Record, Table, Timestamp};

/// The values of a column, from rows that conform to the schema.
fn values<T: ColumnValue>(rows: &RecordBatch, name: &str) -> Result<Vec<T>, ArrowError> {
    rows.column_by_name(name).and_then(|array| T::values(array)).ok_or_else(|| {
        ArrowError::SchemaError(format!("column \"{name}\" lacks values that are required"))
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
        /// Identifier of the run: start time and a hash of its configuration.
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
        /// The resolved configuration, including all defaults, as JSON.
        config: String,
        /// SHA-256 of the resolved configuration.
        config_hash: Option<String>,
        /// Version of batchlab.
        version: Option<String>,
        /// Commit from which batchlab was built; null outside a repository.
        git_commit: Option<String>,
        /// Whether the working tree differed from that commit when batchlab was built.
        git_dirty: Option<bool>,
        /// Version of the Rust compiler.
        rustc: Option<String>,
        /// `debug` or `release`.
        build_profile: Option<String>,
        /// Host name.
        host: Option<String>,
        /// Operating system and kernel.
        os: Option<String>,
        /// CPU model.
        cpu_model: Option<String>,
        /// Number of CPUs that the run may use.
        cpu_count: Option<i64>,
        /// Number of engine threads, on each rank.
        n_thread: Option<i64>,
        /// Number of ranks that trained together; null or 1: one process.
        n_rank: Option<i64>,
        /// Device of the engine, `cpu` or `cuda:0`.
        device: String,
        /// The program that computes the steps, with its version: batchlab itself, or that of a
        /// model in another process, such as `jax 0.10.2`.
        engine: Option<String>,
        /// Data set.
        dataset: String,
        /// SHA-256 over everything that training can see of the data.
        dataset_hash: Option<String>,
        /// Kind of output, the unit of `n_output`: `graph` or `node`.
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
        /// Standard deviation of the target over the training graphs, in its unit; 0 if all values
        /// are equal, in which case the target is trained at its original scale.
        target_std: Option<f64>,
        /// Model.
        model: String,
        /// Number of trainable parameters.
        n_parameter: Option<i64>,
        /// Label of the batching strategy, for example `static-64`.
        batcher: String,
        /// Whether a batch contains everything that its outputs depend on. Such strategies compute
        /// the same function and can be ranked by time per output; the others drop nodes or edges
        /// and are better compared by time to a given accuracy.
        is_whole: Option<bool>,
        /// B: at most B - 1 real graphs in a batch, plus one slot for padding.
        batch_size: Option<i64>,
        /// Weighting of the outputs in the gradient: `per-batch-mean`, `per-graph`, `per-node`.
        weighting: String,
        /// Batching strategy of all evaluations.
        evaluation_batcher: String,
        /// `stages`: synchronised at every boundary; `combined`: synchronised once per step, while
        /// the next batch is prepared. Never mix the two in one figure.
        timing: String,
        /// Batches prefetched by another thread; 0 means no prefetching.
        prefetch_depth: i64,
        /// Seed of the split.
        seed_split: Option<i64>,
        /// Seed of the order of the graphs.
        seed_order: Option<i64>,
        /// Seed of the initial parameters.
        seed_init: Option<i64>,
        /// Number of steps requested; null if the length was given in epochs.
        n_step_planned: Option<i64>,
        /// Maximum number of epochs requested; null if the length was given in steps.
        n_epoch_planned: Option<i64>,
        /// Number of requested steps that were done.
        n_step: Option<i64>,
        /// Distinct padded shapes in these steps: the number of compilations of an engine that
        /// compiles per shape.
        n_shape: Option<i64>,
        /// Time to load the data, in nanoseconds.
        load_ns: Option<i64>,
        /// Time to open the batcher of the training set, in nanoseconds. Preparation served from
        /// the cache of an earlier run counts with its original cost.
        prepare_ns: Option<i64>,
        /// Time of these steps without evaluations, in nanoseconds.
        train_ns: Option<i64>,
        /// Total time of all evaluations, in nanoseconds.
        eval_ns: Option<i64>,
        /// Peak host memory of the process, in bytes; null if the system does not report it, and
        /// for runs of a cell, which share a process.
        peak_host_bytes: Option<i64>,
        /// Peak device memory while this run was active, in bytes, including what other runs of its
        /// cell keep there but not what libraries reserve; null on a CPU, and if a run failed in
        /// its first turn.
        peak_device_bytes: Option<i64>,
        /// Cell of a study: its runs were trained alternately in one process, so that they can be
        /// compared block by block. A restarted cell has a new name. Null for a standalone run.
        cell: Option<String>,
        /// Index of the repetition within the study, from 0.
        repeat: Option<i64>,
        /// Number of repetitions requested by the study when the run was trained.
        n_repeat: Option<i64>,
        /// Whether the cell had exclusive use of the device while it ran.
        is_exclusive: Option<bool>,
        /// Number of times the run was started or resumed; 1 if it was never interrupted. The times
        /// of a resumed run come from several processes.
        n_attempt: Option<i64>,
        /// Number n of interim analyses at which the confidence intervals could stop the cell; each
        /// uses 1/n of the significance level. Null or 0: the number of pairs did not depend on the
        /// measurements.
        n_look: Option<i64>,
        /// The run whose last checkpoint this one continues, including the numbering of steps. Null
        /// if it started with initial parameters.
        parent: Option<String>,
    }
}

record! {
    /// One row per training step. Times are raw samples in nanoseconds. With timing = combined, the
    /// stages on the device are not timed separately and are null; with prefetching, planning and
    /// collating happen in another thread and are not part of `step_ns`, but waiting for it is. A
    /// step with a non-finite loss has a row but is not counted as done.
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
        /// Outputs that enter the loss: the real graphs, or the output nodes of one large graph.
        n_output: i64,
        /// Graphs with padding.
        n_graph_padded: i64,
        /// Nodes with padding.
        n_node_padded: i64,
        /// Edges with padding.
        n_edge_padded: i64,
        /// Outputs with padding.
        n_output_padded: i64,
        /// Index of the padded shape, in order of first appearance, from 0.
        shape_id: i64,
        /// Whether the shape appeared for the first time.
        is_new_shape: bool,
        /// Whether the step belongs to the warm-up, which summaries exclude: in a cell, block 0.
        is_warmup: bool,
        /// Deciding the content of the batch.
        plan_ns: Option<i64>,
        /// Copying and padding.
        collate_ns: Option<i64>,
        /// Waiting for a batch prepared by another thread.
        wait_ns: Option<i64>,
        /// Copying to the device.
        upload_ns: Option<i64>,
        /// Computing predictions and loss.
        forward_ns: Option<i64>,
        /// Computing gradients.
        backward_ns: Option<i64>,
        /// Updating the parameters.
        optimiser_ns: Option<i64>,
        /// On several ranks: from a rank's last gradient until the slowest rank had its own, as a
        /// mean over the ranks. The four stages above are those of rank 0.
        rank_wait_ns: Option<i64>,
        /// On several ranks: summing gradients over the ranks, after all had arrived.
        all_reduce_ns: Option<i64>,
        /// On several ranks: real edges of the rank that has the most. Numbers of graphs, nodes,
        /// edges and outputs, with and without padding, are those of all ranks together.
        n_edge_rank: Option<i64>,
        /// The whole step, from the request for the batch to the updated parameters. With timing =
        /// combined, work that a GPU has left when the loss is returned counts towards the next
        /// step.
        step_ns: i64,
        /// The minimised mean loss, in standardised units.
        loss: f64,
        /// Sum of the output weights of the batch.
        weight_sum: f64,
        /// Learning rate of the step.
        learning_rate: f64,
        /// Block of the cell, from 0: in each block every run of the cell trains one stretch of
        /// steps. Null for a standalone run.
        block: Option<i64>,
        /// Index of this stretch of steps in the cell, in training order, from 0.
        turn: Option<i64>,
        /// Whether the step is beyond the requested ones and was trained for timing only; errors
        /// and checkpoints are from before.
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
        /// Number of outputs evaluated: graphs, or nodes of one large graph.
        n_output: Option<i64>,
        /// Mean loss, in standardised units.
        loss: Option<f64>,
        /// Root mean squared error in the unit of the target; null for classes.
        rmse: Option<f64>,
        /// Mean absolute error in the unit of the target; null for classes.
        mae: Option<f64>,
        /// Fraction of outputs with the correct class; null for numeric targets.
        accuracy: Option<f64>,
        /// Macro-averaged F1 score: mean of the harmonic means of precision and recall over the
        /// classes that occur or are predicted; null for numeric targets.
        macro_f1: Option<f64>,
        /// Root mean squared error of always predicting the mean of the training set, in the unit
        /// of the target.
        rmse_of_mean: Option<f64>,
        /// Time of the evaluation, in nanoseconds; if it covers several subsets, the time is
        /// divided in proportion to their outputs.
        eval_ns: Option<i64>,
        /// Time of the run's training steps before the evaluation, without preparation and
        /// evaluations, in nanoseconds.
        train_ns: Option<i64>,
        /// Batching strategy of the evaluation.
        eval_batcher: Option<String>,
    }
}

record! {
    /// One row per event: a new shape, a non-finite value, an interruption.
    "events" => EventRecord in Events {
        /// Identifier of the run.
        run_id: String,
        /// Time of the event.
        at: Option<Timestamp>,
        /// Number of steps done before; null before training.
        step: Option<i64>,
        /// `disturbed` (comparisons of times exclude the mirrored pair of blocks whose number is
        /// `pair` in the payload), `new_shape`, `recorded_step` (a step was recorded for replay on
        /// a GPU), `nan`, `interrupted`, `lost_ranks` (a rank did not answer), `checkpoint`,
        /// `resumed`, `crashed`, `threads` (more threads than CPUs), `arithmetic` (the run
        /// continues with other vector instructions or another engine), `timing_ended` (the steps
        /// for timing only ended early), `learning_rate` (reduced, because the validation loss no
        /// longer decreased), `early_stopping`, an event reported by a batcher, such as `oversize`, or a warning before training: `unseen_class`,
        /// `mostly_oversize`, `small_training_set`, `mostly_without_edges`, `untrained_class`,
        /// `edges_without_weights`, `empty_subset` (a share that rounds down to nothing),
        /// `constant_target`, `stages_not_timed` (the model computes a step in one call, so its
        /// stages have no times of their own).
        kind: String,
        /// Message for the user.
        message: String,
        /// Details as JSON. For `nan`: the `members` of the batch and their `names` in the source
        /// of the data, the cursors before and after it, and in `replay` the configuration and the
        /// command that repeat the run up to that step.
        payload: Option<String>,
    }
}

record! {
    /// One row per named number without its own column, including numbers from plugins.
    "metrics" => MetricRecord in Metrics {
        /// Identifier of the run.
        run_id: String,
        /// Number of steps done before; null for a number about the whole run.
        step: Option<i64>,
        /// Name of the number, for example `batcher.budget_n_node`.
        name: String,
        /// The number.
        value: f64,
    }
}

record! {
    /// One row per block of a run in a cell: when it was trained, and the state of the machine
    /// during that time. The last four columns are null if the system does not report them.
    "blocks" => BlockRecord in Blocks {
        /// Identifier of the run.
        run_id: String,
        /// Block of the cell, from 0; block 0 is the warm-up.
        block: i64,
        /// Index of this stretch of steps in the cell, in training order, from 0.
        turn: i64,
        /// First step of the block.
        first_step: i64,
        /// Number of steps in the block.
        n_step: i64,
        /// Whether all its steps were trained for timing only.
        is_timing_only: bool,
        /// Start time.
        started_at: Option<Timestamp>,
        /// Wall time from start to end, including evaluations within the block.
        wall_ns: i64,
        /// Mean number of CPUs kept busy by other processes of the machine during the block.
        load: Option<f64>,
        /// Steal time of a virtual machine, summed over CPUs.
        steal_ns: Option<i64>,
        /// Mean frequency in megahertz at the end of the block, over as many CPUs as the engine has
        /// threads, taking the fastest.
        cpu_mhz: Option<f64>,
        /// Involuntary context switches of this process's threads: by preemption, or by yielding
        /// the CPU while waiting for other threads.
        n_involuntary_switch: Option<i64>,
    }
}
