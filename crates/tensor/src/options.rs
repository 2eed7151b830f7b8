//! Options shared by several models.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Aggregate, GaussianBasis};

/// How to aggregate several values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// The mean, as in arXiv 2502.00944.
    #[default]
    Mean,
    /// The sum, as in the original publications of most models.
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
    else "{spacing} is not a spacing of Gaussians; give one above 0"
}

impl GaussianSpacing {
    /// `n` Gaussians from distance 0 on with this spacing. Their variance is half the spacing, in
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

/// Normalisation of node features after a convolution, before the activation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// Layer norm with scale and offset (Ba et al. 2016, arXiv 1607.06450).
    #[default]
    Layer,
    /// No normalisation.
    None,
}

batchlab_core::checked_number! {
    /// Dropout probability in training, from 0 to below 1.
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub struct DropoutRate(f64): rate if (0.0..1.0).contains(&rate),
    else "{rate} is not a dropout rate; give a number from 0 up to, but not including, 1"
}

impl Default for DropoutRate {
    /// 0.5.
    fn default() -> Self {
        Self(0.5)
    }
}
