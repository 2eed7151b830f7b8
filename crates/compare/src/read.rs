//! Runs, each reduced to the numbers that are compared.

use std::collections::BTreeMap;
use std::path::Path;

use batchlab_core::record::Table;
use batchlab_export::ExportError;
use batchlab_export::tables::{column, each, path_of, stems};
use serde_json::Value;

use crate::CompareError;

/// What is compared: one run, or all runs of a folder that did all their steps.
#[derive(Debug, Clone)]
pub struct Side {
    /// As it was named.
    pub name: String,
    /// The runs.
    pub runs: Vec<Run>,
    /// Runs of a folder that did not complete, and are left out.
    pub n_left_out: usize,
}

/// One run.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Identifier.
    pub run_id: String,
    pub(crate) status: String,
    pub(crate) model: String,
    pub(crate) dataset: String,
    pub(crate) batcher: String,
    pub(crate) batch_size: Option<i64>,
    pub(crate) cell: Option<String>,
    pub(crate) seeds: [Option<i64>; 3],
    pub(crate) config: Value,
    /// What besides the configuration decides on times.
    pub(crate) conditions: Vec<(&'static str, Value)>,
    /// Why its times have no interval, if so.
    pub(crate) untimed: Option<&'static str>,
    unit: Option<String>,
    /// Mean, without warm-up.
    pub(crate) step_ms: Option<f64>,
    /// Mean, without warm-up.
    pub(crate) graph_us: Option<f64>,
    pub(crate) graphs_per_step: Option<f64>,
    pub(crate) node_fill: Option<f64>,
    pub(crate) edge_fill: Option<f64>,
    pub(crate) n_shape: Option<f64>,
    pub(crate) blocks: BTreeMap<i64, Block>,
    /// Of the last evaluation of each subset, by name with unit.
    pub(crate) errors: BTreeMap<String, f64>,
    last_eval: BTreeMap<String, i64>,
}

/// The steps of one block, without warm-up. Block 0 is the warm-up of its cell and is not kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    pub(crate) ns: f64,
    pub(crate) n_step: f64,
    pub(crate) n_graph: f64,
}

impl Block {
    /// Whether it holds both time and graphs.
    pub(crate) fn is_measured(&self) -> bool {
        self.ns > 0.0 && self.n_graph > 0.0
    }
}

const TEXT_CONDITIONS: [&str; 9] = [
    "host",
    "cpu_model",
    "device",
    "os",
    "build_profile",
    "version",
    "git_commit",
    "dataset_hash",
    "timing",
];
const NUMBER_CONDITIONS: [&str; 2] = ["n_thread", "n_attempt"];

impl Side {
    /// One run of a study.
    ///
    /// # Errors
    /// A run without published results, a damaged file.
    pub fn of_run(name: &str, dir: &Path, run_id: &str) -> Result<Self, CompareError> {
        let unpublished = || CompareError::Unpublished {
            run_id: run_id.to_owned(),
            dir: dir.display().to_string(),
        };
        if !path_of(dir, Table::Runs, run_id).exists() {
            return Err(unpublished());
        }
        let mut runs = read(dir, run_id)?;
        runs.retain(|run| run.run_id == run_id);
        if runs.is_empty() {
            return Err(unpublished());
        }
        Ok(Self { name: name.to_owned(), runs, n_left_out: 0 })
    }

    /// All runs of a study that did all their steps.
    ///
    /// # Errors
    /// A folder without results, a damaged file.
    pub fn of_study(name: &str, dir: &Path) -> Result<Self, CompareError> {
        let mut runs = Vec::new();
        for stem in stems(dir)? {
            runs.extend(read(dir, &stem)?);
        }
        let n_all = runs.len();
        runs.retain(|run| run.status == "completed");
        let n_left_out = n_all - runs.len();
        if runs.is_empty() {
            return Err(ExportError::NoTables { dir: dir.to_owned() }.into());
        }
        Ok(Self { name: name.to_owned(), runs, n_left_out })
    }
}

fn read(dir: &Path, stem: &str) -> Result<Vec<Run>, ExportError> {
    let mut runs = BTreeMap::new();
    each(dir, Table::Runs, stem, |rows| {
        let text = |name| column::<String>(rows, name);
        let number = |name| column::<i64>(rows, name);
        let (ids, statuses, models) = (text("run_id"), text("status"), text("model"));
        let (datasets, batchers, cells) = (text("dataset"), text("batcher"), text("cell"));
        let (configs, units) = (text("config"), text("target_unit"));
        let (sizes, shapes) = (number("batch_size"), number("n_shape"));
        let seeds = ["seed_split", "seed_order", "seed_init"].map(number);
        let texts = TEXT_CONDITIONS.map(|name| (name, text(name)));
        let numbers = NUMBER_CONDITIONS.map(|name| (name, number(name)));
        let (attempts, exclusive) = (number("n_attempt"), column::<bool>(rows, "is_exclusive"));
        for row in 0..rows.num_rows() {
            let owned = |column: &[Option<String>]| column[row].clone().unwrap_or_default();
            let texts = texts.iter().map(|(name, column)| (*name, column[row].clone().into()));
            let numbers = numbers.iter().map(|(name, column)| (*name, column[row].into()));
            let run = Run {
                run_id: owned(&ids),
                status: owned(&statuses),
                model: owned(&models),
                dataset: owned(&datasets),
                batcher: owned(&batchers),
                batch_size: sizes[row],
                cell: cells[row].clone(),
                seeds: [0, 1, 2].map(|n: usize| seeds[n][row]),
                config: serde_json::from_str(&owned(&configs)).unwrap_or_default(),
                conditions: texts.chain(numbers).collect(),
                untimed: untimed(attempts[row], exclusive[row]),
                unit: units[row].clone().filter(|unit| unit != "1"),
                n_shape: shapes[row].map(|n| n as f64),
                ..Run::default()
            };
            runs.insert(run.run_id.clone(), run);
        }
        Ok(())
    })?;
    add_steps(dir, stem, &mut runs)?;
    add_evals(dir, stem, &mut runs)?;
    Ok(runs.into_values().collect())
}

/// Why the times of a run say little about others, if so.
fn untimed(n_attempt: Option<i64>, is_exclusive: Option<bool>) -> Option<&'static str> {
    if n_attempt.is_some_and(|n| n > 1) {
        return Some("was interrupted and resumed, so that its times come from several processes");
    }
    (is_exclusive == Some(false)).then_some("did not have the device for itself")
}

/// Sums over the steps of a run, without warm-up.
#[derive(Default)]
struct Sums {
    ns: f64,
    n_step: f64,
    n_graph: f64,
    nodes: [f64; 2],
    edges: [f64; 2],
}

fn add_steps(dir: &Path, stem: &str, runs: &mut BTreeMap<String, Run>) -> Result<(), ExportError> {
    const COUNTS: [&str; 5] = ["n_graph", "n_node", "padded_n_node", "n_edge", "padded_n_edge"];
    let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
    each(dir, Table::Steps, stem, |rows| {
        let ids = column::<String>(rows, "run_id");
        let (times, blocks) = (column::<i64>(rows, "step_ns"), column::<i64>(rows, "block"));
        let is_warmup = column::<bool>(rows, "is_warmup");
        let counts = COUNTS.map(|name| column::<i64>(rows, name));
        for row in 0..rows.num_rows() {
            let (Some(run_id), Some(ns)) = (&ids[row], times[row]) else { continue };
            let Some(run) = runs.get_mut(run_id) else { continue };
            // The first block of a cell is its warm-up.
            if is_warmup[row] == Some(true) || blocks[row] == Some(0) {
                continue;
            }
            let [n_graph, nodes, padded_nodes, edges, padded_edges] =
                [0, 1, 2, 3, 4].map(|n: usize| counts[n][row].unwrap_or(0) as f64);
            let sum = sums.entry(run_id.clone()).or_default();
            sum.ns += ns as f64;
            sum.n_step += 1.0;
            sum.n_graph += n_graph;
            sum.nodes = [sum.nodes[0] + nodes, sum.nodes[1] + padded_nodes];
            sum.edges = [sum.edges[0] + edges, sum.edges[1] + padded_edges];
            if let Some(block) = blocks[row] {
                let block = run.blocks.entry(block).or_default();
                block.ns += ns as f64;
                block.n_step += 1.0;
                block.n_graph += n_graph;
            }
        }
        Ok(())
    })?;
    for (run_id, sum) in sums {
        let Some(run) = runs.get_mut(&run_id) else { continue };
        let over = |a: f64, b: f64| (b > 0.0).then(|| a / b);
        run.step_ms = over(sum.ns / 1e6, sum.n_step);
        run.graph_us = over(sum.ns / 1e3, sum.n_graph);
        run.graphs_per_step = over(sum.n_graph, sum.n_step);
        run.node_fill = over(100.0 * sum.nodes[0], sum.nodes[1]);
        run.edge_fill = over(100.0 * sum.edges[0], sum.edges[1]);
    }
    Ok(())
}

fn add_evals(dir: &Path, stem: &str, runs: &mut BTreeMap<String, Run>) -> Result<(), ExportError> {
    each(dir, Table::Evals, stem, |rows| {
        let (ids, splits) = (column::<String>(rows, "run_id"), column::<String>(rows, "split"));
        let steps = column::<i64>(rows, "step");
        let kinds = [("RMSE", "rmse"), ("MAE", "mae"), ("accuracy", "accuracy")];
        let kinds = kinds.map(|(name, key)| (name, column::<f64>(rows, key)));
        for row in 0..rows.num_rows() {
            let run = ids[row].as_ref().and_then(|run_id| runs.get_mut(run_id));
            let (Some(run), Some(split), Some(step)) = (run, &splits[row], steps[row]) else {
                continue;
            };
            if run.last_eval.get(split).is_some_and(|&last| last > step) {
                continue;
            }
            run.last_eval.insert(split.clone(), step);
            for (kind, values) in &kinds {
                let unit = run.unit.as_ref().filter(|_| *kind != "accuracy");
                let unit = unit.map_or_else(String::new, |unit| format!(", {unit}"));
                if let Some(value) = values[row] {
                    run.errors.insert(format!("{kind} on {split}{unit}"), value);
                }
            }
        }
        Ok(())
    })
    .map(drop)
}
