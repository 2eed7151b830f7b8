//! The tables `[split]` and `[evaluation]`.

use std::num::{NonZeroU32, NonZeroU64};

use batchlab_core::Batcher;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::Fraction;

/// Which graphs, or nodes of one graph, are held out for evaluation: the split that was published with the data, or else a random one,
/// drawn with `training.seeds.split`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Split {
    /// Whether to use the split that comes with the data, where there is one.
    pub published: bool,
    /// Share of the graphs, or of the nodes of one graph, for validation, rounded down.
    #[schemars(extend("x-replaces" = ["per_class"]))]
    #[schemars(extend("x-known-as" = ["val_split"]))]
    pub validation: Fraction,
    /// Share of the graphs, or of the nodes of one graph, for testing, rounded down.
    #[schemars(extend("x-replaces" = ["per_class"]))]
    #[schemars(extend("x-known-as" = ["test_split"]))]
    pub test: Fraction,
    /// In place of shares, so many graphs, or nodes of one graph, of each class; all others are for
    /// testing. (20 and 30 in Shchur et al. 2018, arXiv 1811.05868.)
    #[schemars(extend("x-replaces" = ["validation", "test"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_class: Option<PerClass>,
}

/// Members of each class that are drawn for training and validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerClass {
    /// For training.
    pub train: NonZeroU32,
    /// For validation.
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

/// How models are evaluated: always on all graphs of a subset, in batches that do not depend on the
/// batcher under study.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Evaluation", bound = "")]
pub struct Evaluation<B = Box<dyn Batcher>> {
    /// The batcher for evaluations; the same for all runs that are compared. It must not lose graphs. By
    /// default `dynamic` on many graphs, and `full` on one.
    #[schemars(schema_with = "crate::component::schema::batchers")]
    pub batcher: B,
    /// Steps between evaluations, or epochs with `training.epochs`; without it, only before the first step
    /// and after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<NonZeroU64>,
    /// Whether to evaluate in batches of the batcher under study as well, if it has another name than that
    /// of the evaluations; these rows have its name, and decide nothing.
    #[serde(default)]
    pub own_batches: bool,
    /// Subsets to evaluate: `train`, `validation`, `test`.
    #[serde(default = "default_subsets")]
    pub subsets: Vec<Subset>,
}

fn default_subsets() -> Vec<Subset> {
    vec![Subset::Validation, Subset::Test]
}

/// One of the subsets that the split makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Subset {
    /// Graphs that the model is trained on.
    Train,
    /// Graphs for choices during training.
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
