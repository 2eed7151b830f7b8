//! Rows of results for tests, to be changed where a test cares: `StepRecord { n_node: 9, ..step(3) }`.
//!
//! Optional columns are null.

use batchlab_core::record::{
    BlockRecord, EvalRecord, EventRecord, MetricRecord, RunRecord, SCHEMA_VERSION, StepRecord,
};

/// A run that completed, of which nothing was measured.
#[must_use]
pub fn run(run_id: &str) -> RunRecord {
    RunRecord {
        run_id: run_id.into(),
        schema_version: SCHEMA_VERSION,
        study: "test".into(),
        started_at: None,
        finished_at: None,
        status: "completed".into(),
        error: None,
        config: "{}".into(),
        config_hash: None,
        version: None,
        git_commit: None,
        git_dirty: None,
        rustc: None,
        build_profile: None,
        host: None,
        os: None,
        cpu_model: None,
        cpu_count: None,
        n_thread: None,
        device: "cpu".into(),
        engine: None,
        dataset: "qm9".into(),
        dataset_hash: None,
        output: None,
        n_dataset_graph: None,
        n_train: None,
        n_validation: None,
        n_test: None,
        target: None,
        target_unit: None,
        target_mean: None,
        target_std: None,
        model: "schnet".into(),
        n_parameter: None,
        batcher: "dynamic".into(),
        batch_size: None,
        is_whole: Some(true),
        weighting: "per-batch-mean".into(),
        evaluation_batcher: "dynamic".into(),
        timing: "combined".into(),
        prefetch_depth: 0,
        seed_split: None,
        seed_order: None,
        seed_init: None,
        n_step_planned: Some(1),
        n_epoch_planned: None,
        n_step: None,
        n_shape: None,
        load_ns: None,
        prepare_ns: None,
        train_ns: None,
        eval_ns: None,
        peak_host_bytes: None,
        peak_device_bytes: None,
        cell: None,
        repeat: None,
        is_exclusive: None,
        n_attempt: None,
        n_look: None,
        parent: None,
    }
}

/// A step that took a nanosecond, on a batch of one graph of one node and no padding.
#[must_use]
pub fn step(step: i64) -> StepRecord {
    StepRecord {
        run_id: String::new(),
        step,
        epoch: 0,
        n_graph: 1,
        n_node: 1,
        n_edge: 0,
        n_output: 1,
        n_graph_padded: 1,
        n_node_padded: 1,
        n_edge_padded: 0,
        n_output_padded: 1,
        shape_id: 0,
        is_new_shape: false,
        is_warmup: false,
        plan_ns: None,
        collate_ns: None,
        wait_ns: None,
        upload_ns: None,
        forward_ns: None,
        backward_ns: None,
        optimiser_ns: None,
        step_ns: 1,
        loss: 0.0,
        weight_sum: 1.0,
        learning_rate: 0.0,
        block: None,
        turn: None,
        is_timing_only: None,
    }
}

/// An evaluation of the test set that found nothing.
#[must_use]
pub fn eval(step: i64) -> EvalRecord {
    EvalRecord {
        run_id: String::new(),
        step,
        subset: "test".into(),
        n_output: None,
        loss: None,
        rmse: None,
        mae: None,
        accuracy: None,
        macro_f1: None,
        rmse_of_mean: None,
        eval_ns: None,
        train_ns: None,
        eval_batcher: None,
    }
}

#[must_use]
pub fn event() -> EventRecord {
    EventRecord {
        run_id: String::new(),
        at: None,
        step: None,
        kind: "note".into(),
        message: String::new(),
        payload: None,
    }
}

#[must_use]
pub fn metric() -> MetricRecord {
    MetricRecord { run_id: String::new(), step: None, name: "x".into(), value: 0.0 }
}

/// A block of one step.
#[must_use]
pub fn block(block: i64) -> BlockRecord {
    BlockRecord {
        run_id: String::new(),
        block,
        turn: block,
        first_step: 1 + block,
        n_step: 1,
        is_timing_only: false,
        started_at: None,
        wall_ns: 1,
        load: None,
        steal_ns: None,
        cpu_mhz: None,
        n_involuntary_switch: None,
    }
}
