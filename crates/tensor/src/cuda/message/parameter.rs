//! Parameters of a message's kernels.

use std::fmt;

/// A parameter of a kernel. Its name in the source indicates its role and the step that it belongs
/// to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Parameter {
    NEdge,
    /// Number of tiles of edges in the order of receiving nodes.
    NTile,
    NFromTile,
    /// Numbers of receiving and of sending nodes.
    NToNode,
    NFromNode,
    /// Number of blocks that sum the gradients of weights.
    NBlock,
    ToOrder,
    ToOf,
    ToOffset,
    FromOrder,
    FromOf,
    FromOffset,
    /// The matrix of a leaf: rows of nodes, rows of edges, or distances.
    Rows(usize),
    /// The three numbers of a Gaussian basis.
    First(usize),
    Spacing(usize),
    Coefficient(usize),
    Weight(usize),
    Bias(usize),
    /// The factor of an edge, or its direction.
    Constant(usize),
    /// The aggregated messages, and their gradient.
    Received,
    OfReceived,
    /// The values returned per edge, and their gradient.
    Edges,
    OfEdges,
    /// Values of a step kept by forward: `[n_tile, width, tile]`.
    Kept(usize),
    /// The gradient of a leaf's matrix.
    OfRows(usize),
    OfWeight(usize),
    OfBias(usize),
    /// Per-edge gradients of rows that were looked up at the sending nodes.
    Sent(usize),
    Parts(usize),
    /// The same for the sums of `Sent`.
    SentParts(usize),
    /// Whether gradients of weights, biases and stored rows are added to existing ones.
    Adds,
    /// The same for the rows of nodes that a step looks up.
    AddsRows(usize),
    /// Per-block sums of the gradients of weights.
    BlockSums,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Number,
    Words,
    Input,
    Output,
}

impl Parameter {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::NEdge
            | Self::NTile
            | Self::NFromTile
            | Self::NToNode
            | Self::NFromNode
            | Self::NBlock
            | Self::Adds
            | Self::AddsRows(_) => Kind::Integer,
            Self::First(_) | Self::Spacing(_) | Self::Coefficient(_) => Kind::Number,
            Self::ToOrder
            | Self::ToOf
            | Self::ToOffset
            | Self::FromOrder
            | Self::FromOf
            | Self::FromOffset => Kind::Words,
            Self::Rows(_)
            | Self::Weight(_)
            | Self::Bias(_)
            | Self::Constant(_)
            | Self::OfReceived
            | Self::OfEdges => Kind::Input,
            _ => Kind::Output,
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NEdge => write!(f, "n_edge"),
            Self::NTile => write!(f, "n_tile"),
            Self::NFromTile => write!(f, "n_from_tile"),
            Self::NToNode => write!(f, "n_to_node"),
            Self::NFromNode => write!(f, "n_from_node"),
            Self::NBlock => write!(f, "n_block"),
            Self::ToOrder => write!(f, "to_order"),
            Self::ToOf => write!(f, "to_of"),
            Self::ToOffset => write!(f, "to_offset"),
            Self::FromOrder => write!(f, "from_order"),
            Self::FromOf => write!(f, "from_of"),
            Self::FromOffset => write!(f, "from_offset"),
            Self::Rows(v) => write!(f, "rows_{v}"),
            Self::First(v) => write!(f, "first_{v}"),
            Self::Spacing(v) => write!(f, "spacing_{v}"),
            Self::Coefficient(v) => write!(f, "coefficient_{v}"),
            Self::Weight(v) => write!(f, "weight_{v}"),
            Self::Bias(v) => write!(f, "bias_{v}"),
            Self::Constant(v) => write!(f, "constant_{v}"),
            Self::Received => write!(f, "received"),
            Self::OfReceived => write!(f, "of_received"),
            Self::Edges => write!(f, "edges"),
            Self::OfEdges => write!(f, "of_edges"),
            Self::Kept(v) => write!(f, "kept_{v}"),
            Self::OfRows(v) => write!(f, "of_rows_{v}"),
            Self::OfWeight(v) => write!(f, "of_weight_{v}"),
            Self::OfBias(v) => write!(f, "of_bias_{v}"),
            Self::Sent(v) => write!(f, "sent_{v}"),
            Self::Parts(v) => write!(f, "parts_{v}"),
            Self::SentParts(v) => write!(f, "sent_parts_{v}"),
            Self::Adds => write!(f, "adds"),
            Self::AddsRows(v) => write!(f, "adds_rows_{v}"),
            Self::BlockSums => write!(f, "block_sums"),
        }
    }
}

pub(super) fn declarations(parameters: &[Parameter]) -> String {
    let declaration = |&parameter: &Parameter| match parameter.kind() {
        Kind::Integer => format!("int {parameter}"),
        Kind::Number => format!("float {parameter}"),
        Kind::Words => format!("const word *__restrict__ {parameter}"),
        Kind::Input => format!("const float *__restrict__ {parameter}"),
        Kind::Output => format!("float *__restrict__ {parameter}"),
    };
    parameters.iter().map(declaration).collect::<Vec<_>>().join(",\n    ")
}
