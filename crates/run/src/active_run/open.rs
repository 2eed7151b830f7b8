//! Opens a run in four stages: its components, its tables, its first events, and the row that
//! remains if the process is killed.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use batchlab_config::{Config, LoadedConfig};
use batchlab_core::budget::Footprint;
use batchlab_core::record::{SCHEMA_VERSION, Timestamp};
use batchlab_core::{BatchContext, BatchEvent, BatchStream, Purpose};
use batchlab_ranks::Share;
use batchlab_results::publish::checkpoints;
use batchlab_results::{CRASHED, Publisher, Recorder};
use serde_json::json;

use super::{ActiveRun, Membership};
use crate::checkpoint::SAVED;
use crate::checkpoints::Checkpoints;
use crate::describe::{self, Circumstances, OfStudy};
use crate::evaluate::Evaluator;
use crate::folders::{CONFIG, with_folders};
use crate::open_model::open_model;
use crate::pipeline::{Pipeline, Producer, open_timed};
use crate::provenance::Provenance;
use crate::ranks::Together;
use crate::replay::Replay;
use crate::resume::{Start, seek};
use crate::train::TrainingLoop;
use crate::training_data::TrainingData;
use crate::{Data, Observer, RunError, RunOptions, Warning, crowding, warnings};

const KILLED: &str = "the process was killed, or the machine stopped";

/// What a run is opened from.
struct Opening<'a, 'o> {
    loaded: &'a LoadedConfig,
    data: &'a Data,
    options: RunOptions<'a>,
    observer: &'o dyn Observer,
    membership: Option<&'o Membership>,
    provenance: Provenance,
}

/// What a run trains, and what there is to record about it.
struct Trained<'a> {
    evaluator: Evaluator<'a>,
    training: TrainingLoop<'a>,
    data: TrainingData,
    prepare_ns: i64,
    metrics: Vec<(String, f64)>,
    events: Vec<BatchEvent>,
    warnings: Vec<Warning>,
}

impl<'a> ActiveRun<'a> {
    /// Opens model, batcher and sinks, and creates the run's folders, or reopens those of a
    /// continued run.
    ///
    /// # Errors
    /// Any failure to start the run.
    pub(crate) fn open(
        loaded: &'a LoadedConfig,
        data: &'a Data,
        options: RunOptions<'a>,
        observer: &dyn Observer,
        membership: Option<&Membership>,
        start: Start,
    ) -> Result<Self, RunError> {
        start.check_dataset(&data.hash)?;
        let provenance = Provenance::collect();
        let opening = Opening { loaded, data, options, observer, membership, provenance };
        let mut trained = opening.train(&start)?;
        let (run_id, publisher, recorder) = opening.tables_of_ranks(&start, &mut trained)?;
        let is_new = start.resumed().is_none();
        let parent = match &start {
            Start::Extends { parent, .. } => Some(checkpoints(options.out, parent)),
            _ => None,
        };
        let mut run = opening.start(start, trained, &run_id, publisher, recorder);
        match run.begin(parent.as_deref(), observer) {
            Ok(()) => Ok(run),
            Err(error) => {
                if is_new {
                    run.discard();
                }
                Err(error)
            }
        }
    }

    /// Inherits the best state of the run that this one extends, and writes the row to publish if
    /// the process is killed.
    fn begin(&mut self, parent: Option<&Path>, observer: &dyn Observer) -> Result<(), RunError> {
        if let Some(checkpoints) = parent
            && let Some(reason) = self.training.inherit_best(checkpoints)?
        {
            let message = format!(
                "the best state of the previous run cannot be used: {reason}; the next evaluation \
                 counts as the best so far"
            );
            observer.progress().warn(&message);
            self.recorder.event(Some(self.n_step()), SAVED, message, None);
        }
        let crashed = self.record(CRASHED, Some(KILLED.into()));
        Ok(self.recorder.begin(&crashed)?)
    }
}

impl<'a> Opening<'a, '_> {
    /// Opens batcher and model, and moves both to where the run starts.
    fn train(&self, start: &Start) -> Result<Trained<'a>, RunError> {
        let Self { loaded, data, observer, .. } = *self;
        let config = &loaded.config;
        let mut evaluator = Evaluator::new(config, data)?;
        evaluator.ranks = self.options.ranks;
        let share = self.share();
        let (mut stream, prepare_ns) = open_stream(config, data, observer, share)?;
        let mut metrics = stream.metrics();
        let events = stream.take_events();
        let trained_on = data.trained_on()?;
        let (trainer, size) = open_model(loaded, &trained_on)?;

        if share.is_some() && !trainer.gives_gradients() {
            return Err(RunError::config(format!(
                "model \"{}\" does a step in one call, from which no gradients come out, so ranks cannot \
                 add them up; train it on one rank (without the key ranks), or give its engine n_parameter \
                 and the methods gradients and apply (docs/engines.md)",
                config.model.typetag_name()
            )));
        }

        // A step has the batches of all ranks.
        let n_rank = share.map_or(1, |share| share.n_rank);
        let constant = weighting_constant(config, data, &*stream) * n_rank as f64;
        metrics.push(("weighting_constant".into(), constant));
        if let Some(checkpoint) = start.checkpoint() {
            seek(checkpoint, &mut *stream)?;
        }
        let mut warnings = warnings::find(config, &data.graphs, &data.subsets, &events);
        warnings.extend(warnings::stages_not_timed(config, &*trainer));
        let producer = Producer::new(Arc::clone(&data.graphs), stream, config.model.needs())?
            .weighted(config.training.weighting)
            .for_training(size, config.training.prefetch_depth());
        let pipeline = Pipeline::new(producer, config.training.prefetch_depth())?;
        let mut training = TrainingLoop::new(&config.training, trainer, pipeline, constant);
        let options = self.options;
        training.ranks = options.ranks.map(|others| Together::new(others, options.interrupted));
        if let Some(checkpoint) = start.checkpoint() {
            training.restore(checkpoint, start.resumed().map_or(&[], |point| &point.steps))?;
        }
        let data = trained_on;
        Ok(Trained { evaluator, training, data, prepare_ns, metrics, events, warnings })
    }

    /// This rank's share of the steps, if there are several ranks.
    fn share(&self) -> Option<Share> {
        let (others, ranks) = (self.options.ranks?, self.loaded.config.ranks?);
        Some(Share {
            rank: others.rank(),
            n_rank: others.n_rank(),
            assignment: ranks.assignment,
            cost: ranks.cost,
        })
    }

    /// The tables of the first rank; the other ranks learn the name of the run, and record nothing.
    fn tables_of_ranks(
        &self,
        start: &Start,
        trained: &mut Trained<'_>,
    ) -> Result<(String, Option<Publisher>, Recorder), RunError> {
        let is_first = self.options.ranks.is_none_or(|others| others.rank() == 0);
        let own = if is_first { Some(self.tables(start, trained)?) } else { None };
        let run_id = own.as_ref().map_or("", |(publisher, _)| publisher.run_id());
        let run_id = match self.options.ranks {
            None => run_id.to_owned(),
            Some(others) => String::from_utf8_lossy(&others.gather(run_id.as_bytes())?[0]).into(),
        };
        let (publisher, recorder) = match own {
            Some((publisher, recorder)) => (Some(publisher), recorder),
            None => (None, Recorder::silent(&run_id)),
        };
        Ok((run_id, publisher, recorder))
    }

    /// Creates the run's folder and records its initial events, or reopens the folder of a run that
    /// is resumed.
    fn tables(
        &self,
        start: &Start,
        trained: &mut Trained<'_>,
    ) -> Result<(Publisher, Recorder), RunError> {
        let (loaded, out) = (self.loaded, self.options.out);
        let metadata = metadata(loaded, &self.provenance);
        if let Start::Resumed(point) = start {
            return point.reopen(out, &loaded.config.sink, &metadata);
        }
        let (publisher, mut recorder) = new_folder(loaded, out, &metadata)?;
        recorder.metrics(&trained.metrics, &self.data.graphs.notes);
        let events = std::mem::take(&mut trained.events);
        record_beginning(&mut recorder, start, &trained.warnings, events);
        Ok((publisher, recorder))
    }

    /// Announces the run, and puts it together.
    fn start(
        self,
        start: Start,
        trained: Trained<'a>,
        run_id: &str,
        publisher: Option<Publisher>,
        mut recorder: Recorder,
    ) -> ActiveRun<'a> {
        let Self { loaded, data, options, observer, membership, provenance } = self;
        let Trained { evaluator, mut training, data: of_data, prepare_ns, warnings, .. } = trained;
        let header = describe::header(loaded, data, &*training.trainer, run_id);
        observer.started(&header);
        for warning in &warnings {
            observer.warned(warning);
        }
        if start.resumed().is_none()
            && let Some(message) = crowding(&loaded.config, options.n_thread)
        {
            // A sweep prints this once for all of its runs.
            if membership.is_none() {
                observer.progress().note(&format!("note: {message}"));
            }
            recorder.event(None, "threads", message, None);
        }

        let circumstances = circumstances(options, membership, &start, provenance, prepare_ns);
        let arithmetic = training.trainer.arithmetic();
        let of_data = (of_data, data.hash.clone());
        if let Some(publisher) = &publisher {
            let provenance = &circumstances.provenance;
            let saved = Checkpoints::new(loaded, publisher, provenance, of_data, &arithmetic);
            saved.forget_best_after(start.n_step());
            training.checkpoints = Some(saved);
        }
        if let Some(message) = start.other_arithmetic(&arithmetic) {
            observer.progress().warn(&message);
            recorder.event(Some(start.n_step()), "arithmetic", message, None);
        }
        let evals = match start {
            Start::Resumed(point) => point.evals,
            _ => Vec::new(),
        };
        ActiveRun {
            replay: Replay::new(loaded, options.out, run_id),
            out: options.out.to_owned(),
            header,
            training,
            loaded,
            data,
            evaluator,
            evals,
            recorder,
            publisher,
            peak_device_bytes: None,
            circumstances,
            warnings,
        }
    }
}

/// Creates the folder of a new run and opens its sinks; removes the folder if a sink cannot be
/// opened.
fn new_folder(
    loaded: &LoadedConfig,
    out: &Path,
    metadata: &[(String, String)],
) -> Result<(Publisher, Recorder), RunError> {
    let publisher = Publisher::open(out, &run_id(&loaded.hash(), SystemTime::now()))?;
    let opened = publisher
        .text(CONFIG, &with_folders(&loaded.to_toml(), &loaded.path))
        .and_then(|()| Recorder::open(&loaded.config.sink, &publisher, metadata));
    match opened {
        Ok(recorder) => Ok((publisher, recorder)),
        Err(error) => {
            publisher.discard();
            Err(error.into())
        }
    }
}

/// Records the initial events of a run: warnings, reports of its batcher, and the run it extends.
fn record_beginning(
    recorder: &mut Recorder,
    start: &Start,
    warnings: &[Warning],
    events: Vec<BatchEvent>,
) {
    for warning in warnings {
        let (message, payload) = (warning.message.clone(), warning.payload.clone());
        recorder.event(None, warning.kind, message, Some(payload));
    }
    for event in events {
        let payload = event.graph.map(|graph| json!({ "graph": graph }));
        recorder.event(Some(start.n_step()), event.kind, event.message, payload);
    }
    if let Start::Extends { parent, checkpoint } = start {
        let message = format!("continued run {parent} after step {}", checkpoint.state.step);
        recorder.event(Some(start.n_step()), "resumed", message, None);
    }
}

fn circumstances(
    options: RunOptions<'_>,
    membership: Option<&Membership>,
    start: &Start,
    provenance: Provenance,
    prepare_ns: i64,
) -> Circumstances {
    let resumed = start.resumed();
    let of_study = membership.map(|member| OfStudy {
        cell: Some(member.cell.clone()),
        repeat: Some(member.repeat.into()),
        n_repeat: Some(member.n_repeat.into()),
        is_exclusive: Some(member.is_exclusive),
        n_look: Some(member.n_look.into()),
    });
    Circumstances {
        started_at: resumed
            .and_then(|point| point.started_at)
            .unwrap_or_else(|| Timestamp::of(SystemTime::now())),
        prepare_ns,
        n_thread: options.n_thread,
        of_study: of_study
            .or_else(|| resumed.map(|point| point.of_study.clone()))
            .unwrap_or_default(),
        n_attempt: resumed.map_or(1, |point| point.n_attempt + 1),
        parent: start.parent(),
        provenance,
    }
}

pub(crate) fn open_stream(
    config: &Config,
    data: &Data,
    observer: &dyn Observer,
    share: Option<Share>,
) -> Result<(Box<dyn BatchStream>, i64), RunError> {
    let needs = config.model.needs();
    let width = data.graphs.batch_feature_width(&needs);
    let ctx = BatchContext {
        progress: observer.progress(),
        cache: Arc::clone(&data.prepared),
        footprint: Footprint::of_batch(&needs, width).and(data.graphs.own_footprint(&needs)),
        ..BatchContext::new(Purpose::Training, config.training.seeds.order)
    };
    Ok(open_timed(&*config.batcher, data.graphs.view(&data.subsets.train), ctx, share)?)
}

/// Divisor of output weights when batches do not count equally: the number of outputs of a full
/// batch; without a batch size, the mean number if the stream knows its batches per epoch;
/// otherwise 1.
pub(crate) fn weighting_constant(config: &Config, data: &Data, stream: &dyn BatchStream) -> f64 {
    let train = &data.subsets.train;
    let n_output = match (config.batcher.batch_size(), stream.batches_per_epoch()) {
        (Some(size), _) => f64::from(size - 1),
        (None, Some(n_batch)) => train.len() as f64 / n_batch.get() as f64,
        (None, None) => 1.0,
    };
    config.training.weighting.constant(&data.graphs, train, n_output)
}

fn metadata(loaded: &LoadedConfig, provenance: &Provenance) -> [(String, String); 3] {
    [
        ("schema_version".into(), SCHEMA_VERSION.to_string()),
        ("batchlab_version".into(), provenance.version.clone()),
        ("config_hash".into(), loaded.hash()),
    ]
}

/// Start time followed by the hash of the configuration, so that identifiers sort by time.
fn run_id(hash: &str, now: SystemTime) -> String {
    // A clock before 1970 was never set.
    let time = humantime::format_rfc3339_seconds(now.max(SystemTime::UNIX_EPOCH)).to_string();
    let digits: String = time.chars().filter(char::is_ascii_digit).collect();
    let (day, time) = digits.split_at(8.min(digits.len()));
    format!("{day}-{time}-{}", &hash[..8])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_was_never_set_names_runs_too() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1000);
        assert_eq!(run_id("0123456789", before), "19700101-000000-01234567");
    }
}
