//! Elementwise functions applied after a linear layer.

/// An elementwise function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// x.
    #[default]
    Identity,
    /// ln(1 + e^x) - ln 2, the shifted softplus of SchNet (Schütt et al. 2017).
    ShiftedSoftplus,
    /// x / (1 + e^-x), also called swish (Elfwing et al. 2018).
    Silu,
    /// max(x, 0).
    Relu,
    /// x for x > 0, otherwise e^x - 1 (Clevert et al. 2016).
    Elu,
    /// x for x > 0, otherwise x / 5, the slope used in GAT's scores (Veličković et al. 2018).
    LeakyRelu,
}

impl Activation {
    /// The slope of [`Activation::LeakyRelu`] below 0.
    pub const LEAKY_SLOPE: f32 = 0.2;

    /// Whether the derivative is computed from the input. For the others the output is enough, and
    /// the input is not kept.
    pub(crate) fn keeps_input(self) -> bool {
        matches!(self, Self::Silu)
    }
}
