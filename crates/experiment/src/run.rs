//! One run, from top to bottom.

mod checkpoints;
mod describe;
mod evaluate;
mod judge;
mod ledger;
mod pipeline;
pub(crate) mod recorder;
mod replay;
mod resume;
mod split;
mod tally;
mod train;
mod unseen;

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use batchlab_core::budget::Footprint;
use batchlab_core::graphs::TargetKind;
use batchlab_core::model::{Loss, ModelContext};
use batchlab_core::record::{EvalRecord, RunRecord, SCHEMA_VERSION};
use batchlab_core::{BatchContext, BatchStream, Graphs, LoadContext, Purpose};
use serde::Serialize;
use serde_json::json;

pub use judge::{Judge, Judgement, OtherData, Part, Prediction};
pub use ledger::ShapeLedger;
pub use resume::{ResumeError, resume};
pub use split::Subsets;

use crate::cache::{Cache, Keep};
use crate::provenance::{Provenance, now, peak_host_bytes};
use crate::publish::Publisher;
use crate::{Config, LoadedConfig, Observer, RunError, checkpoint};
use checkpoints::Checkpoints;
use evaluate::{Evaluated, Evaluator};
use pipeline::{Pipeline, Producer, nanoseconds};
use recorder::Recorder;
use replay::{Replay, name_members};
use resume::Before;
use train::{Stop, TrainingLoop};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
    let started_at = before.as_ref().and_then(|before| before.started_at).unwrap_or_else(now);
    let config = &loaded.config;
    let data = Data::load(loaded, options.cache, observer)?;
    let dataset_hash = data.graphs.content_hash();
    before.as_ref().map_or(Ok(()), |before| before.check_dataset(&dataset_hash))?;
    let evaluator = Evaluator::new(config, &data)?;
    let (mut stream, prepare_ns) = open_stream(config, &data, observer)?;
    let mut facts = stream.facts();
    let mut trainer = config.model.open(&model_context(loaded, &data.graphs)?)?;

    let provenance = Provenance::collect();
    let metadata = metadata(loaded, &provenance);
    let constant = weighting_constant(config, &data);
    let (publisher, mut recorder) = if let Some(before) = &before {
        before.seek(&mut *stream)?;
        before.reopen(options.out, &config.sink, &metadata)?
    } else {
        let publisher = Publisher::open(options.out, &run_id(&loaded.hash()))?;
        publisher.text("config.toml", &loaded.to_toml())?;
        let mut recorder = Recorder::open(&config.sink, &publisher, &metadata)?;
        facts.push(("weighting_constant".into(), constant));
        recorder.facts(&facts, &data.graphs.notes);
        (publisher, recorder)
    };
    let header = describe::header(loaded, &data, &*trainer, publisher.run_id());
    observer.started(&header);
    if config.model.needs().node_class && before.is_none() {
        warn_of_unseen_classes(config, &data, &mut recorder, observer);
    }

    let producer = Producer::new(Arc::clone(&data.graphs), stream, config.model.needs())
        .weighted(config.training.weighting);
    let pipeline = Pipeline::new(producer, config.training.prefetch_depth());
    let mut training = TrainingLoop::new(&config.training, &mut *trainer, pipeline, constant);
    let checkpoints = Checkpoints::new(loaded, &publisher, &provenance, dataset_hash);
    training.checkpoints = Some(checkpoints);
    let mut evals = Vec::new();
    if let Some(before) = before {
        training.restore(&before.checkpoint, &before.steps)?;
        evals = before.evals;
    }
    let stop = Stop {
        interrupted: options.interrupted,
        replay: &Replay::new(loaded, options.out, publisher.run_id()),
        graphs: &data.graphs,
    };
    let ended = |ending: Ending, training: &TrainingLoop<'_>, evals: Vec<EvalRecord>| RunSummary {
        header: header.clone(),
        status: ending.status,
        reason: ending.reason,
        n_step: training.n_step,
        n_shape: training.ledger.n_shape(),
        train_ns: training.train_ns,
        throughput: training.tally.throughput(),
        evals,
        out: options.out.to_owned(),
        peak_host_bytes: peak_host_bytes(),
    };
    let record = |summary: &RunSummary| RunRecord {
        started_at,
        prepare_ns,
        n_thread: options.n_thread as i64,
        ..describe::record(loaded, &data, &provenance, summary)
    };
    // Should nothing more be heard of the process, this is what it was.
    let silent = Ending { status: Status::Failed, reason: Some(CRASHED.into()) };
    let silent = record(&ended(silent, &training, evals.clone()));
    recorder.begin(&RunRecord { status: CRASHED_STATUS.into(), ..silent })?;

    let outcome = alternate(&mut training, &evaluator, &mut recorder, observer, &stop, &mut evals);
    observer.ended();
    // What was recorded before a failure is published like everything else.
    let (ending, failure) = match outcome {
        Ok(ending) => (ending, None),
        Err(error) => {
            let reason = Some(error.to_string());
            (Ending { status: Status::Failed, reason }, Some(error))
        }
    };
    let summary = ended(ending, &training, evals);
    let run = record(&summary);
    let unpublished =
        |source| RunError::Unpublished { source: Box::new(source), out: options.out.to_owned() };
    let can_go_on = matches!(summary.status, Status::Interrupted | Status::Failed)
        && !checkpoint::list(&publisher.checkpoints()).is_empty();
    match failure {
        Some(error) if error.is_storage() => {
            recorder.abandon(&run);
            Err(unpublished(error))
        }
        Some(error) => {
            recorder.finish(&run, publisher, can_go_on).map_err(unpublished)?;
            Err(error)
        }
        None => {
            recorder.finish(&run, publisher, can_go_on).map_err(unpublished)?;
            Ok(summary)
        }
    }
}

/// The status of a run whose process ended without a word.
pub(crate) const CRASHED_STATUS: &str = "crashed";
const CRASHED: &str = "the process ended without a word";

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
        Ok(Self { graphs: Arc::new(graphs), subsets, load_ns })
    }
}

fn open_stream(
    config: &Config,
    data: &Data,
    observer: &dyn Observer,
) -> Result<(Box<dyn BatchStream>, i64), RunError> {
    let start = Instant::now();
    let width = data.graphs.node_feature.as_ref().map_or(0, |feature| feature.width);
    let ctx = BatchContext {
        progress: observer.progress(),
        footprint: Footprint::of_batch(config.model.needs(), width),
        ..BatchContext::new(Purpose::Training, config.training.seeds.order)
    };
    let stream = config.batcher.open(data.graphs.view(&data.subsets.train), ctx)?;
    Ok((stream, nanoseconds(start, Instant::now())))
}

/// Evaluates before the first step, between stretches of training, and after the last step.
fn alternate(
    training: &mut TrainingLoop<'_>,
    evaluator: &Evaluator<'_>,
    recorder: &mut Recorder,
    observer: &dyn Observer,
    stop: &Stop<'_>,
    evals: &mut Vec<EvalRecord>,
) -> Result<Ending, RunError> {
    let last = training.training.steps.get();
    let every = evaluator.every.map_or(last, NonZeroU64::get);
    loop {
        let step = training.n_step;
        if step == last || step.is_multiple_of(every) {
            let interrupted = stop.interrupted;
            for evaluated in evaluator.evaluate_all(training.trainer, step, evals, interrupted)? {
                observer.evaluated(&evaluated.record);
                recorder.eval(evaluated.record.clone());
                if !evaluated.record.loss.is_finite() {
                    return Ok(diverged(&evaluated, stop, recorder));
                }
                evals.push(evaluated.record);
            }
            recorder.sync()?;
        }
        if stop.interrupted.load(Ordering::Relaxed) {
            return training.interrupted(recorder);
        }
        if step == last {
            if training.training.checkpoint.is_some() {
                training.save(recorder)?;
            }
            return Ok(Ending { status: Status::Completed, reason: None });
        }
        let next = (step / every + 1) * every;
        if let Some(ending) = training.run_to(next.min(last), recorder, observer, stop)? {
            return Ok(ending);
        }
    }
}

/// The parameters have become useless although the loss of every step was finite.
fn diverged(evaluated: &Evaluated, stop: &Stop<'_>, recorder: &mut Recorder) -> Ending {
    let eval = &evaluated.record;
    let step = eval.step.unsigned_abs();
    let members = &evaluated.not_finite;
    let because = match members.as_slice() {
        [] => String::new(),
        members => format!(", because of {}", name_members(stop.graphs, members)),
    };
    let reason = format!(
        "the loss on {} after {step} steps is {}{because}. Try a lower training.learning_rate. To \
         see it again: {}",
        eval.split,
        eval.loss,
        stop.replay.command(step.max(1)),
    );
    let payload = stop.replay.of_evaluation(step, members, stop.graphs);
    recorder.event(Some(step), "nan", reason.clone(), Some(payload));
    Ending { status: Status::NotFinite, reason: Some(reason) }
}

/// A person should know before training that some graphs are judged with what nobody trained.
fn warn_of_unseen_classes(
    config: &Config,
    data: &Data,
    recorder: &mut Recorder,
    observer: &dyn Observer,
) {
    for unseen in unseen::find(&data.graphs, &data.subsets, &config.evaluation.subsets) {
        let message = unseen.message();
        observer.progress().note(&format!("warning: {message}"));
        let payload = json!({ "class": unseen.class, "name": unseen.name,
            "subset": unseen.subset.name(), "n_graph": unseen.graphs.len(), "graphs": unseen.graphs });
        recorder.event(None, "unseen_class", message, Some(payload));
    }
}

/// What output weights are divided by when batches do not count the same: as many outputs as a
/// full batch has, where the batcher says so, else one.
fn weighting_constant(config: &Config, data: &Data) -> f64 {
    let n_output = config.batcher.batch_size().map_or(1.0, |size| f64::from(size - 1));
    config.training.weighting.constant(&data.graphs, &data.subsets.train, n_output)
}

/// Start and configuration: sorts by time, and the same configuration can be found again.
fn run_id(hash: &str) -> String {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let digits: String = time.chars().filter(char::is_ascii_digit).collect();
    let (day, time) = digits.split_at(8.min(digits.len()));
    format!("{day}-{time}-{}", &hash[..8])
}

fn metadata(loaded: &LoadedConfig, provenance: &Provenance) -> [(String, String); 3] {
    [
        ("schema_version".into(), SCHEMA_VERSION.to_string()),
        ("batchlab_version".into(), provenance.version.clone()),
        ("config_hash".into(), loaded.hash()),
    ]
}

fn model_context(loaded: &LoadedConfig, graphs: &Graphs) -> Result<ModelContext, RunError> {
    let config = &loaded.config;
    let loss = config.training.loss;
    let fail = |message: &str| {
        Err(RunError::Config(format!("error: {}: {message}", loaded.path.display())))
    };
    let output_width = match graphs.target.as_ref().map(|target| &target.kind) {
        None => return fail("the data set has no target to train on"),
        Some(TargetKind::Classes { name }) if loss == Loss::CrossEntropy => name.len(),
        Some(TargetKind::Classes { .. }) => {
            return fail("the target is a class; use training.loss = \"cross-entropy\"");
        }
        Some(TargetKind::Regression { .. }) if loss == Loss::CrossEntropy => {
            return fail("the target is a number; use training.loss = \"mse\" or \"mae\"");
        }
        Some(TargetKind::Regression { .. }) => 1,
    };
    Ok(ModelContext {
        device: config.device.clone(),
        seed: config.training.seeds.init,
        n_node_class: graphs.node_class.as_ref().map_or(0, |class| class.name.len()),
        node_feature_width: graphs.node_feature.as_ref().map_or(0, |feature| feature.width),
        output_width,
        loss,
        precision: config.training.precision,
    })
}
