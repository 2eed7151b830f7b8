//! The options about several ranks.

use std::num::NonZeroU32;

use anyhow::Result;
use batchlab_config::Diagnostic;
use batchlab_core::registry::suggestion;
use batchlab_core::{Batcher, View};
use batchlab_forecast::ranks::{
    Assignment, Cost, RankForecast, RankOptions, RanksError, forecast_ranks,
};
use serde::Serialize;

use super::classified;
use crate::report::seconds;

#[derive(Debug, clap::Args)]
pub(super) struct RankArguments {
    /// Also forecast data-parallel training on these numbers of ranks, where a batch of the plan is
    /// one rank's share of a step: 1,4,16,64. docs/ranks.md defines each number.
    #[arg(long, value_name = "N[,N]", value_delimiter = ',', value_parser = n_rank)]
    ranks: Vec<NonZeroU32>,
    /// Which graphs of a step go to which rank: `fixed` (the batches as planned), `lpt` (longest
    /// processing time first), `lpt-equal` (the same with equal numbers of graphs) or
    /// `sorted-rotated` (batches of similar cost in a step). By default all of them.
    #[arg(long, value_name = "NAME[,NAME]", value_delimiter = ',', requires = "ranks")]
    assignment: Vec<Assignment>,
    /// What the time of a step is proportional to, for --ranks: `edges` or `nodes`.
    #[arg(long, value_name = "SIZE", value_parser = cost, default_value = "edges")]
    cost: Cost,
    /// Seconds of an all-reduce of the gradients, which every step on more than one rank takes in
    /// addition, beside --step-time. By default there is none.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "ranks")]
    all_reduce: Option<f64>,
}

/// What is assumed of the time of a step.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct StepModel {
    pub(super) cost: Cost,
    pub(super) step_time: f64,
    pub(super) all_reduce: Option<f64>,
}

impl RankArguments {
    /// `None` without --ranks.
    pub(super) fn step_model(&self, step_time: f64) -> Option<StepModel> {
        let (cost, all_reduce) = (self.cost, self.all_reduce);
        (!self.ranks.is_empty()).then_some(StepModel { cost, step_time, all_reduce })
    }

    /// For every strategy, in the given order; nothing without --ranks.
    pub(super) fn forecast(
        &self,
        batchers: &[Box<dyn Batcher>],
        view: &View,
        seed: u64,
        step_time: f64,
    ) -> Result<Vec<Vec<RankForecast>>> {
        if self.ranks.is_empty() {
            return Ok(Vec::new());
        }
        let named = self.assignment.as_slice();
        let options = RankOptions {
            n_rank: self.ranks.clone(),
            assignments: if named.is_empty() { &Assignment::ALL } else { named }.to_vec(),
            cost: self.cost,
            all_reduce: self.all_reduce.unwrap_or(0.0) / step_time,
            seed,
        };
        forecast_ranks(batchers, view, &options).map_err(|error| match error {
            RanksError::Strategy(error) => classified(error).into(),
            error => Diagnostic::new(error.to_string()).into(),
        })
    }
}

fn n_rank(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number of ranks; give 1 or more"))
}

fn cost(text: &str) -> Result<Cost, String> {
    match text {
        "edges" => Ok(Cost::Edges),
        "nodes" => Ok(Cost::Nodes),
        other => {
            let near = suggestion(other, &["edges", "nodes"]);
            Err(format!("unknown cost {other:?}{near}\nknown: edges, nodes"))
        }
    }
}
