//! Result rows for tests, to be adapted as needed: `StepRecord { n_node: 9, ..step(3) }`.
//!
//! Optional columns are null unless set here.

use batchlab_core::record::{
    BlockRecord, EvalRecord, EventRecord, MetricRecord, RunRecord, SCHEMA_VERSION, StepRecord,
};

/// A completed run without measurements.
#[must_use]
pub fn run(run_id: &str) -> RunRecord {
    RunRecord {
        run_id: run_id.into(),
        schema_version: SCHEMA_VERSION,
        study: "test".into(),
        status: "completed".into(),
        config: "{}".into(),
        device: "cpu".into(),
        dataset: "qm9".into(),
        model: "schnet".into(),
        batcher: "dynamic".into(),
        is_whole: Some(true),
        weighting: "per-batch-mean".into(),
        evaluation_batcher: "dynamic".into(),
        timing: "combined".into(),
        n_step_planned: Some(1),
        ..RunRecord::default()
    }
}

/// A step that took a nanosecond, on a batch of one graph with one node and no padding.
#[must_use]
pub fn step(step: i64) -> StepRecord {
    StepRecord {
        step,
        n_graph: 1,
        n_node: 1,
        n_output: 1,
        n_graph_padded: 1,
        n_node_padded: 1,
        n_output_padded: 1,
        step_ns: 1,
        weight_sum: 1.0,
        ..StepRecord::default()
    }
}

/// An evaluation of the test set without results.
#[must_use]
pub fn eval(step: i64) -> EvalRecord {
    EvalRecord { step, subset: "test".into(), ..EvalRecord::default() }
}

#[must_use]
pub fn event() -> EventRecord {
    EventRecord { kind: "note".into(), ..EventRecord::default() }
}

#[must_use]
pub fn metric() -> MetricRecord {
    MetricRecord { run_id: String::new(), step: None, name: "x".into(), value: 0.0 }
}

/// A block of one step.
#[must_use]
pub fn block(block: i64) -> BlockRecord {
    BlockRecord {
        block,
        turn: block,
        first_step: 1 + block,
        n_step: 1,
        wall_ns: 1,
        ..BlockRecord::default()
    }
}
