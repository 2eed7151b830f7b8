//! Capacity of a batch: limits on graphs, nodes, edges and bytes, shared by all batchers.
//!
//! Limits include padding: one node and one graph are reserved, so that a batch can always be
//! padded. Limits are given ([`Budget`]), or estimated from the sizes of the data ([`Estimate`]).

mod estimate;

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batching::grouping::{GroupOptions, Grouping, open_groups};
use crate::batching::oversize::{FilteredGraphs, Oversize};
use crate::batching::padding::{BatchSize, Padding};
use crate::contract::graphs::{GraphSize, View};
use crate::{BatchContext, BatchStream, BatcherError};
use estimate::filled_by_edges;

pub use crate::batching::limits::{Limits, MAX_INDEX, index_limit, strictly_up};
pub use crate::contract::footprint::Footprint;
pub use estimate::{Estimate, Probability, Reserve, Rule, Sample, Slack, TypicalGraph};

/// A resource of a batch that can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Graphs; the limit is `batch_size`.
    Graphs,
    /// Nodes.
    Nodes,
    /// Directed edges.
    Edges,
    /// Bytes of the padded batch, with the fields that the model needs.
    Bytes,
}

/// The limited resources of a batch, for example `["graphs", "nodes", "edges"]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<Resource>", into = "Vec<Resource>")]
pub struct Resources(Vec<Resource>);

impl Resources {
    /// Whether this resource is limited.
    #[must_use]
    pub fn contain(&self, resource: Resource) -> bool {
        self.0.contains(&resource)
    }
}

impl Default for Resources {
    /// Graphs, nodes and edges, as in jraph and the study.
    fn default() -> Self {
        Self(vec![Resource::Graphs, Resource::Nodes, Resource::Edges])
    }
}

impl TryFrom<Vec<Resource>> for Resources {
    type Error = String;
    fn try_from(list: Vec<Resource>) -> Result<Self, String> {
        if list.is_empty() {
            return Err("a batch without any limit would never end; name at least one of \
                        \"graphs\", \"nodes\", \"edges\", \"bytes\""
                .into());
        }
        let twice = list.iter().enumerate().find(|(i, resource)| list[..*i].contains(resource));
        match twice {
            Some((_, resource)) => Err(format!("{resource:?} is named twice").to_lowercase()),
            None => Ok(Self(list)),
        }
    }
}

impl From<Resource> for Resources {
    fn from(only: Resource) -> Self {
        Self(vec![only])
    }
}

impl From<Resources> for Vec<Resource> {
    fn from(resources: Resources) -> Self {
        resources.0
    }
}

/// Explicit limits of a batch, padding included. Limits that are not given are estimated.
///
/// ```toml
/// budget = { n_node = 640, n_edge = 10240, n_byte = 4_000_000 }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Nodes; one of them is reserved for padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_node: Option<NonZeroU32>,
    /// Edges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_edge: Option<NonZeroU32>,
    /// Bytes of the padded batch in memory, with all fields that the model needs. An explicit limit
    /// applies even if `resources` does not include bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_byte: Option<NonZeroU64>,
}

/// All options that determine the capacity of a batch.
#[derive(Debug, Clone)]
pub struct BudgetOptions {
    /// B: at most B - 1 graphs, and the number of graphs that estimates assume.
    pub batch_size: BatchSize,
    /// Explicit limits.
    pub budget: Budget,
    /// How the other limits are estimated.
    pub estimate: Estimate,
    /// Which resources are limited.
    pub resources: Resources,
    /// Treatment of graphs that fit no batch.
    pub oversize: Oversize,
    /// Options that strategies without a budget have as well; bytes are limited after padding.
    pub groups: GroupOptions,
}

impl BudgetOptions {
    /// B if the number of graphs is limited; see
    /// [`Batcher::batch_size`](crate::Batcher::batch_size).
    #[must_use]
    pub fn slots(&self) -> Option<BatchSize> {
        self.resources.contain(Resource::Graphs).then_some(self.batch_size)
    }

    /// As [`BudgetOptions::slots`], as a number.
    #[must_use]
    pub fn n_slot(&self) -> Option<u32> {
        self.slots().map(BatchSize::get)
    }

    /// Determines the limits for one view, and treats graphs that exceed them.
    ///
    /// # Errors
    /// A view of one graph; contradictory options; a graph that fits no batch, if the policy does
    /// not allow it.
    pub fn resolve(self, view: &View, ctx: &BatchContext) -> Result<ResolvedBudget, BatcherError> {
        let graphs = view.many_graphs()?;
        self.check()?;
        if let Some(graph) = graphs.iter().find(|g| g.n_node.max(g.n_edge) >= MAX_INDEX) {
            return Err(BatcherError::Options(format!(
                "graph {} has {} nodes and {} edges; a batch can index {MAX_INDEX}",
                graph.id, graph.n_node, graph.n_edge
            )));
        }
        let limits = self.limits(graphs, ctx)?;
        limits.constant()?;
        let FilteredGraphs { limits, graphs, events } =
            self.oversize.apply(limits, graphs, ctx.purpose)?;
        let constant = limits.constant()?;
        let batch_size = limits.n_graph.map(BatchSize::try_from).transpose()?;
        let groups = GroupOptions { batch_size, constant, events, ..self.groups };
        Ok(ResolvedBudget { graphs, limits, groups })
    }

    /// Rejects contradictions that are visible without data.
    fn check(&self) -> Result<(), BatcherError> {
        let fail = |message: &str| Err(BatcherError::Options(message.into()));
        let limited = |resource| self.resources.contain(resource);
        if self.budget.n_node.is_some_and(|n| n.get() < 2) {
            return fail("n_node = 1 leaves no room for a graph: one node is reserved for padding");
        }
        let given = [
            ("n_node", self.budget.n_node, "nodes", limited(Resource::Nodes)),
            ("n_edge", self.budget.n_edge, "edges", limited(Resource::Edges)),
        ];
        for (key, limit, resource, limited) in given {
            if let Some(limit) = limit.filter(|limit| limit.get() > MAX_INDEX) {
                return fail(&format!(
                    "{key} = {limit} is more than a batch can index ({MAX_INDEX})"
                ));
            }
            if limit.is_some() && !limited {
                return fail(&format!(
                    "budget.{key} is given, but resources do not name \"{resource}\"; name it or leave the limit out"
                ));
            }
        }
        let by_edges = matches!(self.estimate.rule, Rule::ByEdges(_));
        if by_edges && !limited(Resource::Edges) {
            return fail(
                "estimate.rule = \"by_edges\" needs a limit of edges; name it in resources",
            );
        }
        let limits_graphs = limited(Resource::Graphs) || by_edges;
        let all = limits_graphs && limited(Resource::Nodes) && limited(Resource::Edges);
        match self.groups.padding {
            Padding::Constant if !all => fail(
                "padding = \"constant\" needs a limit of graphs, nodes and edges; name them in \
                 resources, or choose another padding",
            ),
            Padding::Shapes(_) | Padding::ShapesCost(_) if !limits_graphs => {
                fail("a set of shapes needs a limit of graphs; name it in resources")
            }
            Padding::Shapes(_) | Padding::ShapesCost(_) if self.limits_bytes() => fail(
                "a set of shapes is found after the groups, so bytes after padding cannot be \
                 limited; choose another padding, or limit nodes and edges",
            ),
            _ => Ok(()),
        }
    }

    fn limits_bytes(&self) -> bool {
        self.budget.n_byte.is_some() || self.resources.contain(Resource::Bytes)
    }

    fn limits(&self, graphs: &[GraphSize], ctx: &BatchContext) -> Result<Limits, BatcherError> {
        let sample = self.estimate.from.draw(graphs, ctx.seed);
        let (batch_size, seed) = (self.batch_size, ctx.seed);
        let of_sizes = |size: &dyn Fn(&GraphSize) -> u64| {
            let sizes: Vec<u64> = sample.iter().map(size).collect();
            self.estimate.limit(&sizes, batch_size, seed)
        };
        let rounded = |what: &str, limit: f64, n_padding: u32, max: u64| {
            let rounded = self.estimate.rounded(limit, n_padding);
            rounded.filter(|&limit| limit <= max).ok_or_else(|| {
                BatcherError::Options(format!(
                    "batch_size = {} graphs of this data set have {limit:.0} {what}, more than a \
                     batch can index; use a smaller batch_size",
                    batch_size.get()
                ))
            })
        };
        let index = |what: &str, limit: f64, n_padding: u32| {
            rounded(what, limit, n_padding, MAX_INDEX.into()).map(|limit| Some(limit as u32))
        };
        let n_edge = match self.budget.n_edge {
            Some(n_edge) => Some(n_edge.get()),
            None if !self.resources.contain(Resource::Edges) => None,
            None => index("edges", self.estimate.limit_of_edges(&sample, batch_size, seed)?, 0)?,
        };
        let by_edges = match (self.estimate.rule, n_edge) {
            (Rule::ByEdges(p), Some(n_edge)) => Some(filled_by_edges(&sample, n_edge.into(), p)),
            _ => None,
        };
        let n_node = match (self.budget.n_node, by_edges) {
            (Some(n_node), _) => Some(n_node.get()),
            _ if !self.resources.contain(Resource::Nodes) => None,
            (None, Some((nodes, _))) => index("nodes", nodes.ceil(), 1)?,
            (None, None) => index("nodes", of_sizes(&|g| g.n_node.into()), 1)?,
        };
        let slots = match (self.slots(), by_edges) {
            (None, Some((_, n_graph))) => Some(BatchSize::holding(n_graph)?),
            (slots, _) => slots,
        };
        let limits = Limits::new(slots, n_node, n_edge, self.groups.padding);
        if !self.limits_bytes() {
            return Ok(limits);
        }
        let estimate = || {
            let limit = of_sizes(&|g| ctx.footprint.of_graph(*g));
            rounded("bytes", limit, 0, u64::MAX / 2)
        };
        let n_byte = self.budget.n_byte.map_or_else(estimate, |given| Ok(given.get()))?;
        Ok(limits.with_bytes(n_byte, ctx.footprint))
    }
}

/// The limits of one stream, and its graphs.
#[derive(Debug, Clone)]
pub struct ResolvedBudget {
    /// The view without the graphs dropped by `oversize = "skip"`.
    pub graphs: Arc<[GraphSize]>,
    /// Capacity of a batch.
    pub limits: Limits,
    groups: GroupOptions,
}

impl ResolvedBudget {
    /// Opens a stream of groups within these limits.
    pub fn open<G: Grouping + 'static>(
        self,
        ctx: BatchContext,
        grouping: G,
    ) -> Result<Box<dyn BatchStream>, BatcherError> {
        open_groups(View::ManyGraphs(self.graphs), ctx, grouping, self.groups)
    }
}
