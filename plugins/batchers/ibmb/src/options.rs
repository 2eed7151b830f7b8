//! Converts the configuration table to one of the methods.

use std::num::NonZeroU32;

use batchlab_core::BatcherError;
use batchlab_core::grouping::Composition;
use batchlab_ppr::{Power, Push, Walk};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Ibmb;
use crate::batch_wise::BatchWise;
use crate::node_wise::{Budget, Near, NodeWise};

/// How outputs are grouped into batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outputs {
    /// Outputs that influence each other are merged, pair by pair; each adds the nodes of greatest
    /// influence on it.
    #[default]
    NodeWise,
    /// The outputs of each graph partition, with the nodes of greatest joint influence on them.
    BatchWise,
    /// Random, anew every epoch; each output adds the nodes of greatest influence on it.
    Random,
    /// The same, drawn once.
    RandomFixed,
}

/// The matrix that is iterated for the outputs of a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Operator {
    /// D^-1 A, as in the authors' code: scores are divided by degrees.
    #[default]
    Reference,
    /// A D^-1, the common definition of personalised `PageRank`.
    Standard,
}

pub(crate) enum Method {
    NodeWise(NodeWise),
    BatchWise(BatchWise),
    Random { near: Near, n_output: NonZeroU32, composition: Composition },
}

impl Outputs {
    fn name(self) -> &'static str {
        match self {
            Self::NodeWise => "node-wise",
            Self::BatchWise => "batch-wise",
            Self::Random => "random",
            Self::RandomFixed => "random-fixed",
        }
    }
}

fn wrong<T>(message: String) -> Result<T, BatcherError> {
    Err(BatcherError::Options(message))
}

impl Ibmb {
    pub(crate) fn method(&self, n_node: usize) -> Result<Method, BatcherError> {
        self.check_keys()?;
        self.check_sizes(n_node)?;
        match self.outputs {
            Outputs::NodeWise => {
                let budget = match (self.outputs_per_batch, self.max_aux_per_batch) {
                    (Some(most), None) => Budget::Outputs(most),
                    (None, Some(most)) => Budget::Nodes(most),
                    (None, None) => Budget::Outputs(self.n_output(n_node)),
                    (Some(_), Some(_)) => {
                        return wrong(
                            "outputs_per_batch and max_aux_per_batch both limit a batch; give one of \
                             the two"
                                .into(),
                        );
                    }
                };
                Ok(Method::NodeWise(NodeWise { near: self.near(), budget }))
            }
            Outputs::BatchWise => {
                let Some(n_part) = self.n_part else {
                    return wrong(
                        "outputs = \"batch-wise\" needs the number of parts, for example n_part = 4"
                            .into(),
                    );
                };
                let expand_ratio = self.expand_ratio.unwrap_or(1.0);
                if !(expand_ratio > 0.0 && expand_ratio.is_finite()) {
                    return wrong(format!("expand_ratio is {expand_ratio}, but must be above 0"));
                }
                let operator = match self.operator.unwrap_or_default() {
                    Operator::Reference => batchlab_ppr::Operator::Reference,
                    Operator::Standard => batchlab_ppr::Operator::Standard,
                };
                let n_iteration = self.n_iteration.map_or(50, NonZeroU32::get);
                Ok(Method::BatchWise(BatchWise {
                    n_part: n_part.get(),
                    expand_ratio,
                    power: Power { teleport: self.teleport, n_iteration, operator },
                    output_weight: self.output_weight.map_or(1, NonZeroU32::get),
                    seed: self.partition_seed.unwrap_or(42),
                }))
            }
            Outputs::Random | Outputs::RandomFixed => {
                let n_output = self.n_output(n_node);
                let composition = match self.outputs {
                    Outputs::RandomFixed => Composition::Fixed,
                    _ => Composition::EveryEpoch,
                };
                Ok(Method::Random { near: self.near(), n_output, composition })
            }
        }
    }

    fn n_output(&self, n_node: usize) -> NonZeroU32 {
        const DEFAULT: NonZeroU32 = NonZeroU32::new(64).expect("64 is not 0");
        let n_node = u32::try_from(n_node).ok().and_then(NonZeroU32::new).unwrap_or(DEFAULT);
        self.outputs_per_batch.unwrap_or(DEFAULT.min(n_node))
    }

    fn near(&self) -> Near {
        Near {
            push: Push {
                teleport: self.teleport,
                epsilon: self.epsilon.unwrap_or(2e-4),
                walk: Walk::Plain,
            },
            k: self.aux_per_output.map_or(16, NonZeroU32::get),
        }
    }

    /// Rejects keys without effect.
    fn check_keys(&self) -> Result<(), BatcherError> {
        let of_node = [Outputs::NodeWise, Outputs::Random, Outputs::RandomFixed];
        let (node_wise, batch_wise) = ([Outputs::NodeWise], [Outputs::BatchWise]);
        let keys: [(&str, bool, &[Outputs]); 10] = [
            ("outputs_per_batch", self.outputs_per_batch.is_some(), &of_node),
            ("aux_per_output", self.aux_per_output.is_some(), &of_node),
            ("epsilon", self.epsilon.is_some(), &of_node),
            ("max_aux_per_batch", self.max_aux_per_batch.is_some(), &node_wise),
            ("n_part", self.n_part.is_some(), &batch_wise),
            ("expand_ratio", self.expand_ratio.is_some(), &batch_wise),
            ("operator", self.operator.is_some(), &batch_wise),
            ("n_iteration", self.n_iteration.is_some(), &batch_wise),
            ("output_weight", self.output_weight.is_some(), &batch_wise),
            ("partition_seed", self.partition_seed.is_some(), &batch_wise),
        ];
        let unused = keys.iter().find(|(_, given, of)| *given && !of.contains(&self.outputs));
        let Some((key, _, of)) = unused else { return Ok(()) };
        let of: Vec<String> = of.iter().map(|outputs| format!("\"{}\"", outputs.name())).collect();
        wrong(format!(
            "{key} is an option of outputs = {}, but outputs is \"{}\"; drop it",
            of.join(" or "),
            self.outputs.name()
        ))
    }

    /// Rejects sizes larger than the graph.
    fn check_sizes(&self, n_node: usize) -> Result<(), BatcherError> {
        let sizes = [
            ("outputs_per_batch", self.outputs_per_batch),
            ("max_aux_per_batch", self.max_aux_per_batch),
            ("aux_per_output", self.aux_per_output),
            ("n_part", self.n_part),
        ];
        let large = |size: Option<NonZeroU32>| size.filter(|size| size.get() as usize > n_node);
        let found = sizes.into_iter().find_map(|(key, size)| Some((key, large(size)?)));
        found.map_or(Ok(()), |(key, size)| {
            wrong(format!("{key} = {size}, but the graph has only {n_node} nodes"))
        })
    }
}
