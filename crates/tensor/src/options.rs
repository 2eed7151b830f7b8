//! Options that models share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Aggregate, GaussianBasis};

/// How many values become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Their mean, as in arXiv 2502.00944.
    #[default]
    Mean,
    /// Their sum, as most models were published.
    Sum,
}

impl From<Aggregation> for Aggregate {
    fn from(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::Mean => Self::Mean,
            Aggregation::Sum => Self::Sum,
        }
    }
}

batchlab_core::checked_number! {
    /// A positive length in angstrom; 0.1 by default.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub struct GaussianSpacing(f64): spacing if spacing > 0.0 && spacing.is_finite(),
    else "{spacing} is not a distance between two Gaussians; give one above 0"
}

impl GaussianSpacing {
    /// `n` Gaussians from distance 0 on, so far apart. Their variance is half the spacing, in
    /// square angstrom: `exp(-(d - mu)^2 / spacing)`, as in the program of arXiv 2502.00944.
    #[must_use]
    pub fn basis(self, n: usize) -> GaussianBasis {
        let Self(spacing) = self;
        GaussianBasis {
            n,
            first: 0.0,
            spacing: spacing as f32,
            coefficient: (1.0 / spacing) as f32,
        }
    }
}

impl Default for GaussianSpacing {
    fn default() -> Self {
        Self(0.1)
    }
}
