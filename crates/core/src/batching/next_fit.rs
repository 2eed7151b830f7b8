//! Next-fit: graphs are added in order of arrival until one does not fit.

use crate::BatcherError;
use crate::batching::grouping::{EpochGraphs, Grouping};
use crate::batching::limits::Limits;
use crate::contract::graphs::GraphSize;
use crate::contract::plan::Shape;

/// Keeps one open group; a graph that does not fit starts the next. Each graph is considered once
/// and none is lost; a graph that exceeds the limits forms a group of its own.
///
/// For one resource, next-fit needs at most twice the optimal number of groups (Johnson 1974, *J.
/// Comput. Syst. Sci.* 8, 272); for graphs that are small compared with the limits its waste is
/// about half a graph per batch.
#[derive(Debug, Clone)]
pub struct NextFit {
    limits: Limits,
    open: Shape,
    pending: Vec<GraphSize>,
}

impl NextFit {
    /// An empty open group.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, open: Shape::default(), pending: Vec::new() }
    }

    fn add(&mut self, graph: GraphSize) {
        self.open = self.open.with(graph);
        self.pending.push(graph);
    }

    fn close(&mut self, group: &mut Vec<GraphSize>) {
        self.open = Shape::default();
        group.append(&mut self.pending);
    }
}

impl Grouping for NextFit {
    fn next_group(
        &mut self,
        graphs: &mut EpochGraphs<'_>,
        group: &mut Vec<GraphSize>,
    ) -> Result<bool, BatcherError> {
        for graph in graphs {
            if self.pending.is_empty() || self.limits.fits(self.open, graph) {
                self.add(graph);
                continue;
            }
            self.close(group);
            self.add(graph);
            return Ok(true);
        }
        Ok(false)
    }

    fn emit_partial(&mut self, group: &mut Vec<GraphSize>) -> Result<bool, BatcherError> {
        self.close(group);
        Ok(!group.is_empty())
    }

    fn pending(&self) -> &[GraphSize] {
        &self.pending
    }

    fn restore(&mut self, carried: &[GraphSize]) {
        self.open = carried.iter().fold(Shape::default(), |open, &graph| open.with(graph));
        self.pending.clear();
        self.pending.extend_from_slice(carried);
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        self.limits.metrics()
    }
}
