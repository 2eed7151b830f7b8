//! A study of invented runs with known truth: strategies interleaved in cells.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]
#![allow(dead_code, reason = "each user takes what it needs")]

use std::fs::{self, File};
use std::path::Path;

use batchlab_core::record::{
    EvalRecord, EventRecord, MetricRecord, Record, RunRecord, SCHEMA_VERSION, StepRecord,
};
use batchlab_testkit::records;
use parquet::arrow::ArrowWriter;

/// Nanoseconds of planning per real graph.
pub(crate) const PLANNING: f64 = 1_000.0;
/// Nanoseconds of copying per edge, padding included.
pub(crate) const COPY: f64 = 20.0;
/// Nanoseconds of device work per step.
pub(crate) const PER_STEP: f64 = 400_000.0;
/// Nanoseconds of device work per edge, padding included.
pub(crate) const PER_EDGE: f64 = 5_000.0;
/// Nanoseconds for the first use of a shape.
pub(crate) const NEW_SHAPE: f64 = 2_000_000.0;
/// Edges per graph.
pub(crate) const EDGES: i64 = 10;

/// A strategy: its name, its configuration, real graphs and padded edges per step at B = 16, and
/// new shapes in a measured block.
pub(crate) struct Strategy {
    pub(crate) name: &'static str,
    config: &'static str,
    pub(crate) n_graph: i64,
    pub(crate) padded_n_edge: i64,
    pub(crate) n_new_shape: i64,
    n_shape: i64,
}

pub(crate) const STRATEGIES: [Strategy; 6] = [
    Strategy {
        name: "static-64",
        config: r#"{"name": "static", "padding": {"multiple": 64}}"#,
        n_graph: 15,
        padded_n_edge: 192,
        n_new_shape: 2,
        n_shape: 40,
    },
    Strategy {
        name: "static-2^N",
        config: r#"{"name": "static", "padding": {"power": 2}}"#,
        n_graph: 15,
        padded_n_edge: 256,
        n_new_shape: 0,
        n_shape: 3,
    },
    Strategy {
        name: "static-constant",
        config: r#"{"name": "static", "padding": "constant"}"#,
        n_graph: 15,
        padded_n_edge: 448,
        n_new_shape: 0,
        n_shape: 1,
    },
    Strategy {
        name: "exact",
        config: r#"{"name": "static", "padding": "none"}"#,
        n_graph: 15,
        padded_n_edge: 150,
        n_new_shape: 0,
        n_shape: 500,
    },
    Strategy {
        name: "dynamic",
        config: r#"{"name": "dynamic", "padding": "constant"}"#,
        n_graph: 18,
        padded_n_edge: 192,
        n_new_shape: 0,
        n_shape: 1,
    },
    Strategy {
        name: "dynamic-exact",
        config: r#"{"name": "dynamic", "padding": "none"}"#,
        n_graph: 18,
        padded_n_edge: 180,
        n_new_shape: 0,
        n_shape: 600,
    },
];

impl Strategy {
    /// Nanoseconds of device work per real graph, without disturbance.
    pub(crate) fn work(&self) -> f64 {
        (PER_STEP + PER_EDGE * self.padded_n_edge as f64) / self.n_graph as f64
    }
}

/// The measurements of a study.
pub(crate) struct Study {
    /// Prefix of the names of its runs.
    pub(crate) name: &'static str,
    pub(crate) timing: &'static str,
    pub(crate) prefetch_depth: i64,
    pub(crate) batch_size: i64,
    pub(crate) n_cell: i64,
    /// Measured blocks, after the warm-up block 0.
    pub(crate) n_block: i64,
    /// Steps per block.
    pub(crate) n_step: i64,
    /// Spread between blocks, as a share of the time.
    pub(crate) noise: f64,
    /// Number of strategies to use.
    pub(crate) n_strategy: usize,
    /// Cell, block and strategy in which everything takes three times as long; its pair is
    /// excluded.
    pub(crate) stalled: Option<(i64, i64, usize)>,
}

impl Default for Study {
    fn default() -> Self {
        Self {
            name: "",
            timing: "stages",
            prefetch_depth: 0,
            batch_size: 16,
            n_cell: 2,
            n_block: 6,
            n_step: 10,
            noise: 0.01,
            n_strategy: STRATEGIES.len(),
            stalled: None,
        }
    }
}

/// Writes all runs and returns their IDs. Calls `change` before writing each run.
pub(crate) fn write(dir: &Path, study: &Study, change: impl Fn(&mut RunRecord)) -> Vec<String> {
    let mut ids = Vec::new();
    for cell in 0..study.n_cell {
        for (place, strategy) in STRATEGIES[..study.n_strategy].iter().enumerate() {
            let (timing, depth, size) = (study.timing, study.prefetch_depth, study.batch_size);
            let cell_id = format!("{}{timing}-{depth}-{size}-{cell}", study.name);
            let run_id = format!("{cell_id}-{place}");
            let steps = steps(&run_id, study, strategy, cell, place as i64);
            let mut run = run(&run_id, &cell_id, cell, study, strategy);
            change(&mut run);
            table(dir, &run_id, &[run]);
            table(dir, &run_id, &steps);
            table(dir, &run_id, &evals(&run_id, study, cell, place as i64));
            table::<MetricRecord>(dir, &run_id, &[]);
            table(dir, &run_id, &events(&run_id, study, cell));
            ids.push(run_id);
        }
    }
    ids
}

fn table<R: Record>(dir: &Path, run_id: &str, rows: &[R]) {
    let folder = dir.join("tables").join(R::TABLE.name());
    fs::create_dir_all(&folder).unwrap();
    let file = File::create(folder.join(format!("{run_id}.parquet"))).unwrap();
    let mut writer = ArrowWriter::try_new(file, R::TABLE.schema(), None).unwrap();
    writer.write(&R::to_batch(rows).unwrap()).unwrap();
    writer.close().unwrap();
}

fn run(run_id: &str, cell_id: &str, cell: i64, study: &Study, strategy: &Strategy) -> RunRecord {
    RunRecord {
        run_id: run_id.into(),
        schema_version: SCHEMA_VERSION,
        study: "invented".into(),
        status: "completed".into(),
        config: format!(r#"{{"batcher": {}, "model": {{"name": "schnet"}}}}"#, strategy.config),
        version: Some("0.1.0".into()),
        build_profile: Some("release".into()),
        host: Some("invented".into()),
        cpu_model: Some("no processor".into()),
        device: "cpu".into(),
        n_thread: Some(2),
        dataset: "invented".into(),
        dataset_hash: Some("0123456789abcdef".into()),
        model: "schnet".into(),
        batcher: strategy.name.into(),
        batch_size: Some(study.batch_size),
        target_unit: Some("eV".into()),
        timing: study.timing.into(),
        prefetch_depth: study.prefetch_depth,
        seed_split: Some(cell),
        seed_order: Some(cell),
        seed_init: Some(cell),
        n_step_planned: Some(study.n_step * (study.n_block + 1)),
        n_step: Some(study.n_step * (study.n_block + 1)),
        n_shape: Some(strategy.n_shape),
        cell: Some(cell_id.into()),
        repeat: Some(cell),
        is_exclusive: Some(true),
        n_attempt: Some(1),
        n_look: None,
        ..records::run("")
    }
}

fn events(run_id: &str, study: &Study, cell: i64) -> Vec<EventRecord> {
    let of_cell = study.stalled.filter(|stalled| stalled.0 == cell);
    let event = |(_, block, _): (i64, i64, usize)| EventRecord {
        run_id: run_id.into(),
        at: None,
        step: None,
        kind: "disturbed".into(),
        message: String::new(),
        payload: Some(format!(r#"{{"pair": {}}}"#, (block + 1) / 2)),
    };
    of_cell.map(event).into_iter().collect()
}

/// Steps of a run. The disturbance of a block is shared by all strategies; on top of it comes a
/// small one that is specific to strategy and block and averages to 0 over the blocks of a cell.
fn steps(
    run_id: &str,
    study: &Study,
    strategy: &Strategy,
    cell: i64,
    place: i64,
) -> Vec<StepRecord> {
    let mut rows = Vec::new();
    let is_serial = study.prefetch_depth == 0;
    let scale = study.batch_size / 16;
    let (n_graph, padded_n_edge) = (scale * strategy.n_graph, scale * strategy.padded_n_edge);
    for block in 0..=study.n_block {
        let machine = 1.0 + 0.2 * ((block * 7 + cell * 3) % 5) as f64;
        let sign = if (block + place) % 2 == 0 { 1.0 } else { -1.0 };
        let is_stalled = study
            .stalled
            .is_some_and(|(c, b, p)| (c, b, i64::try_from(p).unwrap()) == (cell, block, place));
        let stall = if is_stalled { 3.0 } else { 1.0 };
        let own = stall * (sign * study.noise * (1 + block % 3) as f64).exp();
        for i in 0..study.n_step {
            let factor = machine * own * if block == 0 { 30.0 } else { 1.0 };
            let is_new = block > 0 && i < strategy.n_new_shape;
            let edges = padded_n_edge as f64;
            let plan = factor * PLANNING * n_graph as f64;
            let collate = factor * COPY * edges;
            let work = factor * (PER_STEP + PER_EDGE * edges);
            let wait = if is_serial { 0.0 } else { 0.1 * collate };
            let in_step = if is_serial { plan + collate } else { wait };
            let total = work + in_step + if is_new { factor * NEW_SHAPE } else { 0.0 };
            let ns = |x: f64| x.round() as i64;
            let stage = |share: f64| (study.timing == "stages").then(|| ns(share * work));
            rows.push(StepRecord {
                run_id: run_id.into(),
                step: block * study.n_step + i + 1,
                n_graph,
                n_output: n_graph,
                n_node: n_graph * 4,
                n_edge: n_graph * EDGES,
                n_graph_padded: n_graph + 1,
                n_node_padded: n_graph * 4 + 8,
                n_edge_padded: padded_n_edge,
                is_new_shape: is_new || (block == 0 && i == 0),
                is_warmup: block == 0,
                plan_ns: Some(ns(plan)),
                collate_ns: Some(ns(collate)),
                wait_ns: (!is_serial).then(|| ns(wait)),
                upload_ns: stage(0.02),
                forward_ns: stage(0.4),
                backward_ns: stage(0.5),
                optimiser_ns: stage(0.05),
                step_ns: ns(total),
                block: Some(block),
                turn: Some(block * 6 + place),
                is_timing_only: Some(false),
                ..records::step(1)
            });
        }
    }
    rows
}

fn evals(run_id: &str, study: &Study, cell: i64, place: i64) -> Vec<EvalRecord> {
    let n_step = study.n_step * (study.n_block + 1);
    let mut rows = Vec::new();
    for subset in ["validation", "test"] {
        for i in 0..=4 {
            let noise = 0.02 * ((cell * 5 + place * 3 + i) % 7) as f64;
            rows.push(EvalRecord {
                run_id: run_id.into(),
                step: i * n_step / 4,
                subset: subset.into(),
                rmse: Some(2.0 / (1 + i) as f64 + noise),
                ..records::eval(0)
            });
        }
    }
    rows
}
