//! Trains a few unrecorded steps to estimate the duration of whole runs and the variation of their
//! times.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::active_run::{open_stream, weighting_constant};
use super::evaluate::At;
use super::open_model::open_model;
use super::pipeline::{Pipeline, Producer};
use super::train::TrainingLoop;
use super::{Data, Evaluator};
use crate::cache::Cache;
use crate::ledger::ShapeLedger;
use crate::{Observer, RunError};
use batchlab_config::{Length, LoadedConfig};
use batchlab_core::{BatchPlan, Level};

/// Maximum number of pairs of turns. Runs take turns so that their times can be compared.
const MAX_PAIRS: u32 = 4;
/// New shapes are looked for in this many batches; later ones are rarely new.
const MAX_PLANNED: u64 = 5000;

#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Time of a step whose padded shape was used before.
    pub step_s: f64,
    /// Additional time of the first step of a padded shape, for example to compile it.
    pub new_shape_s: f64,
    /// The steps, from 1, that meet a new shape; empty if that takes less than another step.
    pub new_shapes: Vec<u64>,
    /// Number of configured steps; for epochs, as implied by the measured outputs per step.
    pub n_step: u64,
    /// Time of all evaluations of the run, in seconds.
    pub evaluation_s: f64,
    /// Training time per turn without first uses of shapes, in seconds. All measurable runs have the same number of turns; the
    /// second turn mirrors the first, the fourth the third.
    pub turns: Vec<TrialTurn>,
}

impl Measured {
    /// Time in seconds of a run of `n_step` steps, evaluations included.
    #[must_use]
    pub fn seconds(&self, n_step: u64) -> f64 {
        let n_new = self.new_shapes.partition_point(|&step| step <= n_step);
        self.step_s * n_step as f64 + self.new_shape_s * n_new as f64 + self.evaluation_s
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrialTurn {
    pub seconds: f64,
    pub n_step: u64,
    pub n_output: f64,
}

/// Measures runs that share their data, in turns of about `turn`, until a pair of turns ends after
/// `most`.
///
/// # Errors
/// Data that cannot be loaded. The error of a single run takes the place of its result.
pub fn measure(
    runs: &[LoadedConfig],
    cache: &Cache,
    observer: &dyn Observer,
    turn: Duration,
    most: Duration,
) -> Result<Vec<Result<Measured, RunError>>, RunError> {
    let data = Data::load(&runs[0], cache, observer)?;
    let mut trials: Vec<Result<Trial<'_>, RunError>> =
        runs.iter().map(|run| Trial::open(run, &data, observer)).collect();
    let start = Instant::now();
    for _ in 0..MAX_PAIRS {
        for place in (0..runs.len()).chain((0..runs.len()).rev()) {
            let trial = trials[place].as_mut().ok();
            if let Some(Err(error)) = trial.map(|trial| trial.turn(turn)) {
                trials[place] = Err(error);
            }
        }
        if start.elapsed() >= most {
            break;
        }
    }
    Ok(trials.into_iter().map(|trial| trial.and_then(Trial::end)).collect())
}

/// A run of which a few steps are trained.
struct Trial<'a> {
    loaded: &'a LoadedConfig,
    data: &'a Data,
    evaluator: Evaluator<'a>,
    training: TrainingLoop<'a>,
    n_step: u64,
    turns: Vec<TrialTurn>,
    shapes: ShapeLedger,
    /// How much longer the first step of each shape took than the same step again, in seconds.
    first_uses: Vec<f64>,
}

impl<'a> Trial<'a> {
    fn open(
        loaded: &'a LoadedConfig,
        data: &'a Data,
        observer: &dyn Observer,
    ) -> Result<Self, RunError> {
        let config = &loaded.config;
        let evaluator = Evaluator::new(config, data)?;
        let (stream, _) = open_stream(config, data, observer, None)?;
        let constant = weighting_constant(config, data, &*stream);
        let (trainer, size) = open_model(loaded, &data.trained_on()?)?;
        let producer = Producer::new(Arc::clone(&data.graphs), stream, config.model.needs())?
            .weighted(config.training.weighting)
            .for_training(size, config.training.prefetch_depth());
        let pipeline = Pipeline::new(producer, config.training.prefetch_depth())?;
        let mut training = TrainingLoop::new(&config.training, trainer, pipeline, constant);
        // The first step allocates memory that later steps reuse.
        training.unrecorded_step(1)?;
        let mut shapes = ShapeLedger::default();
        shapes.enter(training.shape());
        let (turns, first_uses) = (Vec::new(), Vec::new());
        Ok(Self { loaded, data, evaluator, training, n_step: 0, turns, shapes, first_uses })
    }

    /// Trains for at least this long, and at least one step.
    fn turn(&mut self, least: Duration) -> Result<(), RunError> {
        let (start, before) = (Instant::now(), self.n_step);
        let (mut n_output, mut seconds) = (0, 0.0);
        while self.n_step == before || start.elapsed() < least {
            self.n_step += 1;
            let begin = Instant::now();
            n_output += u64::from(self.training.unrecorded_step(1 + self.n_step)?);
            let mut step_s = begin.elapsed().as_secs_f64();
            if self.shapes.enter(self.training.shape()).is_new {
                let again = Instant::now();
                self.training.repeated_step(1 + self.n_step)?;
                let first_s = std::mem::replace(&mut step_s, again.elapsed().as_secs_f64());
                self.first_uses.push(first_s - step_s);
            }
            seconds += step_s;
        }
        let n_step = self.n_step - before;
        self.turns.push(TrialTurn { seconds, n_step, n_output: n_output as f64 });
        Ok(())
    }

    fn end(mut self) -> Result<Measured, RunError> {
        let config = &self.loaded.config;
        // The median, because first turns suffer from cold caches and unallocated memory, and
        // others from disturbances; in a mean over less than a second these would be extrapolated
        // to hours.
        let mut steps: Vec<f64> =
            self.turns.iter().map(|turn| turn.seconds / turn.n_step as f64).collect();
        steps.sort_by(f64::total_cmp);
        let step_s = steps[steps.len() / 2];
        self.first_uses.sort_by(f64::total_cmp);
        let new_shape_s = self.first_uses.get(self.first_uses.len() / 2).copied().unwrap_or(0.0);
        let all_subsets_s = self.evaluation_seconds()?;
        let (Length::Steps(length) | Length::Epochs(length)) = config.training.length();
        let n_output: f64 = self.turns.iter().map(|turn| turn.n_output).sum();
        let of_epoch =
            self.data.subsets.train.len() as f64 * self.n_step as f64 / n_output.max(1.0);
        #[allow(clippy::cast_sign_loss, reason = "counts are not negative")]
        let n_step = match config.training.length() {
            Length::Steps(n_step) => n_step,
            Length::Epochs(n_epoch) => (n_epoch as f64 * of_epoch).ceil() as u64,
        };
        let every = self.evaluator.every.map_or(length, NonZeroU64::get);
        let n_evaluation = 1 + length.div_ceil(every.max(1));
        let is_long = new_shape_s > step_s;
        let new_shapes = if is_long { self.new_shapes()? } else { Vec::new() };
        Ok(Measured {
            step_s,
            new_shape_s,
            new_shapes,
            n_step,
            evaluation_s: all_subsets_s * n_evaluation as f64,
            turns: self.turns,
        })
    }

    /// The steps of a run that meet a new shape.
    fn new_shapes(&self) -> Result<Vec<u64>, RunError> {
        let (mut stream, _) = open_stream(&self.loaded.config, self.data, &(), None)?;
        let (mut plan, mut shapes, mut steps) =
            (BatchPlan::default(), ShapeLedger::default(), Vec::new());
        for step in 1..=MAX_PLANNED {
            if !stream.next(&mut plan)? {
                break;
            }
            if shapes.enter(plan.shape).is_new {
                steps.push(step);
            }
        }
        Ok(steps)
    }

    /// Time of one evaluation of all subsets. For many graphs it is extrapolated from the batches;
    /// part of the nodes of one graph can take as long as all of them, so this case is measured.
    fn evaluation_seconds(&mut self) -> Result<f64, RunError> {
        if self.data.graphs.level() == Level::Nodes {
            let (at, never) = (At { step: 0, train_ns: 0 }, AtomicBool::new(false));
            let mut seconds = 0.0;
            // The first evaluation allocates and caches batches for all later ones.
            for _ in 0..2 {
                let start = Instant::now();
                self.evaluator.evaluate_all(&mut *self.training.trainer, at, &[], &never)?;
                seconds = start.elapsed().as_secs_f64();
            }
            return Ok(seconds);
        }
        let predict_s = self.training.predict_seconds()?;
        let subsets = self.loaded.config.evaluation.subsets.iter();
        let n_graph: usize = subsets.map(|&subset| self.data.subsets.of(subset).len()).sum();
        Ok(predict_s * (n_graph * self.evaluator.n_batcher()) as f64)
    }
}
