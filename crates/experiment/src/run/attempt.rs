//! One run while it is at work: from the open model to the published tables.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use batchlab_config::{Config, LoadedConfig};
use batchlab_core::budget::Footprint;
use batchlab_core::graphs::TargetKind;
use batchlab_core::model::{Loss, ModelContext};
use batchlab_core::record::{EvalRecord, RunRecord, SCHEMA_VERSION};
use batchlab_core::{BatchContext, BatchStream, Graphs, Purpose};
use serde_json::json;

use super::checkpoints::Checkpoints;
use super::evaluate::{Evaluated, Evaluator};
use super::pipeline::{Pipeline, Producer, nanoseconds};
use super::recorder::Recorder;
use super::replay::{Replay, name_members};
use super::resume::Before;
use super::train::{Stop, TrainingLoop};
use super::{Data, Ending, RunHeader, RunOptions, RunSummary, Status, describe, unseen};
use crate::provenance::{Provenance, now, peak_host_bytes};
use crate::publish::Publisher;
use crate::{Observer, RunError, checkpoint};

/// Which cell of a study a run belongs to.
#[derive(Debug, Clone)]
pub(super) struct Membership {
    /// Identifier of the cell.
    pub(super) cell: String,
    /// Number of the repetition.
    pub(super) repeat: u32,
    /// Whether other cells are kept off the device.
    pub(super) is_exclusive: bool,
}

/// A run that is open: it can be trained in as many stretches as one likes, and must be finished.
pub(super) struct Attempt<'a> {
    pub(super) header: RunHeader,
    pub(super) training: TrainingLoop<'a>,
    loaded: &'a LoadedConfig,
    data: &'a Data,
    evaluator: Evaluator<'a>,
    evals: Vec<EvalRecord>,
    recorder: Recorder,
    publisher: Publisher,
    replay: Replay,
    provenance: Provenance,
    /// Largest memory on the device while this run was at work.
    peak_device_bytes: Option<u64>,
    /// The fields of its row that are known from the beginning.
    known: RunRecord,
    out: PathBuf,
}

impl<'a> Attempt<'a> {
    /// Opens model, batcher and sinks, and makes the run's folders; `before` goes on with what an
    /// attempt before has left.
    pub(super) fn open(
        loaded: &'a LoadedConfig,
        data: &'a Data,
        options: RunOptions<'_>,
        observer: &dyn Observer,
        membership: Option<&Membership>,
        before: Option<Before>,
    ) -> Result<Self, RunError> {
        let started_at = before.as_ref().and_then(|before| before.started_at).unwrap_or_else(now);
        let config = &loaded.config;
        before.as_ref().map_or(Ok(()), |before| before.check_dataset(&data.hash))?;
        let evaluator = Evaluator::new(config, data)?;
        let (mut stream, prepare_ns) = open_stream(config, data, observer)?;
        let mut facts = stream.facts();
        let trainer = config.model.open(&model_context(loaded, &data.graphs)?)?;

        let provenance = Provenance::collect();
        let metadata = metadata(loaded, &provenance);
        let constant = weighting_constant(config, data);
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
        let header = describe::header(loaded, data, &*trainer, publisher.run_id());
        observer.started(&header);
        if config.model.needs().node_class && before.is_none() {
            warn_of_unseen_classes(config, data, &mut recorder, observer);
        }

        let of_study = membership.map(|member| {
            (Some(member.cell.clone()), Some(member.repeat.into()), Some(member.is_exclusive))
        });
        let (cell, repeat, is_exclusive) = of_study
            .or_else(|| before.as_ref().map(|before| before.cell.clone()))
            .unwrap_or_default();
        let known = RunRecord {
            prepare_ns,
            n_thread: options.n_thread as i64,
            cell,
            repeat,
            is_exclusive,
            n_attempt: Some(before.as_ref().map_or(1, |before| before.n_attempt + 1)),
            ..RunRecord::default()
        };
        let producer = Producer::new(Arc::clone(&data.graphs), stream, config.model.needs())
            .weighted(config.training.weighting);
        let pipeline = Pipeline::new(producer, config.training.prefetch_depth());
        let mut training = TrainingLoop::new(&config.training, trainer, pipeline, constant);
        training.checkpoints =
            Some(Checkpoints::new(loaded, &publisher, &provenance, data.hash.clone()));
        let mut evals = Vec::new();
        if let Some(before) = before {
            training.restore(&before.checkpoint, &before.steps)?;
            evals = before.evals;
        }
        let replay = Replay::new(loaded, options.out, publisher.run_id());
        let known = RunRecord { started_at, ..known };
        let out = options.out.to_owned();
        let mut attempt = Self {
            header,
            training,
            loaded,
            data,
            evaluator,
            evals,
            recorder,
            publisher,
            replay,
            provenance,
            peak_device_bytes: None,
            known,
            out,
        };
        attempt.begin()?;
        Ok(attempt)
    }

    /// Should nothing more be heard of the process, this is what it was.
    fn begin(&mut self) -> Result<(), RunError> {
        let silent = Ending { status: Status::Failed, reason: Some(CRASHED.into()) };
        let silent = self.record(&self.summary(silent));
        self.recorder.begin(&RunRecord { status: super::CRASHED_STATUS.into(), ..silent })
    }

    /// Trains until `goal` steps are done, or all of them; evaluates before the first step, between
    /// stretches of training, and after the last step. `None`: the goal is reached, and there is more
    /// to do.
    pub(super) fn advance(
        &mut self,
        goal: u64,
        interrupted: &AtomicBool,
        observer: &dyn Observer,
    ) -> Result<Option<Ending>, RunError> {
        // What others had there before is not this run's.
        self.training.trainer.take_peak_device_bytes()?;
        let ending = self.advance_to(goal, interrupted, observer)?;
        let peak = self.training.trainer.take_peak_device_bytes()?;
        self.peak_device_bytes = self.peak_device_bytes.max(peak);
        Ok(ending)
    }

    fn advance_to(
        &mut self,
        goal: u64,
        interrupted: &AtomicBool,
        observer: &dyn Observer,
    ) -> Result<Option<Ending>, RunError> {
        let last = self.training.training.steps.get();
        let every = self.evaluator.every.map_or(last, NonZeroU64::get);
        let stop = Stop { interrupted, replay: &self.replay, graphs: &self.data.graphs };
        loop {
            let step = self.training.n_step;
            if step == last || step.is_multiple_of(every) {
                let (trainer, recorder) = (&mut *self.training.trainer, &mut self.recorder);
                let evaluated =
                    self.evaluator.evaluate_all(trainer, step, &self.evals, interrupted)?;
                for evaluated in evaluated {
                    observer.evaluated(&evaluated.record);
                    recorder.eval(evaluated.record.clone());
                    if !evaluated.record.loss.is_finite() {
                        return Ok(Some(diverged(&evaluated, &stop, recorder)));
                    }
                    self.evals.push(evaluated.record);
                }
                recorder.sync()?;
            }
            if interrupted.load(Ordering::Relaxed) {
                return Ok(Some(self.training.interrupted(&mut self.recorder)?));
            }
            if step == last {
                if self.training.training.checkpoint.is_some() {
                    self.training.save(&mut self.recorder)?;
                }
                return Ok(Some(Ending::COMPLETED));
            }
            if step >= goal {
                return Ok(None);
            }
            let next = (step / every + 1) * every;
            let next = next.min(last).min(goal);
            let ending = self.training.run_to(next, &mut self.recorder, observer, &stop)?;
            if ending.is_some() {
                return Ok(ending);
            }
        }
    }

    /// Publishes. What was recorded before a failure is published like everything else.
    pub(super) fn finish(self, outcome: Result<Ending, RunError>) -> Result<RunSummary, RunError> {
        let (ending, failure) = match outcome {
            Ok(ending) => (ending, None),
            Err(error) => {
                let reason = Some(error.to_string());
                (Ending { status: Status::Failed, reason }, Some(error))
            }
        };
        let summary = self.summary(ending);
        let run = self.record(&summary);
        let Self { recorder, publisher, out, .. } = self;
        let unpublished = |source| RunError::Unpublished { source: Box::new(source), out };
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

    fn summary(&self, ending: Ending) -> RunSummary {
        RunSummary {
            header: self.header.clone(),
            status: ending.status,
            reason: ending.reason,
            n_step: self.training.n_step,
            n_shape: self.training.ledger.n_shape(),
            train_ns: self.training.train_ns,
            throughput: self.training.tally.throughput(),
            evals: self.evals.clone(),
            out: self.out.clone(),
            peak_host_bytes: peak_host_bytes(),
            peak_device_bytes: self.peak_device_bytes.map(|bytes| bytes as i64),
        }
    }

    fn record(&self, summary: &RunSummary) -> RunRecord {
        RunRecord {
            started_at: self.known.started_at,
            prepare_ns: self.known.prepare_ns,
            n_thread: self.known.n_thread,
            cell: self.known.cell.clone(),
            repeat: self.known.repeat,
            is_exclusive: self.known.is_exclusive,
            n_attempt: self.known.n_attempt,
            // Of the process, which it shares with other runs.
            peak_host_bytes: summary.peak_host_bytes.filter(|_| self.known.cell.is_none()),
            ..describe::record(self.loaded, self.data, &self.provenance, summary)
        }
    }
}

const CRASHED: &str = "the process ended without a word";

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

pub(super) fn open_stream(
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

/// What output weights are divided by when batches do not count the same: as many outputs as a
/// full batch has, where the batcher says so, else one.
pub(super) fn weighting_constant(config: &Config, data: &Data) -> f64 {
    let n_output = config.batcher.batch_size().map_or(1.0, |size| f64::from(size - 1));
    config.training.weighting.constant(&data.graphs, &data.subsets.train, n_output)
}

fn metadata(loaded: &LoadedConfig, provenance: &Provenance) -> [(String, String); 3] {
    [
        ("schema_version".into(), SCHEMA_VERSION.to_string()),
        ("batchlab_version".into(), provenance.version.clone()),
        ("config_hash".into(), loaded.hash()),
    ]
}

pub(super) fn model_context(
    loaded: &LoadedConfig,
    graphs: &Graphs,
) -> Result<ModelContext, RunError> {
    let config = &loaded.config;
    let loss = config.training.loss;
    let fail =
        |message: &str| Err(RunError::config(format!("{}: {message}", loaded.path.display())));
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

/// Start and configuration: sorts by time, and the same configuration can be found again.
fn run_id(hash: &str) -> String {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let digits: String = time.chars().filter(char::is_ascii_digit).collect();
    let (day, time) = digits.split_at(8.min(digits.len()));
    format!("{day}-{time}-{}", &hash[..8])
}
