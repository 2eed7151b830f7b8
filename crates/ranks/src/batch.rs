//! The planned batches of an epoch, and what they cost.

use std::collections::BTreeSet;

use batchlab_core::{GraphSize, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The size to which the time of a step is taken to be proportional.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cost {
    /// Edges.
    #[default]
    Edges,
    /// Nodes.
    Nodes,
}

impl Cost {
    #[must_use]
    pub fn of(self, size: Shape) -> u64 {
        match self {
            Self::Edges => size.n_edge.into(),
            Self::Nodes => size.n_node.into(),
        }
    }

    #[must_use]
    pub fn of_graph(self, graph: GraphSize) -> u64 {
        self.of(Shape::default().with(graph))
    }
}

/// A batch as its batcher planned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub graphs: Vec<GraphSize>,
    /// Size with padding.
    pub shape: Shape,
}

/// All batches of one epoch, in the order of the stream.
#[derive(Debug, Clone)]
pub struct Epoch {
    batches: Vec<Batch>,
    /// The distinct shapes, smallest first.
    shapes: Vec<Shape>,
    is_padded: bool,
}

impl Epoch {
    #[must_use]
    pub fn new(batches: Vec<Batch>) -> Self {
        let shapes: BTreeSet<Shape> = batches.iter().map(|batch| batch.shape).collect();
        let mut shapes: Vec<Shape> = shapes.into_iter().collect();
        shapes.sort_by_key(|&shape| n_row(shape));
        let is_padded = batches.iter().any(|batch| batch.shape != size(&batch.graphs));
        Self { batches, shapes, is_padded }
    }

    #[must_use]
    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// Whether any batch has padding.
    #[must_use]
    pub fn is_padded(&self) -> bool {
        self.is_padded
    }

    /// Nodes and edges that the graphs of one batch may have if it has this shape. Padding edges
    /// need one node.
    pub(crate) fn room(&self, shape: Shape) -> Shape {
        let n_node = shape.n_node - u32::from(self.is_padded && shape.n_node > 0);
        Shape { n_node, ..shape }
    }

    /// The shape of ranks whose largest numbers of nodes, edges and graphs are `needed`, if their
    /// graphs were regrouped: the smallest shape of this epoch that holds them, so that no new
    /// shape appears; `limit`, which holds them, if that is smaller. Without padding it is
    /// `needed`. More graphs than a shape has slots take a multiple of its slots.
    pub(crate) fn shape_for(&self, needed: Shape, limit: Shape) -> Shape {
        if !self.is_padded {
            return needed;
        }
        let holds = |shape: &&Shape| {
            let room = self.room(**shape);
            needed.n_node <= room.n_node && needed.n_edge <= room.n_edge
        };
        let smallest = self.shapes.iter().find(holds).copied();
        let shape = smallest.filter(|&shape| n_row(shape) < n_row(limit)).unwrap_or(limit);
        let n_graph = (needed.n_graph + 1).next_multiple_of(shape.n_graph.max(1));
        Shape { n_graph, n_output: n_graph, ..shape }
    }
}

fn n_row(shape: Shape) -> u64 {
    u64::from(shape.n_node) + u64::from(shape.n_edge)
}

/// Total size of graphs.
#[must_use]
pub fn size(graphs: &[GraphSize]) -> Shape {
    graphs.iter().fold(Shape::default(), |size, &graph| size.with(graph))
}

/// The largest number of nodes, of edges, of graphs and of outputs.
pub(crate) fn largest(sizes: impl IntoIterator<Item = Shape>) -> Shape {
    sizes.into_iter().fold(Shape::default(), |a, b| Shape {
        n_node: a.n_node.max(b.n_node),
        n_edge: a.n_edge.max(b.n_edge),
        n_graph: a.n_graph.max(b.n_graph),
        n_output: a.n_output.max(b.n_output),
    })
}
