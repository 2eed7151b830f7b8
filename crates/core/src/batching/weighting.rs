//! How much each output counts in the gradient.
//!
//! Batches differ in their number of graphs, above all under a budget. Whether a graph then counts
//! the same in every batch, or a batch the same whatever it holds, is a choice that changes what is
//! learnt; it is named, and written into the results.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::graphs::Level;
use crate::contract::graphs::{Graphs, Topology};
use crate::contract::plan::BatchPlan;

/// How much each output counts in the gradient of a step.
///
/// With l the loss of an output, w its weight and c a constant of the run, a step follows the
/// gradient of
///
/// | name | sum over the outputs of a batch | each counts the same |
/// |---|---|---|
/// | `per-batch-mean` | w l / (sum of w in this batch) | batch |
/// | `per-graph` | w l / c | graph |
/// | `per-node` | (nodes of the graph) w l / c | node |
///
/// Only the last two give the same gradient, summed over an epoch, however the graphs are put into
/// batches. The constant is chosen so that steps are about as large as with `per-batch-mean`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// Every batch counts the same, whatever it holds, as in arXiv 2502.00944.
    #[default]
    PerBatchMean,
    /// Every graph counts the same (on one graph: every output node).
    PerGraph,
    /// Every graph counts by its number of nodes.
    PerNode,
}

impl Weighting {
    /// The name in configuration and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PerBatchMean => "per-batch-mean",
            Self::PerGraph => "per-graph",
            Self::PerNode => "per-node",
        }
    }

    /// Writes the weights of a plan's outputs, on top of those that its batcher gave.
    pub fn weigh(self, graphs: &Graphs, plan: &mut BatchPlan) {
        let (Self::PerNode, Topology::Many(many), Level::Graphs) =
            (self, &graphs.topology, plan.level)
        else {
            return;
        };
        plan.output_weight.resize(plan.members.len(), 1.0);
        for (weight, &id) in plan.output_weight.iter_mut().zip(&plan.members) {
            *weight *= many.size(id as usize).n_node as f32;
        }
    }

    /// The factor on the gradient of a batch's mean loss, whose weights sum to `weight_sum`.
    /// `constant` is c of the table above, the same for all steps of a run.
    #[must_use]
    pub fn scale(self, weight_sum: f64, constant: f64) -> f64 {
        match self {
            Self::PerBatchMean => 1.0,
            Self::PerGraph | Self::PerNode => weight_sum / constant,
        }
    }

    /// The constant for batches of about `n_output` of these members: the mean weight of a member
    /// times `n_output`.
    #[must_use]
    pub fn constant(self, graphs: &Graphs, members: &[u32], n_output: f64) -> f64 {
        match (self, &graphs.topology) {
            (Self::PerNode, Topology::Many(many)) => {
                let n_node = |&id: &u32| f64::from(many.size(id as usize).n_node);
                let total: f64 = members.iter().map(n_node).sum();
                n_output * total / members.len().max(1) as f64
            }
            _ => n_output,
        }
    }
}
