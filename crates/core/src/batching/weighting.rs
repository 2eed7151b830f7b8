//! Weight of each output in the gradient.
//!
//! Batches differ in their number of graphs, especially under a budget. Whether each graph counts
//! the same in every batch, or each batch counts the same regardless of its content, changes what
//! is learnt; the choice is therefore explicit and recorded in the results.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::graphs::Level;
use crate::contract::graphs::{Graphs, Topology};
use crate::contract::plan::BatchPlan;

/// Weight of each output in the gradient of a step.
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
/// Only the last two give the same gradient, summed over an epoch, for any assignment of graphs to
/// batches. The constant is chosen so that steps are about as large as with `per-batch-mean`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// Every batch counts the same regardless of its content, as in arXiv 2502.00944.
    #[default]
    PerBatchMean,
    /// Every graph counts the same (for a single large graph: every output node).
    PerGraph,
    /// Every graph counts in proportion to its number of nodes.
    PerNode,
}

impl Weighting {
    /// Name in configuration and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PerBatchMean => "per-batch-mean",
            Self::PerGraph => "per-graph",
            Self::PerNode => "per-node",
        }
    }

    /// Multiplies the weights of a plan's outputs, as set by its batcher, by those of the
    /// weighting.
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

    /// Factor on the gradient of the mean loss of a batch whose weights sum to `weight_sum`.
    /// `constant` is c in the table above, the same for all steps of a run.
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
