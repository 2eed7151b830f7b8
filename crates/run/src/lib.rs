//! One run, from a checked configuration to published results.
//!
//! * [`run`] and [`resume`]: a complete run, and its parts: splitting, the pipeline that prepares
//!   batches, training, evaluation, the shape ledger;
//! * [`ActiveRun`]: a run trained alternately with others;
//! * [`cache`]: cache of loaded graphs;
//! * [`mod@checkpoint`]: the state that a run needs to continue exactly where it stopped;
//! * [`TrainedModel`] and [`predictions`]: evaluation of a checkpoint, its predictions and weights;
//! * [`provenance`]: the program and machine that produced a result.
//!
//! This crate refers to no plugin by name and does not know how files are published.

mod active_run;
pub mod cache;
pub mod checkpoint;
mod checkpoints;
mod conditions;
mod describe;
mod error;
mod evaluate;
mod evaluate_trained;
mod folders;
mod ledger;
mod measure;
pub mod memory;
mod observer;
mod open_model;
mod pipeline;
pub mod predictions;
pub mod provenance;
mod ranks;
mod replay;
mod resume;
mod safetensors_header;
mod schedule;
mod split;
mod threads;
mod train;
mod training_data;
mod unseen;
mod warnings;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use batchlab_config::LoadedConfig;
use batchlab_core::batcher::ByteCache;
use batchlab_core::{Graphs, LoadContext, Provides};
use batchlab_ranks::Communicator;
use batchlab_results::RunSummary;
use serde::{Deserialize, Serialize};

pub use active_run::{ActiveRun, Membership};
pub use cache::Cache;
pub use error::RunError;
pub use evaluate_trained::{ModelEvaluation, OtherData, Prediction, SubsetChoice, TrainedModel};
pub use folders::search_folders;
pub use ledger::ShapeLedger;
pub use measure::{Measured, TrialTurn, measure};
pub use observer::Observer;
pub use resume::{ResumeError, extend, resume};
pub use split::Subsets;
pub use threads::crowding;
pub use train::Turn;
pub use training_data::{Mismatch, TrainingData};
pub use warnings::Warning;

use cache::Keep;
use evaluate::Evaluator;
use pipeline::nanoseconds;
use provenance::Provenance;
use ranks::Together;
use resume::Start;
use training_data::check_takes;

#[derive(Debug, Clone, Copy)]
pub struct RunOptions<'a> {
    /// Folder of the study; created if missing.
    pub out: &'a Path,
    /// Set externally to end the run after the current step.
    pub interrupted: &'a AtomicBool,
    pub n_thread: usize,
    pub cache: &'a Cache,
    /// The connection to the other ranks of the run, if the configuration asks for several: every
    /// rank calls the same function, and the first one records.
    pub ranks: Option<&'a dyn Communicator>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Completed,
    #[serde(rename = "nan")]
    NotFinite,
    Interrupted,
    Failed,
}

impl Status {
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

#[derive(Debug)]
pub struct Ending {
    status: Status,
    /// If completed: why steps for timing only ended early.
    reason: Option<String>,
}

impl Ending {
    /// All requested steps are done.
    pub const COMPLETED: Self = Self { status: Status::Completed, reason: None };

    /// The run must not continue.
    #[must_use]
    pub fn interrupted(reason: String) -> Self {
        Self { status: Status::Interrupted, reason: Some(reason) }
    }
}

/// Information available when training begins.
#[derive(Debug, Clone, Serialize)]
pub struct RunHeader {
    pub run_id: String,
    pub dataset: String,
    /// Target and its unit; `class` for class targets.
    pub target: Option<(String, Option<String>)>,
    /// Kind of output: `graph` or `node`.
    pub output: &'static str,
    /// Number of outputs for training, validation and test.
    pub n_graph: [usize; 3],
    pub model: String,
    pub n_parameter: usize,
    /// The program that computes the steps, if it is not this one.
    pub engine: Option<String>,
    pub batcher: String,
    pub batch_size: Option<u32>,
    /// `None` if the length is given in epochs.
    pub n_step: Option<u64>,
    pub n_epoch: Option<u64>,
    pub device: String,
    /// Number of ranks that train together.
    pub n_rank: usize,
    /// Counts reported by the data set, such as skipped molecules.
    pub notes: Vec<(String, u64)>,
}

#[derive(Debug, Clone)]
pub struct FinishedRun {
    pub header: RunHeader,
    pub status: Status,
    pub summary: RunSummary,
    /// Peak memory of the process in bytes, shared by the runs of a cell.
    pub peak_host_bytes: Option<i64>,
    /// Number of steps in the tables, if an earlier attempt got further and its rows were kept.
    pub n_step_kept: Option<i64>,
    /// Why evaluations ended training early, if they did.
    pub stopped_early: Option<String>,
    /// Why steps for timing only ended early, if they did; all requested steps are done.
    pub timing_ended: Option<String>,
    /// Step of the best state kept by early stopping.
    pub best_step: Option<u64>,
    /// Warnings issued before training.
    pub warnings: Vec<Warning>,
    pub out: PathBuf,
}

/// Loads, trains, evaluates and publishes.
///
/// # Errors
/// Any failure to start or continue the run. A non-finite loss and an interruption are not errors;
/// their results are published too.
pub fn run(
    loaded: &LoadedConfig,
    options: RunOptions<'_>,
    observer: &dyn Observer,
) -> Result<FinishedRun, RunError> {
    run_from(loaded, options, observer, Start::Anew)
}

fn run_from(
    loaded: &LoadedConfig,
    options: RunOptions<'_>,
    observer: &dyn Observer,
    start: Start,
) -> Result<FinishedRun, RunError> {
    let data = Data::load(loaded, options.cache, observer)?;
    if let Some(others) = options.ranks {
        let own = [
            ("version", Provenance::collect().describe()),
            ("configuration", loaded.hash()),
            ("data set", data.hash.clone()),
            ("first step", start.n_step().to_string()),
        ];
        ranks::agree(others, &own)?;
    }
    let mut run = ActiveRun::open(loaded, &data, options, observer, None, start)?;
    // Ranks end after the same step, whichever of them is asked to.
    let together = run.training.ranks.as_ref().map(Together::interrupted);
    let interrupted = together.as_deref().unwrap_or(options.interrupted);
    let outcome = run.advance(u64::MAX, interrupted, observer);
    observer.ended();
    run.finish(outcome.map(|ending| ending.unwrap_or(Ending::COMPLETED)))
}

pub struct Data {
    graphs: Arc<Graphs>,
    subsets: Subsets,
    /// Hash of everything in the graphs that training can see.
    hash: String,
    load_ns: i64,
    /// Preparation cache, for every stream over these data.
    prepared: Arc<dyn ByteCache>,
}

impl Data {
    /// Loads and splits the data.
    ///
    /// # Errors
    /// Data that cannot be loaded or split.
    pub fn load(
        loaded: &LoadedConfig,
        cache: &Cache,
        observer: &dyn Observer,
    ) -> Result<Self, RunError> {
        let start = Instant::now();
        let config = &loaded.config;
        let ctx = LoadContext {
            search: search_folders(&loaded.path),
            progress: observer.progress(),
            memory: memory::budget()?,
            ..LoadContext::new()
        };
        let mut graphs = cache.load(&*config.dataset, &ctx, Keep::WhenSlow)?.graphs;
        // For some data sets the fields are only known now.
        let (level, fields) = (graphs.level(), graphs.fields());
        check_takes(&*config.model, &Provides { level, fields, ..Provides::default() })?;
        let subsets = Subsets::new(&graphs, config.split, config.training.seeds.split)?;
        if let Some(target) = &mut graphs.target {
            target.standardise(&subsets.train);
            target.check_range()?;
        }
        let load_ns = nanoseconds(start, Instant::now());
        let hash = graphs.content_hash();
        let prepared = cache.prepared(observer.progress());
        Ok(Self { graphs: Arc::new(graphs), subsets, hash, load_ns, prepared })
    }

    /// Description of the data for a checkpoint.
    fn trained_on(&self) -> Result<TrainingData, RunError> {
        let none = || RunError::config("the data set has no target to train on");
        TrainingData::of(&self.graphs).ok_or_else(none)
    }
}
