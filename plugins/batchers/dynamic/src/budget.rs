//! How much fits into a batch.

use batchlab_core::{BatcherError, GraphSize, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Nodes and edges of a batch, padding included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Nodes; one of them is reserved for padding.
    pub n_node: NonZeroU32,
    /// Edges.
    pub n_edge: NonZeroU32,
}

impl Budget {
    /// The study's estimate from the first graphs: their mean size times `batch_size`, at least
    /// their largest size, rounded strictly up to a multiple of 64.
    ///
    /// # Errors
    /// A product that does not fit 32 bits.
    pub fn estimate(
        graphs: &[GraphSize],
        batch_size: u32,
        n_estimate: u32,
    ) -> Result<Self, BatcherError> {
        let sample = &graphs[..graphs.len().min(n_estimate as usize)];
        let resource = |size: fn(&GraphSize) -> u32| {
            let total: u64 = sample.iter().map(|g| u64::from(size(g))).sum();
            let largest = sample.iter().map(size).max().unwrap_or(0);
            let mean = total as f64 / sample.len().max(1) as f64;
            strictly_up((mean * f64::from(batch_size)).max(f64::from(largest))).ok_or_else(|| {
                BatcherError::Options(format!(
                    "batch_size = {batch_size} graphs of mean size {mean:.1} are more than a batch can index; \
                     use a smaller batch_size"
                ))
            })
        };
        Ok(Self { n_node: resource(|g| g.n_node)?, n_edge: resource(|g| g.n_edge)? })
    }

    /// The budget as a padded shape.
    #[must_use]
    pub fn shape(&self, batch_size: u32) -> Shape {
        Shape {
            n_node: self.n_node.get(),
            n_edge: self.n_edge.get(),
            n_graph: batch_size,
            n_output: batch_size,
        }
    }
}

/// The next multiple of 64 that is larger, also for a multiple of 64.
fn strictly_up(value: f64) -> Option<NonZeroU32> {
    let rounded = 64.0 * (1.0 + (value / 64.0).floor());
    if rounded > f64::from(u32::MAX) {
        return None;
    }
    #[allow(clippy::cast_sign_loss, reason = "sizes are not negative")]
    NonZeroU32::new(rounded as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sizes: &[(usize, u32, u32)], batch_size: u32, expected: (u32, u32)) {
        let graphs: Vec<GraphSize> = sizes
            .iter()
            .flat_map(|&(n, n_node, n_edge)| vec![GraphSize { id: 0, n_node, n_edge }; n])
            .collect();
        let budget = Budget::estimate(&graphs, batch_size, 1000).unwrap();
        assert_eq!((budget.n_node.get(), budget.n_edge.get()), expected);
    }

    // The cases that the tests of the study's program contain.
    #[test]
    fn the_largest_graph_fits() {
        check(&[(10, 10, 10), (1, 100, 100)], 2, (128, 128));
        check(&[(100, 10, 10), (1, 100, 100)], 10, (128, 128));
    }

    #[test]
    fn means_are_rounded_strictly_up() {
        check(&[(10, 10, 10)], 2, (64, 64));
        check(&[(10, 32, 32)], 2, (128, 128));
        check(&[(10, 5, 6)], 32, (192, 256));
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let graphs = [GraphSize { id: 0, n_node: 4_000_000_000, n_edge: 1 }];
        assert!(
            Budget::estimate(&graphs, 2, 1000)
                .unwrap_err()
                .to_string()
                .contains("smaller batch_size")
        );
    }
}
