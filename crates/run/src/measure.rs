//! A few unrecorded steps, to estimate how long a whole run takes.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::active_run::{model_context, open_stream, weighting_constant};
use super::pipeline::{Pipeline, Producer};
use super::train::TrainingLoop;
use super::{Data, Evaluator};
use crate::cache::Cache;
use crate::{Observer, RunError};
use batchlab_config::LoadedConfig;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    pub step_s: f64,
    /// Time of the whole run with its evaluations, in seconds.
    pub run_s: f64,
}

/// Measures runs that share their data, each for about `trial` of training.
///
/// # Errors
/// Data that cannot be loaded. The error of a single run stands in its place.
pub fn measure(
    runs: &[LoadedConfig],
    cache: &Cache,
    observer: &dyn Observer,
    trial: Duration,
) -> Result<Vec<Result<Measured, RunError>>, RunError> {
    let data = Data::load(&runs[0], cache, observer)?;
    Ok(runs.iter().map(|run| measure_one(run, &data, observer, trial)).collect())
}

fn measure_one(
    loaded: &LoadedConfig,
    data: &Data,
    observer: &dyn Observer,
    trial: Duration,
) -> Result<Measured, RunError> {
    let config = &loaded.config;
    let evaluator = Evaluator::new(config, data)?;
    let (stream, _) = open_stream(config, data, observer)?;
    let trainer = config.model.open(&model_context(loaded, &data.graphs)?)?;
    let producer = Producer::new(Arc::clone(&data.graphs), stream, config.model.needs())
        .weighted(config.training.weighting);
    let pipeline = Pipeline::new(producer, config.training.prefetch_depth());
    let constant = weighting_constant(config, data);
    let mut training = TrainingLoop::new(&config.training, trainer, pipeline, constant);
    // The first step allocates what later ones reuse.
    training.unrecorded_step(1)?;
    let start = Instant::now();
    let mut n_step = 0;
    while n_step == 0 || start.elapsed() < trial {
        n_step += 1;
        training.unrecorded_step(1 + n_step)?;
    }
    let step_s = start.elapsed().as_secs_f64() / n_step as f64;
    let predict_s = training.predict_seconds()?;

    let n_graph = config.evaluation.subsets.iter().map(|&subset| data.subsets.of(subset).len());
    let n_graph: usize = n_graph.sum();
    let steps = config.training.steps.get();
    let every = evaluator.every.map_or(steps, NonZeroU64::get);
    let n_evaluation = 1 + steps.div_ceil(every);
    let evaluation_s = predict_s * n_graph as f64 * n_evaluation as f64;
    Ok(Measured { step_s, run_s: step_s * steps as f64 + evaluation_s })
}
