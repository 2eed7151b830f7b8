//! Steps, reduced to a few numbers per run as they are read: a long study does not fit in memory.

use std::collections::BTreeMap;
use std::path::Path;

use super::columns::{each, files};
use super::parts::{Sample, Sums};
use super::{Block, Results, Run, Times, Work};
use crate::ReportError;

/// Stretches in which the course of the time of a step is kept, at most.
const N_STRETCH: i64 = 40;

const COLUMNS: &[&str] = &[
    "run_id",
    "step",
    "n_graph",
    "n_node",
    "n_edge",
    "padded_n_node",
    "padded_n_edge",
    "is_new_shape",
    "is_warmup",
    "plan_ns",
    "collate_ns",
    "wait_ns",
    "upload_ns",
    "forward_ns",
    "backward_ns",
    "optimiser_ns",
    "step_ns",
    "block",
];

/// Adds times and work to the runs of a folder.
pub(super) fn add(results: &mut Results, dir: &Path) -> Result<(), ReportError> {
    for path in files(dir, "steps")? {
        // A file of steps holds one run after another, usually one alone.
        let mut current: Option<(String, Steps)> = None;
        each(&path, COLUMNS, |rows| {
            let ids = rows.texts("run_id")?;
            let (steps, times) = (rows.integers("step")?, rows.integers("step_ns")?);
            let (plan, collate) = (rows.integers("plan_ns")?, rows.integers("collate_ns")?);
            let (wait, warmup) = (rows.integers("wait_ns")?, rows.flags("is_warmup")?);
            let work = ["n_graph", "n_node", "n_edge", "padded_n_node", "padded_n_edge"];
            let work: Vec<_> =
                work.iter().map(|name| rows.integers(name)).collect::<Result<_, _>>()?;
            let stages = ["upload_ns", "forward_ns", "backward_ns", "optimiser_ns"];
            let stages: Vec<_> =
                stages.iter().map(|name| rows.integers(name)).collect::<Result<_, _>>()?;
            let (blocks, new) = (rows.newer_integers("block")?, rows.flags("is_new_shape")?);
            for row in 0..rows.len() {
                let (Some(run_id), Some(step), Some(time)) = (&ids[row], steps[row], times[row])
                else {
                    continue;
                };
                if current.as_ref().is_none_or(|(id, _)| id != run_id) {
                    finish(results, current.take());
                    let Some(run) = results.run(run_id) else { continue };
                    current = Some((run_id.clone(), Steps::of(run)));
                }
                if let Some((_, sum)) = &mut current {
                    let ns = |column: &[Option<i64>]| column[row].unwrap_or(0) as f64;
                    sum.add(&Step {
                        number: step,
                        time: time as f64,
                        planning: ns(&plan),
                        collation: ns(&collate),
                        wait: ns(&wait),
                        device: std::array::from_fn(|i| stages[i][row].map(|ns| ns as f64)),
                        // The first block of a cell is its warm-up.
                        is_warmup: warmup[row].unwrap_or(false) || blocks[row] == Some(0),
                        is_new_shape: new[row].unwrap_or(false),
                        block: blocks[row],
                        work: std::array::from_fn(|i| work[i][row].unwrap_or(0) as f64),
                    });
                }
            }
            Ok(())
        })?;
        finish(results, current);
    }
    Ok(())
}

fn finish(results: &mut Results, steps: Option<(String, Steps)>) {
    let Some((run_id, steps)) = steps else { return };
    let Some((times, work)) = steps.reduce() else { return };
    if let Some(run) = results.run(&run_id) {
        (run.times, run.work) = (Some(times), Some(work));
        run.parts = steps.parts.reduce(steps.is_serial);
        let block = |(number, (ns, n_graph)): (i64, (f64, f64))| Block { number, ns, n_graph };
        run.blocks = steps.blocks.into_iter().map(block).collect();
        run.blocks.retain(|block| block.n_graph > 0.0 && block.ns > 0.0);
    }
}

struct Step {
    number: i64,
    time: f64,
    planning: f64,
    collation: f64,
    wait: f64,
    device: [Option<f64>; 4],
    is_warmup: bool,
    is_new_shape: bool,
    block: Option<i64>,
    work: [f64; 5],
}

/// The steps of one run, warm-up left out where a typical step is asked for.
struct Steps {
    is_serial: bool,
    n_step_planned: i64,
    time: Vec<f64>,
    batching: Vec<f64>,
    update: Vec<f64>,
    work: [f64; 5],
    /// Time of preparing batches, or of waiting for them.
    data: f64,
    parts: Sums,
    /// Time and real graphs of the steps of every block.
    blocks: BTreeMap<i64, (f64, f64)>,
    /// Number of steps and their time, stretch by stretch; as many as there are steps, at most 40.
    stretches: Vec<(f64, f64)>,
}

impl Steps {
    fn of(run: &Run) -> Self {
        let n_step_planned = run.n_step_planned.max(1);
        let n_stretch = usize::try_from(N_STRETCH.min(n_step_planned)).unwrap_or(1);
        Self {
            is_serial: run.prefetch_depth == 0,
            n_step_planned,
            time: Vec::new(),
            batching: Vec::new(),
            update: Vec::new(),
            work: [0.0; 5],
            data: 0.0,
            parts: Sums::default(),
            blocks: BTreeMap::new(),
            stretches: vec![(0.0, 0.0); n_stretch],
        }
    }

    fn add(&mut self, step: &Step) {
        let n_stretch = self.stretches.len() as i64;
        let stretch = (step.number - 1) * n_stretch / self.n_step_planned;
        let place = usize::try_from(stretch.clamp(0, n_stretch - 1)).unwrap_or(0);
        let stretch = &mut self.stretches[place];
        *stretch = (stretch.0 + 1.0, stretch.1 + step.time);
        if step.is_warmup {
            return;
        }
        self.time.push(step.time);
        let batching = step.planning + step.collation;
        self.batching.push(batching);
        let n_graph = step.work[0];
        self.parts.add(&Sample {
            total: step.time,
            planning: step.planning,
            collation: step.collation,
            waiting: step.wait,
            device: step.device,
            n_graph,
            is_new_shape: step.is_new_shape,
        });
        if let Some(block) = step.block {
            let sum = self.blocks.entry(block).or_default();
            *sum = (sum.0 + step.time, sum.1 + n_graph);
        }
        // Batches that are prepared ahead are no part of the step; waiting for them is.
        let not_update = if self.is_serial { batching } else { step.wait };
        self.data += not_update;
        self.update.push(step.time - not_update);
        for (sum, more) in self.work.iter_mut().zip(step.work) {
            *sum += more;
        }
    }

    /// None where no step is left.
    fn reduce(&self) -> Option<(Times, Work)> {
        use batchlab_stats::{mean, median};
        let (combined_median, batching_median) = (median(&self.time)?, median(&self.batching)?);
        let update_median =
            if self.is_serial { combined_median - batching_median } else { median(&self.update)? };
        let times = Times {
            batching_mean: mean(&self.batching)?,
            batching_median,
            update_mean: mean(&self.update)?,
            update_median,
            combined_mean: mean(&self.time)?,
            combined_median,
        };
        let seconds = self.time.iter().sum::<f64>() / 1e9;
        let [n_graph, n_node, n_edge, padded_n_node, padded_n_edge] = self.work;
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 1.0 };
        let width = self.n_step_planned as f64 / self.stretches.len() as f64;
        let stretches = self.stretches.iter().enumerate().filter(|(_, (n, _))| *n > 0.0);
        let work = Work {
            graphs_per_s: n_graph / seconds,
            edges_per_s: n_edge / seconds,
            node_fill: share(n_node, padded_n_node),
            edge_fill: share(n_edge, padded_n_edge),
            data_share: self.data / self.time.iter().sum::<f64>(),
            stretches: stretches
                .map(|(i, (n, time))| (((i as f64 + 1.0) * width).ceil(), time / n))
                .collect(),
        };
        Some((times, work))
    }
}
