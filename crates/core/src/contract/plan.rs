//! A batcher's decision: the members, edges and shape of a batch.

use serde::{Deserialize, Serialize};

use crate::contract::graphs::{GraphSize, Level};

/// Size of a batch, real or padded.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Shape {
    /// Nodes.
    pub n_node: u32,
    /// Directed edges.
    pub n_edge: u32,
    /// Graphs.
    pub n_graph: u32,
    /// Rows that carry a target: graphs, or output nodes.
    pub n_output: u32,
}

impl Shape {
    /// Adds one graph, which has one output. Sums saturate at `u32::MAX`: such a batch fits no
    /// budget and is rejected by `collate`.
    #[must_use]
    pub fn with(self, graph: GraphSize) -> Self {
        Self {
            n_node: self.n_node.saturating_add(graph.n_node),
            n_edge: self.n_edge.saturating_add(graph.n_edge),
            n_graph: self.n_graph.saturating_add(1),
            n_output: self.n_output.saturating_add(1),
        }
    }
}

/// Position of a stream: its state *after* a batch.
///
/// `seek` replays one epoch's decisions from sizes alone, so a checkpoint needs nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Batches delivered in this epoch.
    pub batch: u64,
    /// Graphs drawn in the previous epoch but not yet delivered when this epoch began.
    pub carried: Vec<u32>,
    /// For groups that are reused: index of the last group of the previous epoch, on which the
    /// order of this epoch may depend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
}

/// Which edges a batch contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EdgeSelection {
    /// Every edge of each member graph.
    #[default]
    Stored,
    /// Every edge of the large graph between two members, with the full graph's weights.
    Induced,
    /// The edges in [`BatchPlan::listed`].
    Listed,
}

/// Edges listed explicitly by a sampler; indices are rows of [`BatchPlan::members`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListedEdges {
    /// Row of the sending member.
    pub sender: Vec<u32>,
    /// Row of the receiving member, ascending.
    pub receiver: Vec<u32>,
    /// Weight of each edge; empty means 1.
    pub weight: Vec<f32>,
}

/// The decision for one batch. The caller owns the plan and reuses it, so a stream allocates
/// nothing in the steady state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchPlan {
    /// Whether `members` are graphs or nodes.
    pub level: Level,
    /// Identifiers in the store: graphs in batch order, or nodes. With induced edges, nodes are
    /// unique and ascending; with listed edges they come in any order, and a node may occur several
    /// times, each occurrence being a copy with its own edges.
    pub members: Vec<u32>,
    /// For nodes: the rows of `members` that are outputs. Unused for graphs, each of which is one
    /// output.
    pub output_row: Vec<u32>,
    /// Weight of each output in the loss; empty means 1.
    pub output_weight: Vec<f32>,
    /// Which edges the batch contains.
    pub edges: EdgeSelection,
    /// The edges of [`EdgeSelection::Listed`].
    pub listed: ListedEdges,
    /// Size without padding. With induced edges, `n_edge` is known only after the edges have been
    /// looked up.
    pub real: Shape,
    /// Size with padding.
    pub shape: Shape,
    /// Equal for equal plans of one stream; such batches may be collated once and kept.
    pub cache_key: Option<u64>,
    /// State of the stream after this batch.
    pub cursor: Cursor,
}

impl BatchPlan {
    /// Clears the plan for the next batch and keeps its allocations.
    pub fn clear(&mut self, level: Level) {
        self.level = level;
        self.members.clear();
        self.output_row.clear();
        self.output_weight.clear();
        self.edges = EdgeSelection::default();
        self.listed.sender.clear();
        self.listed.receiver.clear();
        self.listed.weight.clear();
        self.real = Shape::default();
        self.shape = Shape::default();
        self.cache_key = None;
    }

    /// Appends one graph and counts it in [`BatchPlan::real`].
    pub fn push_graph(&mut self, graph: GraphSize) {
        self.members.push(graph.id);
        self.real = self.real.with(graph);
    }
}
