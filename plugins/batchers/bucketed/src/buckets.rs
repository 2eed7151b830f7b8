//! Size ranges, with one open group each.

use batchlab_core::budget::Limits;
use batchlab_core::grouping::{EpochGraphs, Grouping};
use batchlab_core::{BatcherError, GraphSize, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Measure of a graph's size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// Number of nodes.
    Nodes,
    /// Number of edges, to which most of the work is proportional.
    #[default]
    Edges,
}

impl Size {
    fn of(self, graph: GraphSize) -> u32 {
        match self {
            Self::Nodes => graph.n_node,
            Self::Edges => graph.n_edge,
        }
    }
}

/// Definition of the size ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Buckets {
    /// This many ranges, each with the same number of graphs of the sample.
    Quantiles(NonZeroU32),
    /// The largest size of every range but the last.
    Bounds(Bounds),
}

impl Default for Buckets {
    fn default() -> Self {
        const N: NonZeroU32 = NonZeroU32::new(4).expect("4 is not 0");
        Self::Quantiles(N)
    }
}

/// Sizes in ascending order, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<u32>", into = "Vec<u32>")]
pub struct Bounds(Vec<u32>);

impl TryFrom<Vec<u32>> for Bounds {
    type Error = String;
    fn try_from(bounds: Vec<u32>) -> Result<Self, String> {
        if bounds.is_empty() {
            return Err("no bounds mean a single bucket; give one or more, or use static".into());
        }
        match bounds.windows(2).find(|pair| pair[0] >= pair[1]) {
            Some(pair) => Err(format!("bounds must ascend, but {} precedes {}", pair[0], pair[1])),
            None => Ok(Self(bounds)),
        }
    }
}

impl From<Bounds> for Vec<u32> {
    fn from(bounds: Bounds) -> Self {
        bounds.0
    }
}

/// The largest size of every bucket but the last.
///
/// Frequent sizes may span several quantiles; these coincide, which reduces the number of buckets.
pub(crate) fn bounds(buckets: &Buckets, by: Size, sample: &[GraphSize]) -> Vec<u32> {
    match buckets {
        Buckets::Bounds(bounds) => bounds.0.clone(),
        Buckets::Quantiles(n) => {
            let mut sizes: Vec<u32> = sample.iter().map(|&graph| by.of(graph)).collect();
            sizes.sort_unstable();
            let n = n.get() as usize;
            let at = |k: usize| sizes.get((k * sizes.len()).div_ceil(n).max(1) - 1).copied();
            let mut bounds: Vec<u32> = (1..n).filter_map(at).collect();
            bounds.dedup();
            bounds
        }
    }
}

/// One open group per bucket.
pub(crate) struct Grouped {
    by: Size,
    bounds: Vec<u32>,
    limits: Limits,
    /// Real size of each bucket's open group.
    open: Vec<Shape>,
    /// The graphs of all open groups in order of arrival.
    pending: Vec<GraphSize>,
}

impl Grouped {
    pub(crate) fn new(by: Size, bounds: Vec<u32>, limits: Limits) -> Self {
        let open = vec![Shape::default(); bounds.len() + 1];
        Self { by, bounds, limits, open, pending: Vec::new() }
    }

    fn bucket(&self, graph: GraphSize) -> usize {
        let size = self.by.of(graph);
        self.bounds.partition_point(|&bound| bound < size)
    }

    fn add(&mut self, graph: GraphSize) {
        let bucket = self.bucket(graph);
        self.open[bucket] = self.open[bucket].with(graph);
        self.pending.push(graph);
    }

    /// Moves a bucket's graphs into `group`, scanning at most one open group per bucket.
    fn close(&mut self, bucket: usize, group: &mut Vec<GraphSize>) {
        self.open[bucket] = Shape::default();
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain(|&graph| {
            let member = self.bucket(graph) == bucket;
            if member {
                group.push(graph);
            }
            !member
        });
        self.pending = pending;
    }

    /// Whether the number of graphs alone completes a group.
    fn is_full(&self, bucket: usize) -> bool {
        self.limits.n_graph.is_some_and(|slots| self.open[bucket].n_graph + 1 >= slots)
    }
}

impl Grouping for Grouped {
    fn next_group(
        &mut self,
        graphs: &mut EpochGraphs<'_>,
        group: &mut Vec<GraphSize>,
    ) -> Result<bool, BatcherError> {
        for graph in graphs {
            let bucket = self.bucket(graph);
            let open = self.open[bucket];
            if open.n_graph == 0 || self.limits.fits(open, graph) {
                self.add(graph);
                if self.is_full(bucket) {
                    self.close(bucket, group);
                    return Ok(true);
                }
                continue;
            }
            self.close(bucket, group);
            self.add(graph);
            return Ok(true);
        }
        Ok(false)
    }

    fn emit_partial(&mut self, group: &mut Vec<GraphSize>) -> Result<bool, BatcherError> {
        if let Some(bucket) = self.open.iter().position(|open| open.n_graph > 0) {
            self.close(bucket, group);
        }
        Ok(!group.is_empty())
    }

    fn pending(&self) -> &[GraphSize] {
        &self.pending
    }

    fn restore(&mut self, carried: &[GraphSize]) {
        self.open.fill(Shape::default());
        self.pending.clear();
        for &graph in carried {
            self.add(graph);
        }
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        let bound = |(i, &bound): (usize, &u32)| (format!("bucket_bound_{i}"), f64::from(bound));
        let mut metrics = self.limits.metrics();
        metrics.extend(self.bounds.iter().enumerate().map(bound));
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graphs(edges: impl IntoIterator<Item = u32>) -> Vec<GraphSize> {
        edges.into_iter().map(|n_edge| GraphSize { id: 0, n_node: 1, n_edge }).collect()
    }

    fn check(n: u32, edges: impl IntoIterator<Item = u32>, expected: &[u32]) {
        let buckets = Buckets::Quantiles(NonZeroU32::new(n).expect("not 0"));
        assert_eq!(bounds(&buckets, Size::Edges, &graphs(edges)), expected);
    }

    #[test]
    fn quantiles_hold_equally_many_graphs() {
        check(4, 1..=100, &[25, 50, 75]);
        check(3, [5, 1, 4, 2, 3, 6], &[2, 4]);
        check(1, 1..=100, &[]);
    }

    #[test]
    fn frequent_sizes_take_several_quantiles() {
        check(4, [7; 90].into_iter().chain(1..=10), &[7]);
        check(99, [3], &[3]);
    }
}
