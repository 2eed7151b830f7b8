//! Reads folders of results into the runs that a report compares.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use batchlab_core::Level;
use batchlab_core::record::{BlockRecord, EvalRecord, RunRecord, Table, Timestamp};
use batchlab_results::read::path_of;
use batchlab_results::{Block, DamagedRun, Parts, RunSummary, Times, Untimed, Work};

use crate::ReportError;
use crate::options::{self, Options};
use crate::setting::key;

/// One run, reduced to the numbers that are compared.
#[derive(Debug, Clone)]
pub struct Run {
    pub run_id: String,
    pub dir: PathBuf,
    pub study: String,
    pub started_at: Option<Timestamp>,
    /// `completed`, or why not.
    pub status: String,
    pub error: Option<String>,
    /// The program that trained, with its version.
    pub engine: String,
    pub git_commit: Option<String>,
    /// Device, processor, threads and machine, as far as they are known.
    pub hardware: String,
    pub dataset: String,
    pub dataset_hash: Option<String>,
    pub unit: Option<String>,
    pub model: String,
    /// Options of model, split and training.
    pub options: Options,
    /// Options of the data set, which differ where the data differ.
    pub data: Options,
    pub batcher: String,
    /// Its options, without the batch size.
    pub strategy: Options,
    pub batch_size: Option<i64>,
    /// `combined` or `stages`.
    pub timing: String,
    pub prefetch_depth: i64,
    /// Steps asked for, or done where epochs were asked for.
    pub n_step_planned: i64,
    /// Steps done, as planned or until it was stopped early.
    pub n_step: i64,
    pub n_epoch_planned: Option<i64>,
    /// Whether outputs are graphs, or nodes of one graph.
    pub level: Level,
    /// Whether a batch holds all that its outputs depend on.
    pub is_whole: bool,
    /// Opening the batcher of the training set, in nanoseconds.
    pub prepare_ns: Option<i64>,
    /// Outputs of an epoch.
    pub n_train: Option<i64>,
    /// Most memory on the device, or on the host.
    pub peak_bytes: Option<i64>,
    /// Seeds of split, order and initial parameters.
    pub seeds: [Option<i64>; 3],
    /// Distinct padded shapes, which an engine that compiles per shape compiles.
    pub n_shape: Option<i64>,
    /// Cell of a study: runs of one cell were trained in one process, in turns.
    pub cell: Option<String>,
    /// Why its times are left out although there are some.
    pub untimed: Option<&'static str>,
    pub times: Option<Times>,
    pub work: Option<Work>,
    pub parts: Option<Parts>,
    /// Blocks of a run in a cell, in their order.
    pub blocks: Vec<Block>,
    /// What else the machine did during these blocks.
    pub conditions: Vec<BlockRecord>,
    /// How often its cell was allowed to stop by its intervals; 0: its length was planned.
    pub n_look: i64,
    /// Last step of a stretch and the mean time of its steps in nanoseconds; warm-up included.
    pub stretches: Vec<(f64, f64)>,
    /// Evaluations in the order of the steps.
    pub evals: Vec<EvalRecord>,
}

impl Run {
    /// Whether it is used in figures: it completed all steps, and has times, or at least errors.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.status == "completed" && (self.times.is_some() || !self.evals.is_empty())
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
    /// Runs whose files are not as they were published; they are left out.
    pub damaged: Vec<DamagedRun>,
    /// Runs without checksums, which are used.
    pub n_unverified: usize,
}

impl Results {
    /// Reads `tables/**` of every folder.
    ///
    /// # Errors
    /// A folder without tables, a run that is in two places.
    pub fn read(dirs: &[PathBuf]) -> Result<Self, ReportError> {
        let mut runs: BTreeMap<String, (PathBuf, Run)> = BTreeMap::new();
        let mut results = Self::default();
        for dir in dirs {
            let (of_dir, published) = RunSummary::read_all(dir)?;
            results.damaged.extend(published.damaged);
            results.n_unverified += published.n_unverified;
            for (stem, summary) in of_dir {
                let path = path_of(dir, Table::Runs, &stem);
                let run = Run::new(dir, summary);
                if let Some((first, run)) = runs.insert(run.run_id.clone(), (path.clone(), run)) {
                    return Err(ReportError::Twice { run_id: run.run_id, first, second: path });
                }
            }
        }
        results.runs = runs.into_values().map(|(_, run)| run).collect();
        results.leave_out_earlier();
        for run in results.runs.iter_mut().filter(|run| run.untimed.is_some()) {
            (run.times, run.work, run.parts) = (None, None, None);
            run.blocks.clear();
            run.conditions.clear();
            run.stretches.clear();
        }
        Ok(results)
    }

    /// Of equal runs in cells, seeds included, only the last one counts: a cell that is trained again is not
    /// another replicate.
    fn leave_out_earlier(&mut self) {
        let is_timed =
            |run: &&Run| run.cell.is_some() && run.status == "completed" && run.untimed.is_none();
        let same =
            |run: &Run| (run.batcher.clone(), run.strategy.clone(), run.batch_size, run.seeds);
        let mut last = BTreeMap::new();
        let mut earlier = Vec::new();
        for (index, run) in self.runs.iter().enumerate().filter(|(_, run)| is_timed(run)) {
            earlier.extend(last.insert((key(run), same(run)), index));
        }
        for index in earlier {
            self.runs[index].untimed = Some("trained again later with the same seeds");
        }
    }
}

impl Run {
    fn new(dir: &Path, summary: RunSummary) -> Self {
        let untimed = summary.untimed().map(|untimed| match untimed {
            Untimed::Resumed => "interrupted and resumed: its times come from several processes",
            Untimed::SharedDevice => "it did not have the device to itself",
        });
        let RunSummary { run, config, steps, evals, conditions, .. } = summary;
        Self {
            dir: dir.to_owned(),
            engine: format!("batchlab {}", run.version.as_deref().unwrap_or("?")),
            hardware: hardware(&run),
            options: options::of_setting(&config),
            data: options::of_dataset(&config),
            strategy: options::of_strategy(&config),
            seeds: [run.seed_split, run.seed_order, run.seed_init],
            untimed,
            times: steps.times,
            work: steps.work,
            parts: steps.parts,
            blocks: steps.blocks,
            conditions,
            n_look: run.n_look.unwrap_or(0),
            stretches: steps.stretches,
            evals,
            run_id: run.run_id,
            study: run.study,
            started_at: run.started_at,
            status: run.status,
            error: run.error,
            git_commit: run.git_commit,
            dataset: run.dataset,
            dataset_hash: run.dataset_hash,
            unit: run.target_unit,
            model: run.model,
            batcher: run.batcher,
            batch_size: run.batch_size,
            timing: run.timing,
            prefetch_depth: run.prefetch_depth,
            n_step_planned: run.n_step_planned.or(run.n_step).unwrap_or(0),
            n_step: run.n_step.or(run.n_step_planned).unwrap_or(0),
            n_epoch_planned: run.n_epoch_planned,
            level: Level::of_output(run.output.as_deref()),
            is_whole: run
                .is_whole
                .unwrap_or(Level::of_output(run.output.as_deref()) == Level::Graphs),
            prepare_ns: run.prepare_ns,
            n_train: run.n_train,
            peak_bytes: run.peak_device_bytes.or(run.peak_host_bytes),
            n_shape: run.n_shape,
            cell: run.cell,
        }
    }
}

/// What describes a machine ends in this where the program was built without optimisations.
pub(crate) const DEBUG: &str = "debug build";

/// The machine of a run, as far as its row describes it.
fn hardware(run: &RunRecord) -> String {
    let threads = |n| if n == 1 { "1 thread".to_owned() } else { format!("{n} threads") };
    let mut parts = vec![run.device.clone()];
    parts.extend(run.cpu_model.clone());
    parts.extend(run.n_thread.map(threads));
    parts.extend(run.host.clone());
    if run.build_profile.as_deref() == Some("debug") {
        parts.push(DEBUG.to_owned());
    }
    parts.join(", ")
}
