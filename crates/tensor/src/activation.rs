//! Functions applied to every element after a linear layer.

/// A function applied to every element.
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
}

impl Activation {
    /// Whether the derivative is computed from the input. For the others the output is enough, and
    /// the input is not kept.
    pub(crate) fn keeps_input(self) -> bool {
        matches!(self, Self::Silu)
    }
}
