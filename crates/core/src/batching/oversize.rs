//! Treatment of graphs that are larger than a whole batch.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batching::limits::Limits;
use crate::contract::graphs::GraphSize;
use crate::{BatchEvent, BatcherError, Purpose};

/// Treatment of a graph that exceeds the budget on its own.
///
/// Since sizes are known in advance, this is decided and recorded with the graph's identifier when
/// a stream opens, so that no run stops hours later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Oversize {
    /// It forms a batch of its own, with a shape of its own.
    #[default]
    Single,
    /// The run does not start.
    Error,
    /// The budget, and with it a constant shape, is raised when the stream opens so that the
    /// largest graph fits: nodes and edges to the next larger multiple of 64.
    Grow,
    /// It is left out of training. Rejected for validation and test, which must cover every graph.
    Skip,
}

/// The input of a stream after the policy has been applied.
#[derive(Debug, Clone)]
pub struct FilteredGraphs {
    /// Capacity of a batch.
    pub limits: Limits,
    /// The remaining graphs.
    pub graphs: Arc<[GraphSize]>,
    /// One event per graph that did not fit.
    pub events: Vec<BatchEvent>,
}

impl Oversize {
    /// Applies the policy to a view: the limits and graphs that remain, and one event per graph
    /// that did not fit.
    ///
    /// # Errors
    /// A graph that does not fit, where the policy refuses it; no graph left.
    pub fn apply(
        self,
        limits: Limits,
        graphs: &Arc<[GraphSize]>,
        purpose: Purpose,
    ) -> Result<FilteredGraphs, BatcherError> {
        let large: Vec<GraphSize> =
            graphs.iter().copied().filter(|&graph| !limits.fits_alone(graph)).collect();
        let Some(&first) = large.first() else {
            return Ok(FilteredGraphs { limits, graphs: Arc::clone(graphs), events: Vec::new() });
        };
        match self {
            Self::Error => Err(refuse(
                first,
                &limits,
                "give a larger budget or batch_size, or oversize = \"single\"",
            )),
            Self::Skip if purpose == Purpose::Evaluation => Err(refuse(
                first,
                &limits,
                "an evaluation must cover every graph, so oversize = \"skip\" is only for training; \
                 use \"single\" or \"grow\"",
            )),
            Self::Single => {
                let events = large_events(&large, &limits, "it forms a batch of its own");
                Ok(FilteredGraphs { limits, graphs: Arc::clone(graphs), events })
            }
            Self::Skip => {
                let kept: Arc<[GraphSize]> =
                    graphs.iter().copied().filter(|&graph| limits.fits_alone(graph)).collect();
                if kept.is_empty() {
                    let reason = format!("every graph is larger than a batch may be ({limits})");
                    return Err(BatcherError::NoBatch { n_graph: graphs.len(), reason });
                }
                let events = large_events(&large, &limits, "it is left out");
                Ok(FilteredGraphs { limits, graphs: kept, events })
            }
            Self::Grow => {
                let mut grown = limits.clone();
                large.iter().try_for_each(|&graph| grown.grow(graph))?;
                let done = format!("the limits of all batches are raised to ({grown})");
                let events = large_events(&large, &limits, &done);
                Ok(FilteredGraphs { limits: grown, graphs: Arc::clone(graphs), events })
            }
        }
    }
}

fn large_events(large: &[GraphSize], limits: &Limits, done: &str) -> Vec<BatchEvent> {
    let event = |graph: &GraphSize| BatchEvent {
        kind: "oversize",
        graph: Some(graph.id),
        message: format!(
            "graph {} has {} nodes and {} edges, more than a batch may hold ({limits}): {done}",
            graph.id, graph.n_node, graph.n_edge
        ),
    };
    large.iter().map(event).collect()
}

fn refuse(graph: GraphSize, limits: &Limits, remedy: &str) -> BatcherError {
    BatcherError::Oversize {
        graph: graph.id,
        n_node: graph.n_node,
        n_edge: graph.n_edge,
        limits: limits.to_string(),
        remedy: remedy.into(),
    }
}
