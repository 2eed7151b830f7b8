//! The tables `[split]` and `[evaluation]`.

use std::num::{NonZeroU32, NonZeroU64};

use batchlab_core::Batcher;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::Fraction;

/// Which graphs, or nodes of one graph, to hold out for evaluation: the split published with the
/// data, or else a random one, drawn with `training.seeds.split`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Split {
    /// Whether to use the split that comes with the data, if any.
    pub published: bool,
    /// Share of the graphs, or of the nodes of one graph, for validation, rounded down.
    #[schemars(extend("x-replaces" = ["per_class"]))]
    #[schemars(extend("x-known-as" = ["val_split"]))]
    pub validation: Fraction,
    /// Share of the graphs, or of the nodes of one graph, for testing, rounded down.
    #[schemars(extend("x-replaces" = ["per_class"]))]
    #[schemars(extend("x-known-as" = ["test_split"]))]
    pub test: Fraction,
    /// Instead of shares, fixed numbers of graphs, or of nodes of one graph, per class; all others
    /// are for testing. (20 and 30 in Shchur et al. 2018, arXiv 1811.05868.)
    #[schemars(extend("x-replaces" = ["validation", "test"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_class: Option<PerClass>,
}

/// Number of members of each class to draw for training and validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerClass {
    /// Per class for training.
    pub train: NonZeroU32,
    /// Per class for validation.
    pub validation: NonZeroU32,
}

impl Default for Split {
    fn default() -> Self {
        Self {
            published: true,
            validation: Fraction::new(0.1),
            test: Fraction::new(0.1),
            per_class: None,
        }
    }
}

/// How to evaluate models: always on all graphs of a subset, in batches that do not depend on the
/// batcher under study.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Evaluation", bound = "")]
pub struct Evaluation<B = Box<dyn Batcher>> {
    /// The batcher for evaluations, the same for all runs to be compared. It must not drop graphs.
    /// Defaults to `dynamic` for many graphs and `full` for a single graph.
    #[schemars(schema_with = "crate::component::schema::batchers")]
    pub batcher: B,
    /// Steps between evaluations, or epochs with `training.epochs`. If omitted, evaluates only
    /// before the first and after the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<NonZeroU64>,
    /// Whether to evaluate with the batcher under study as well, if its name differs from that of
    /// the evaluation batcher. These rows carry its name and never affect decisions.
    #[serde(default)]
    pub own_batches: bool,
    /// Subsets to evaluate: `train`, `validation`, `test`.
    #[serde(default = "default_subsets")]
    pub subsets: Vec<Subset>,
}

fn default_subsets() -> Vec<Subset> {
    vec![Subset::Validation, Subset::Test]
}

/// A subset of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Subset {
    /// Graphs for training.
    Train,
    /// Graphs for decisions during training.
    Validation,
    /// Graphs for the final evaluation.
    Test,
}

impl Subset {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}
