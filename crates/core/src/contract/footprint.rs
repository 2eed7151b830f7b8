//! Memory footprint of a batch.

use crate::contract::buffer::BatchBuffer;
use crate::contract::fields::BatchFields;
use crate::contract::graphs::{GraphSize, Level};
use crate::contract::plan::Shape;

/// Size of a padded batch in bytes, as a linear function of its shape.
///
/// This is an upper bound on what [`collate`](crate::collate()) writes, tight to 64 bytes per
/// field. It does not include what a model allocates; a footprint measured on a device can be used
/// instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of an empty batch, including possible alignment padding.
    pub fixed: u64,
    /// Bytes per graph and its output.
    pub graph: u64,
    /// Bytes per node.
    pub node: u64,
    /// Bytes per edge.
    pub edge: u64,
}

impl Default for Footprint {
    /// The footprint for a model without optional fields.
    fn default() -> Self {
        Self::of_batch(&BatchFields::default(), 0)
    }
}

impl Footprint {
    /// Zero bytes.
    pub const NONE: Self = Self { fixed: 0, graph: 0, node: 0, edge: 0 };

    /// Footprint of batches with these fields and `node_feature_width` features per node, without
    /// custom fields.
    #[must_use]
    pub fn of_batch(needs: &BatchFields, node_feature_width: usize) -> Self {
        let n_byte = |[n_graph, n_node, n_edge]: [u32; 3]| {
            let shape = Shape { n_node, n_edge, n_graph, n_output: n_graph };
            BatchBuffer::n_byte(Level::Graphs, shape, needs, node_feature_width) as u64
        };
        let empty = n_byte([0; 3]);
        let mut fixed = empty;
        let of = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map(|unit: [u32; 3]| {
            // Fields are aligned to 16 words, so sizes are exactly linear in steps of 16.
            let of = |n: u32| n_byte(unit.map(|u| u * n));
            let each = (of(32) - of(16)) / 16;
            let rest = |n: u32| (of(n) - empty).saturating_sub(each * u64::from(n));
            fixed += (0..16).map(rest).max().unwrap_or(0);
            each
        });
        Self { fixed, graph: of[0], node: of[1], edge: of[2] }
    }

    /// The sum of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            fixed: self.fixed.saturating_add(other.fixed),
            graph: self.graph.saturating_add(other.graph),
            node: self.node.saturating_add(other.node),
            edge: self.edge.saturating_add(other.edge),
        }
    }

    /// Bytes of a batch of this shape, including padding.
    #[must_use]
    pub fn n_byte(&self, shape: Shape) -> u64 {
        self.fixed.saturating_add(self.of(shape.n_graph, shape.n_node, shape.n_edge))
    }

    /// Bytes that one graph adds to a batch.
    #[must_use]
    pub fn of_graph(&self, graph: GraphSize) -> u64 {
        self.of(1, graph.n_node, graph.n_edge)
    }

    fn of(&self, n_graph: u32, n_node: u32, n_edge: u32) -> u64 {
        let of = |each: u64, n: u32| each.saturating_mul(n.into());
        of(self.graph, n_graph)
            .saturating_add(of(self.node, n_node))
            .saturating_add(of(self.edge, n_edge))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bounds_the_buffer_closely(
            n_node in 0_u32..5000, n_edge in 0_u32..50_000, n_graph in 0_u32..500,
            distance: bool, sender_order: bool, width in 0_usize..40,
        ) {
            let needs =
                BatchFields { distance, sender_order, node_feature: width > 0, ..BatchFields::default() };
            let shape = Shape { n_node, n_edge, n_graph, n_output: n_graph };
            let exact = BatchBuffer::n_byte(Level::Graphs, shape, &needs, width) as u64;
            let bound = Footprint::of_batch(&needs, width).n_byte(shape);
            prop_assert!(bound >= exact && bound <= exact + 18 * 64, "{bound} for {exact}");
        }
    }
}
