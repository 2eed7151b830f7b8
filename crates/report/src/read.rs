//! Reads results directories into the runs that a report compares.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use batchlab_core::Level;
use batchlab_core::record::{RunRecord, Table};
use batchlab_results::read::path_of;
use batchlab_results::{DamagedRun, NewShapes, RunSummary, Untimed};

use crate::ReportError;
use crate::number::count;
use crate::options::{self, Options};
use crate::setting::key;

/// A run, with values derived from its record.
#[derive(Debug, Clone)]
pub struct Run {
    pub summary: RunSummary,
    /// The results directory that contains it.
    pub dir: PathBuf,
    /// Reason for excluding its recorded times.
    pub untimed: Option<&'static str>,
    /// How often its cell was previously trained with the same seeds; only the last time counts.
    pub n_earlier: usize,
    /// Whether its cell has completed all its measurements.
    pub is_cell_done: bool,
    /// The program that did the training, with its version.
    pub engine: String,
    /// Device, processor, threads and machine, as far as known.
    pub hardware: String,
    /// Options of model, split and training.
    pub options: Options,
    /// Options that tell data sets apart.
    pub data: Options,
    /// Options of the batcher, without the batch size.
    pub strategy: Options,
}

impl Deref for Run {
    type Target = RunSummary;

    fn deref(&self) -> &RunSummary {
        &self.summary
    }
}

impl Run {
    /// Whether figures use the run: it completed all steps and has times, or at least errors.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.run.status == "completed" && (self.steps.times.is_some() || !self.evals.is_empty())
    }

    /// Number of steps requested, or done if epochs were requested.
    #[must_use]
    pub fn n_step_planned(&self) -> i64 {
        self.run.n_step_planned.or(self.run.n_step).unwrap_or(0)
    }

    /// Number of steps done, as planned or until early stopping.
    #[must_use]
    pub fn n_step(&self) -> i64 {
        self.run.n_step.or(self.run.n_step_planned).unwrap_or(0)
    }

    /// Whether outputs are per graph, or per node of one graph.
    #[must_use]
    pub fn level(&self) -> Level {
        Level::of_output(self.run.output.as_deref())
    }

    /// Whether a batch contains everything its outputs depend on.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.run.is_whole.unwrap_or(self.level() == Level::Graphs)
    }

    /// Peak memory on the device, or on the host.
    #[must_use]
    pub fn peak_bytes(&self) -> Option<i64> {
        self.run.peak_device_bytes.or(self.run.peak_host_bytes)
    }

    /// Seeds of split, order and initial parameters.
    #[must_use]
    pub fn seeds(&self) -> [Option<i64>; 3] {
        [self.run.seed_split, self.run.seed_order, self.run.seed_init]
    }

    /// Discards its times and everything derived from them.
    fn clear_times(&mut self) {
        let RunSummary { steps, conditions, .. } = &mut self.summary;
        (steps.times, steps.work, steps.parts) = (None, None, None);
        steps.new_shapes = NewShapes::default();
        steps.blocks.clear();
        steps.stretches.clear();
        conditions.clear();
    }

    /// The errors of one subset, with their steps.
    pub fn rmse(&self, subset: &str) -> impl Iterator<Item = (i64, f64)> {
        let of_subset = self.evals.iter().filter(move |eval| eval.subset == subset);
        of_subset.filter_map(|eval| Some((eval.step, eval.rmse?)))
    }
}

#[derive(Debug, Default)]
pub struct Results {
    pub runs: Vec<Run>,
    /// Runs whose files have changed since they were published; they are excluded.
    pub damaged: Vec<DamagedRun>,
    /// Number of runs used without checksums.
    pub n_unverified: usize,
}

impl Results {
    /// Reads `tables/**` of every directory.
    ///
    /// # Errors
    /// If a directory has no tables, or a run appears in two places.
    pub fn read(dirs: &[PathBuf]) -> Result<Self, ReportError> {
        let mut runs: BTreeMap<String, (PathBuf, Run)> = BTreeMap::new();
        let mut results = Self::default();
        for dir in dirs {
            let (of_dir, published) = RunSummary::read_all(dir)?;
            results.damaged.extend(published.damaged);
            let is_done =
                |cell: Option<&str>| cell.is_none_or(|cell| !published.unfinished.contains(cell));
            results.n_unverified += published.n_unverified;
            for summary in of_dir {
                let path = path_of(dir, Table::Runs, &summary.run.run_id);
                let mut run = Run::new(dir, summary);
                run.is_cell_done = is_done(run.run.cell.as_deref());
                if let Some((first, run)) = runs.insert(run.run.run_id.clone(), (path.clone(), run))
                {
                    return Err(ReportError::Twice {
                        run_id: run.summary.run.run_id,
                        first,
                        second: path,
                    });
                }
            }
        }
        results.runs = runs.into_values().map(|(_, run)| run).collect();
        results.leave_out_earlier();
        for run in results.runs.iter_mut().filter(|run| run.untimed.is_some()) {
            run.clear_times();
        }
        Ok(results)
    }

    /// Keeps only the last of equal runs of cells (including seeds): retraining a cell does not
    /// create another replicate.
    fn leave_out_earlier(&mut self) {
        let is_timed = |run: &&Run| {
            run.run.cell.is_some() && run.run.status == "completed" && run.untimed.is_none()
        };
        let same = |run: &Run| {
            (run.run.batcher.clone(), run.strategy.clone(), run.run.batch_size, run.seeds())
        };
        let mut attempts: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, run) in self.runs.iter().enumerate().filter(|(_, run)| is_timed(run)) {
            attempts.entry((key(run), same(run))).or_default().push(index);
        }
        for mut attempts in attempts.into_values().collect::<Vec<_>>() {
            let Some(last) = attempts.pop() else { continue };
            self.runs[last].n_earlier = attempts.len();
            for index in attempts {
                self.runs[index].untimed = Some("trained again later with the same seeds");
            }
        }
    }
}

impl Run {
    pub(crate) fn new(dir: &Path, summary: RunSummary) -> Self {
        let untimed = summary.untimed().map(|untimed| match untimed {
            Untimed::Resumed => "interrupted and resumed: its times come from several processes",
            Untimed::SharedDevice => "it did not have the device to itself",
        });
        let (run, config) = (&summary.run, &summary.config);
        Self {
            dir: dir.to_owned(),
            untimed,
            n_earlier: 0,
            is_cell_done: true,
            engine: run
                .engine
                .clone()
                .unwrap_or_else(|| format!("batchlab {}", run.version.as_deref().unwrap_or("?"))),
            hardware: hardware(run),
            options: options::of_setting(config),
            data: options::of_dataset(config),
            strategy: options::of_strategy(config),
            summary,
        }
    }
}

/// Suffix of a machine description if the program was built without optimisations.
pub(crate) const DEBUG: &str = "debug build";

/// The machine of a run, as far as its record describes it.
fn hardware(run: &RunRecord) -> String {
    let mut parts = vec![run.device.clone()];
    parts.extend(run.cpu_model.clone());
    parts.extend(run.n_thread.map(|n| count(n.unsigned_abs() as usize, "thread")));
    parts.extend(run.host.clone());
    if run.build_profile.as_deref() == Some("debug") {
        parts.push(DEBUG.to_owned());
    }
    parts.join(", ")
}
