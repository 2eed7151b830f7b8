//! One run, from top to bottom.

mod attempt;
pub(crate) mod cell;
mod checkpoints;
mod describe;
mod evaluate;
mod judge;
mod ledger;
pub(crate) mod measure;
mod pipeline;
pub(crate) mod recorder;
mod replay;
mod resume;
mod split;
mod tally;
mod train;
mod unseen;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use batchlab_config::LoadedConfig;
use batchlab_core::record::EvalRecord;
use batchlab_core::{Graphs, LoadContext};
use serde::{Deserialize, Serialize};

pub use cell::CellObserver;
pub use judge::{Judge, Judgement, OtherData, Part, Prediction};
pub use ledger::ShapeLedger;
pub use measure::Measured;
pub use resume::{ResumeError, resume};
pub use split::Subsets;

use crate::cache::{Cache, Keep};
use crate::{Observer, RunError};
use attempt::Attempt;
use evaluate::Evaluator;
use pipeline::nanoseconds;
use resume::Before;

/// What the caller decides.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions<'a> {
    /// Folder of the study; made if it does not exist.
    pub out: &'a Path,
    /// Set from outside to end the run after the current step.
    pub interrupted: &'a AtomicBool,
    /// Threads that the engine uses, for the record.
    pub n_thread: usize,
    /// Where loaded graphs are kept.
    pub cache: &'a Cache,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All steps were done.
    Completed,
    /// A loss was not finite.
    #[serde(rename = "nan")]
    NotFinite,
    /// Someone asked it to end.
    Interrupted,
    /// An error ended it.
    Failed,
}

impl Status {
    /// The name in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::NotFinite => "nan",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

/// Why training ended before its last step.
struct Ending {
    status: Status,
    reason: Option<String>,
}

impl Ending {
    const COMPLETED: Self = Self { status: Status::Completed, reason: None };
}

/// What is known when training begins.
#[derive(Debug, Clone, Serialize)]
pub struct RunHeader {
    /// Identifier of the run.
    pub run_id: String,
    /// Data set.
    pub dataset: String,
    /// Target and its unit.
    pub target: Option<(String, String)>,
    /// Number of graphs for training, validation and test.
    pub n_graph: [usize; 3],
    /// Model.
    pub model: String,
    /// Trainable numbers.
    pub n_parameter: usize,
    /// Batching strategy.
    pub batcher: String,
    /// The study's B.
    pub batch_size: Option<u32>,
    /// Steps asked for.
    pub n_step: u64,
    /// Device and threads.
    pub device: String,
    /// What the data set reports of itself.
    pub notes: Vec<(String, u64)>,
}

/// What a person wants to know at the end.
#[derive(Debug, Clone, Serialize)]
pub struct RunSummary {
    /// What was known at the beginning.
    pub header: RunHeader,
    /// How it ended.
    pub status: Status,
    /// Why it did not complete.
    pub reason: Option<String>,
    /// Steps done.
    pub n_step: u64,
    /// Distinct padded shapes.
    pub n_shape: i64,
    /// All training steps, in nanoseconds.
    pub train_ns: i64,
    /// What the training steps achieved.
    pub throughput: Throughput,
    /// Evaluations, first to last.
    #[serde(skip)]
    pub evals: Vec<EvalRecord>,
    /// Folder of the study.
    pub out: PathBuf,
    /// Largest memory of the process, in bytes.
    pub peak_host_bytes: Option<i64>,
    /// Largest memory on the device while this run was at work, in bytes, on devices that have their
    /// own.
    pub peak_device_bytes: Option<i64>,
}

/// What the training steps achieved, without the warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Throughput {
    /// Median time of a step, in nanoseconds; 0 if all steps were warm-up.
    pub median_step_ns: i64,
    /// Real graphs per second.
    pub graphs_per_second: f64,
    /// Real nodes as a share of nodes with padding.
    pub node_fill: f64,
    /// Real edges as a share of edges with padding.
    pub edge_fill: f64,
}

/// Loads, trains, evaluates and publishes.
///
/// # Errors
/// Whatever keeps the run from starting or going on. A loss that is not finite and an interruption
/// are no errors: their results are published too.
pub fn run(
    loaded: &LoadedConfig,
    options: RunOptions<'_>,
    observer: &dyn Observer,
) -> Result<RunSummary, RunError> {
    attempt(loaded, options, observer, None)
}

/// Runs from the beginning, or from where an attempt before has stopped.
fn attempt(
    loaded: &LoadedConfig,
    options: RunOptions<'_>,
    observer: &dyn Observer,
    before: Option<Before>,
) -> Result<RunSummary, RunError> {
    let data = Data::load(loaded, options.cache, observer)?;
    let mut attempt = Attempt::open(loaded, &data, options, observer, None, before)?;
    let outcome = attempt.advance(u64::MAX, options.interrupted, observer);
    observer.ended();
    attempt.finish(outcome.map(|ending| ending.unwrap_or(Ending::COMPLETED)))
}

/// The status of a run whose process ended without a word.
pub(crate) const CRASHED_STATUS: &str = "crashed";

/// Where a configuration's relative paths are looked for: in the working folder, then beside it.
#[must_use]
pub fn search_folders(config: &Path) -> Vec<PathBuf> {
    let beside = config.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::iter::once(PathBuf::new()).chain(beside.map(Path::to_owned)).collect()
}

/// Graphs and how they are split.
struct Data {
    graphs: Arc<Graphs>,
    subsets: Subsets,
    /// Of everything that training can see of the graphs.
    hash: String,
    load_ns: i64,
}

impl Data {
    fn load(
        loaded: &LoadedConfig,
        cache: &Cache,
        observer: &dyn Observer,
    ) -> Result<Self, RunError> {
        let start = Instant::now();
        let config = &loaded.config;
        let ctx = LoadContext {
            search: search_folders(&loaded.path),
            progress: observer.progress(),
            ..LoadContext::new()
        };
        let mut graphs = cache.load(&*config.dataset, &ctx, Keep::WhenSlow)?.graphs;
        let subsets = Subsets::new(&graphs, config.split, config.training.seeds.split)?;
        if let Some(target) = &mut graphs.target {
            target.standardise(&subsets.train);
        }
        let load_ns = nanoseconds(start, Instant::now());
        let hash = graphs.content_hash();
        Ok(Self { graphs: Arc::new(graphs), subsets, hash, load_ns })
    }
}
