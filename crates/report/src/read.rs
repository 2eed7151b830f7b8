//! Results folders, read into one struct per run.

mod columns;
mod parts;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::ReportError;
use crate::options::{self, Options};
use crate::setting::key;
use columns::{Rows, files, rows};
pub use parts::{Device, Parts};

/// A typical step of one run, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// Mean time of planning and collating a batch.
    pub batching_mean: f64,
    /// Median of the same.
    pub batching_median: f64,
    /// Mean time of everything else in a step.
    pub update_mean: f64,
    /// Difference of the medians of the whole and of batching, as the study computes it; with
    /// batches prepared ahead, the median of the step without the time of waiting.
    pub update_median: f64,
    /// Mean time of a whole step.
    pub combined_mean: f64,
    /// Median of the same.
    pub combined_median: f64,
}

/// What the steps of one run worked through.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Work {
    /// Real graphs per second of training.
    pub graphs_per_s: f64,
    /// Real edges per second of training.
    pub edges_per_s: f64,
    /// Real nodes, as a share of all.
    pub node_fill: f64,
    /// Real edges, as a share of all.
    pub edge_fill: f64,
    /// Share of the time of a step that goes into its batch: planning and copying, or waiting where
    /// another thread does that ahead.
    pub data_share: f64,
    /// Last step of a stretch and the mean time of its steps in nanoseconds; warm-up included.
    pub stretches: Vec<(f64, f64)>,
}

/// One block of a run that was trained in turns with others, in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Block {
    /// Its number; 0, the warm-up of the cell, is left out.
    pub number: i64,
    /// Time of its steps in nanoseconds, those of the warm-up left out.
    pub ns: f64,
    /// Real graphs in these steps.
    pub n_graph: f64,
}

impl Block {
    /// Nanoseconds per real graph.
    #[must_use]
    pub fn ns_per_graph(&self) -> f64 {
        self.ns / self.n_graph
    }
}

/// One evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Eval {
    /// Steps done before.
    pub step: i64,
    /// Subset.
    pub split: String,
    /// Root mean squared error in the unit of the target.
    pub rmse: Option<f64>,
    /// Mean absolute error in the unit of the target.
    pub mae: Option<f64>,
}

/// One run, reduced to the numbers that are compared.
#[derive(Debug, Clone)]
pub struct Run {
    /// Identifier.
    pub run_id: String,
    /// Folder of the results that it was read from.
    pub dir: PathBuf,
    /// Study.
    pub study: String,
    /// `completed`, or why not.
    pub status: String,
    /// Why it did not complete.
    pub error: Option<String>,
    /// `batchlab 0.1.0`, or the engine of published results.
    pub engine: String,
    /// Commit of the program.
    pub git_commit: Option<String>,
    /// Whether it was measured elsewhere and imported.
    pub is_imported: bool,
    /// Device, processor, threads, machine: what is known of them.
    pub hardware: String,
    /// Data set.
    pub dataset: String,
    /// Hash of the data.
    pub dataset_hash: Option<String>,
    /// Unit of the target.
    pub unit: Option<String>,
    /// Model.
    pub model: String,
    /// Options of model, split and training; empty for published results.
    pub options: Options,
    /// Strategy.
    pub batcher: String,
    /// Its options, without the batch size.
    pub strategy: Options,
    /// B.
    pub batch_size: Option<i64>,
    /// `combined` or `stages`.
    pub timing: String,
    /// Batches prepared ahead.
    pub prefetch_depth: i64,
    /// Steps asked for.
    pub n_step_planned: i64,
    /// Seeds of split, order and initial parameters.
    pub seeds: [Option<i64>; 3],
    /// Distinct padded shapes, which an engine that compiles per shape compiles.
    pub n_shape: Option<i64>,
    /// Cell of a study: runs of one cell were trained in one process, in turns.
    pub cell: Option<String>,
    /// Why its times are left out although they are there.
    pub untimed: Option<&'static str>,
    /// Times of a typical step.
    pub times: Option<Times>,
    /// What the steps worked through.
    pub work: Option<Work>,
    /// What the time of a real graph was spent on.
    pub parts: Option<Parts>,
    /// Blocks of a run in a cell, in their order.
    pub blocks: Vec<Block>,
    /// Evaluations in the order of the steps.
    pub evals: Vec<Eval>,
}

impl Run {
    /// Whether it belongs into figures: it did all its steps, and they were timed, or its times are
    /// left out and its errors are not.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let has_errors = self.untimed.is_some() && !self.evals.is_empty();
        self.status == "completed" && (self.times.is_some() || has_errors)
    }

    /// The errors of one subset, with their steps.
    pub fn rmse(&self, split: &str) -> impl Iterator<Item = (i64, f64)> {
        let of_split = self.evals.iter().filter(move |eval| eval.split == split);
        of_split.filter_map(|eval| Some((eval.step, eval.rmse?)))
    }
}

/// All runs of one or several folders.
#[derive(Debug, Default)]
pub struct Results {
    /// Runs, ordered by identifier.
    pub runs: Vec<Run>,
}

impl Results {
    /// Reads `tables/**` of every folder.
    ///
    /// # Errors
    /// A folder without tables, a damaged file, a column that is missing, a run that stands in two
    /// places.
    pub fn read(dirs: &[PathBuf]) -> Result<Self, ReportError> {
        let mut runs: BTreeMap<String, (PathBuf, Run)> = BTreeMap::new();
        for dir in dirs {
            let paths = files(dir, "runs")?;
            if paths.is_empty() {
                return Err(ReportError::NoTables { dir: dir.clone() });
            }
            for path in paths {
                for run in read_runs(dir, &path)? {
                    let run_id = run.run_id.clone();
                    if let Some((first, run)) = runs.insert(run_id, (path.clone(), run)) {
                        let run_id = run.run_id;
                        return Err(ReportError::Twice { run_id, first, second: path });
                    }
                }
            }
        }
        let mut results = Self { runs: runs.into_values().map(|(_, run)| run).collect() };
        results.leave_out_earlier();
        for dir in dirs {
            results.add_evals(dir)?;
            results.add_published(dir)?;
            steps::add(&mut results, dir)?;
        }
        for run in &mut results.runs {
            run.evals.sort_by_key(|eval| eval.step);
            keep_one_each(&mut run.evals);
            if run.untimed.is_some() {
                (run.times, run.work, run.parts) = (None, None, None);
                run.blocks.clear();
            }
        }
        Ok(results)
    }

    fn run(&mut self, run_id: &str) -> Option<&mut Run> {
        // A row of a run whose row in `runs` is not published yet is not ours to show.
        let place = self.runs.binary_search_by(|run| run.run_id.as_str().cmp(run_id)).ok()?;
        Some(&mut self.runs[place])
    }

    fn add_evals(&mut self, dir: &Path) -> Result<(), ReportError> {
        for path in files(dir, "evals")? {
            for rows in rows(&path, &["run_id", "step", "split", "rmse", "mae"])? {
                let (ids, splits) = (rows.texts("run_id")?, rows.texts("split")?);
                let steps = rows.integers("step")?;
                let (rmse, mae) = (rows.floats("rmse")?, rows.floats("mae")?);
                for row in 0..rows.len() {
                    let (Some(run_id), Some(split), Some(step)) =
                        (&ids[row], &splits[row], steps[row])
                    else {
                        continue;
                    };
                    if let Some(run) = self.run(run_id) {
                        let (rmse, mae) = (rmse[row], mae[row]);
                        run.evals.push(Eval { step, split: split.clone(), rmse, mae });
                    }
                }
            }
        }
        Ok(())
    }

    /// Times of published runs, which come as means and medians.
    fn add_published(&mut self, dir: &Path) -> Result<(), ReportError> {
        let mut found: BTreeMap<String, [Option<f64>; 4]> = BTreeMap::new();
        for path in files(dir, "metrics")? {
            for rows in rows(&path, &["run_id", "name", "value"])? {
                let (ids, names) = (rows.texts("run_id")?, rows.texts("name")?);
                let values = rows.floats("value")?;
                for row in 0..rows.len() {
                    let place = match names[row].as_deref() {
                        Some("published.batching_mean_ns") => 0,
                        Some("published.batching_median_ns") => 1,
                        Some("published.combined_mean_ns") => 2,
                        Some("published.combined_median_ns") => 3,
                        _ => continue,
                    };
                    let run_id = ids[row].clone().unwrap_or_default();
                    found.entry(run_id).or_default()[place] = values[row];
                }
            }
        }
        for (run_id, times) in found {
            if let (
                [Some(batching_mean), Some(batching_median), Some(mean), Some(median)],
                Some(run),
            ) = (times, self.run(&run_id))
            {
                run.times = Some(Times {
                    batching_mean,
                    batching_median,
                    update_mean: mean - batching_mean,
                    update_median: median - batching_median,
                    combined_mean: mean,
                    combined_median: median,
                });
            }
        }
        Ok(())
    }
}

impl Results {
    /// Of the runs of cells that are equal, seeds included, the last one counts: a cell that is trained
    /// again is not another seed.
    fn leave_out_earlier(&mut self) {
        let is_timed =
            |run: &Run| run.cell.is_some() && run.status == "completed" && run.untimed.is_none();
        let mut last: Vec<usize> = Vec::new();
        for index in 0..self.runs.len() {
            if !is_timed(&self.runs[index]) {
                continue;
            }
            let is_same = |&&mut other: &&mut usize| {
                let (a, b) = (&self.runs[index], &self.runs[other]);
                key(a) == key(b)
                    && (&a.batcher, &a.strategy, a.batch_size, a.seeds)
                        == (&b.batcher, &b.strategy, b.batch_size, b.seeds)
            };
            match last.iter_mut().find(is_same) {
                Some(other) => {
                    let earlier = std::mem::replace(other, index);
                    self.runs[earlier].untimed = Some("trained again later with the same seeds");
                }
                None => last.push(index),
            }
        }
    }
}

/// A run that diverges at its first step, or goes on after its last one, evaluates the same state
/// twice.
fn keep_one_each(evals: &mut Vec<Eval>) {
    let mut seen = BTreeSet::new();
    evals.retain(|eval| seen.insert((eval.step, eval.split.clone())));
}

/// Why times are not to be compared with others, if so.
fn untimed(n_attempt: Option<i64>, is_exclusive: Option<bool>) -> Option<&'static str> {
    if n_attempt.is_some_and(|n| n > 1) {
        return Some("interrupted and resumed: its times come from several processes");
    }
    (is_exclusive == Some(false)).then_some("the device was not kept for it alone")
}

const RUN_COLUMNS: &[&str] = &[
    "run_id",
    "study",
    "status",
    "error",
    "config",
    "version",
    "git_commit",
    "build_profile",
    "host",
    "cpu_model",
    "n_thread",
    "device",
    "dataset",
    "dataset_hash",
    "target_unit",
    "model",
    "batcher",
    "batch_size",
    "timing",
    "prefetch_depth",
    "seed_split",
    "seed_order",
    "seed_init",
    "n_step_planned",
    "n_shape",
    "cell",
    "is_exclusive",
    "n_attempt",
];

fn read_runs(dir: &Path, path: &Path) -> Result<Vec<Run>, ReportError> {
    let mut runs = Vec::new();
    for rows in rows(path, RUN_COLUMNS)? {
        let text = |column| -> Result<Vec<String>, ReportError> {
            Ok(rows.texts(column)?.into_iter().map(Option::unwrap_or_default).collect())
        };
        let (ids, studies, statuses) = (text("run_id")?, text("study")?, text("status")?);
        let (configs, datasets, models) = (text("config")?, text("dataset")?, text("model")?);
        let (batchers, timings) = (text("batcher")?, text("timing")?);
        let (errors, versions) = (rows.texts("error")?, rows.texts("version")?);
        let (commits, hashes) = (rows.texts("git_commit")?, rows.texts("dataset_hash")?);
        let units = rows.texts("target_unit")?;
        let (sizes, shapes) = (rows.integers("batch_size")?, rows.integers("n_shape")?);
        let (depths, planned) =
            (rows.integers("prefetch_depth")?, rows.integers("n_step_planned")?);
        let seeds = ["seed_split", "seed_order", "seed_init"].map(|column| rows.integers(column));
        let [split, order, init] = seeds;
        let seeds = [split?, order?, init?];
        let hardware = hardware(&rows)?;
        let (cells, attempts) = (rows.newer_texts("cell")?, rows.newer_integers("n_attempt")?);
        let exclusive = rows.newer_flags("is_exclusive")?;
        for row in 0..rows.len() {
            let config: serde_json::Value = serde_json::from_str(&configs[row]).unwrap_or_default();
            let imported = config.get("imported");
            let engine = match imported.and_then(|imported| imported["engine"].as_str()) {
                Some(engine) => format!("{engine} (published)"),
                None => format!("batchlab {}", versions[row].as_deref().unwrap_or("?")),
            };
            runs.push(Run {
                run_id: ids[row].clone(),
                dir: dir.to_owned(),
                study: studies[row].clone(),
                status: statuses[row].clone(),
                error: errors[row].clone(),
                engine,
                git_commit: commits[row].clone(),
                is_imported: imported.is_some(),
                hardware: hardware[row].clone(),
                dataset: datasets[row].clone(),
                dataset_hash: hashes[row].clone(),
                unit: units[row].clone(),
                model: models[row].clone(),
                options: options::of_setting(&config),
                batcher: batchers[row].clone(),
                strategy: options::of_strategy(&config),
                batch_size: sizes[row],
                timing: timings[row].clone(),
                prefetch_depth: depths[row].unwrap_or(0),
                n_step_planned: planned[row].unwrap_or(0),
                seeds: [seeds[0][row], seeds[1][row], seeds[2][row]],
                n_shape: shapes[row],
                cell: cells[row].clone(),
                untimed: untimed(attempts[row], exclusive[row]),
                times: None,
                work: None,
                parts: None,
                blocks: Vec::new(),
                evals: Vec::new(),
            });
        }
    }
    Ok(runs)
}

/// What tells one machine from another, as far as the rows say it.
fn hardware(rows: &Rows<'_>) -> Result<Vec<String>, ReportError> {
    let (devices, hosts) = (rows.texts("device")?, rows.texts("host")?);
    let (models, profiles) = (rows.texts("cpu_model")?, rows.texts("build_profile")?);
    let threads = rows.integers("n_thread")?;
    let of_row = |row: usize| {
        let mut parts = vec![devices[row].clone().unwrap_or_default()];
        parts.extend(models[row].clone());
        parts.extend(
            threads[row].map(|n| if n == 1 { "1 thread".into() } else { format!("{n} threads") }),
        );
        parts.extend(hosts[row].clone());
        if profiles[row].as_deref() == Some("debug") {
            parts.push("debug build".to_owned());
        }
        parts.join(", ")
    };
    Ok((0..rows.len()).map(of_row).collect())
}
