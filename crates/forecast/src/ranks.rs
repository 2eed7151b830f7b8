//! Data-parallel training on several ranks, from sizes alone: how even the ranks' shares of a step
//! are, and what that means for the time of an epoch. `docs/ranks.md` defines every number.
//!
//! A forecast only: no ranks are started, and nothing communicates.

mod tally;

use std::num::NonZeroU32;

use batchlab_core::{BatchContext, Batcher, BatcherError, GraphSize, Level, Purpose, View};
use batchlab_ranks::Epochs;
use rayon::prelude::*;
use serde::Serialize;

use crate::ForecastError;
use tally::Tally;

pub use batchlab_ranks::{Assignment, Batch, Cost, Epoch, Step, UnknownAssignment, size};

#[derive(Debug, Clone)]
pub struct RankOptions {
    pub n_rank: Vec<NonZeroU32>,
    pub assignments: Vec<Assignment>,
    pub cost: Cost,
    /// Time of an all-reduce, as a multiple of the time that the mean batch takes without padding.
    pub all_reduce: f64,
    /// Seed of the order of graphs, as in the run.
    pub seed: u64,
}

/// A strategy on R ranks with one assignment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankForecast {
    pub n_rank: u32,
    pub assignment: Assignment,
    /// Steps per epoch, the same for every rank.
    pub steps_per_epoch: f64,
    /// Graphs per step, all ranks together.
    pub graphs_per_step: f64,
    /// Mean over maximum cost of the ranks, the maxima being the weights of the steps; `None` if
    /// nothing costs anything.
    pub efficiency: Option<f64>,
    /// The same without the incomplete step at the end of an epoch.
    pub efficiency_full_steps: Option<f64>,
    /// Real nodes as a share of the nodes of the shapes on which the ranks agree.
    pub node_fill: Option<f64>,
    /// Real edges as a share of the edges of these shapes.
    pub edge_fill: Option<f64>,
    /// Distinct shapes per epoch on which the ranks agree.
    pub shapes_per_epoch: f64,
    /// Standard deviation of the cost of a full step, all ranks together, over its mean.
    pub step_variation: Option<f64>,
    /// Steps of a rank without a graph, as a share of all.
    pub weightless: f64,
    /// Full steps that `lpt` or `lpt-equal` left as planned because a graph found no room, as a
    /// share of all steps.
    pub not_regrouped: f64,
    /// Time of an epoch on one rank over that on R, if a step takes as long as its shape and the
    /// all-reduce.
    pub speed_up: Option<f64>,
    pub n_epoch: u64,
}

/// Options that cannot work, or a strategy that cannot.
#[derive(Debug, thiserror::Error)]
pub enum RanksError {
    #[error(
        "{n_rank} ranks are more than the {n_graph} graphs to train on; give at most {n_graph}"
    )]
    TooMany { n_rank: u32, n_graph: usize },
    #[error("ranks share whole graphs, but strategy \"{label}\" batches the nodes of one graph")]
    Nodes { label: String },
    #[error(transparent)]
    Strategy(#[from] ForecastError),
}

/// Number of epochs of a forecast.
const N_EPOCH: u64 = 8;
/// Total number of graphs beyond which fewer epochs are planned.
const MAX_GRAPH: u64 = 400_000;

/// Forecasts of several strategies, for all numbers of ranks and all assignments. On one rank, all
/// assignments are the plan of the batcher, and only the first is listed.
///
/// # Errors
/// For the first strategy, in the given order, that cannot work.
pub fn forecast_ranks(
    batchers: &[Box<dyn Batcher>],
    view: &View,
    options: &RankOptions,
) -> Result<Vec<Vec<RankForecast>>, RanksError> {
    let all: Vec<_> = batchers.par_iter().map(|b| of_strategy(&**b, view, options)).collect();
    all.into_iter().collect()
}

fn of_strategy(
    batcher: &dyn Batcher,
    view: &View,
    options: &RankOptions,
) -> Result<Vec<RankForecast>, RanksError> {
    let (View::ManyGraphs(graphs), Level::Graphs) = (view, batcher.level()) else {
        return Err(RanksError::Nodes { label: batcher.label() });
    };
    let most = options.n_rank.iter().map(|n| n.get()).max().unwrap_or(1);
    if most as usize > graphs.len() {
        return Err(RanksError::TooMany { n_rank: most, n_graph: graphs.len() });
    }
    let mut tallies = tallies(options);
    let planned = each_epoch(batcher, view, graphs, options.seed, |epoch| {
        for tally in &mut tallies {
            tally.add_epoch(epoch);
        }
    });
    planned.map_err(|source| ForecastError {
        label: batcher.label(),
        batch_size: batcher.batch_size(),
        source,
    })?;
    Ok(tallies.iter().map(|tally| tally.forecast(options.all_reduce)).collect())
}

fn tallies(options: &RankOptions) -> Vec<Tally> {
    let of_ranks = |n_rank: &NonZeroU32| {
        let n_listed = if n_rank.get() == 1 { 1 } else { options.assignments.len() };
        let listed = options.assignments.iter().take(n_listed);
        let n_rank = n_rank.get();
        listed.map(move |&assignment| Tally::new(n_rank, assignment, options.cost))
    };
    options.n_rank.iter().flat_map(of_ranks).collect()
}

/// Plans the first epochs of a training.
fn each_epoch(
    batcher: &dyn Batcher,
    view: &View,
    graphs: &[GraphSize],
    seed: u64,
    mut visit: impl FnMut(&Epoch),
) -> Result<(), BatcherError> {
    let n_epoch = (MAX_GRAPH / graphs.len().max(1) as u64).clamp(1, N_EPOCH);
    let stream = batcher.open(view.clone(), BatchContext::new(Purpose::Training, seed))?;
    let mut epochs = Epochs::new(stream, graphs);
    for _ in 0..n_epoch {
        visit(&epochs.next_epoch()?.epoch);
    }
    Ok(())
}
