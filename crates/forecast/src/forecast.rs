//! Runs a strategy without loading data, and counts.

use std::time::Instant;

use batchlab_core::budget::Footprint;
use batchlab_core::graphs::OneGraph;
use batchlab_core::plan::EdgeSelection;
use batchlab_core::{
    BatchBuffer, BatchContext, BatchFields, BatchPlan, Batcher, BatcherError, Level, Purpose,
    Shape, View,
};
use rayon::prelude::*;
use serde::Serialize;

use crate::census::{Census, ShapeCurve, ShapesAfter};
use crate::passes::Passes;
use crate::shuffle::Shuffle;
use crate::totals::Totals;

#[derive(Debug, Clone)]
pub struct Options {
    pub n_step: u64,
    /// Seed of the order of graphs, as in the run.
    pub seed: u64,
    /// The fields of a batch, which determine its memory size.
    pub needs: BatchFields,
    /// Width of node features, which contributes to the memory size.
    pub node_feature_width: usize,
    /// Contribution of custom fields to the memory size.
    pub own: Footprint,
    /// Number of members (graphs, or nodes with their context) after which the number of shapes is
    /// extrapolated. This limits the time and, unlike a time limit, gives the same result on every
    /// machine.
    pub max_member: u64,
}

impl Options {
    /// Enough for 100,000 steps of 1,000 graphs, in a few seconds.
    pub const MAX_MEMBER: u64 = 100_000_000;
}

/// Number of epochs over which randomness is measured.
const N_PASS: u64 = 8;
/// Total number of members beyond which fewer passes are followed, but at least two.
const MAX_FOLLOWED: u64 = 16_000_000;

#[derive(Debug, Clone, Serialize)]
pub struct Forecast {
    pub label: String,
    pub batch_size: Option<u32>,
    pub n_step_planned: u64,
    pub steps_per_epoch: f64,
    /// Real graphs (or output nodes) per step.
    pub outputs_per_step: f64,
    pub nodes_per_step: f64,
    pub edges_per_step: f64,
    /// Real nodes as a share of padded nodes.
    pub node_fill: Option<f64>,
    /// Real edges as a share of padded edges.
    pub edge_fill: Option<f64>,
    pub padding_edges_per_real_edge: Option<f64>,
    /// Distinct padded shapes per epoch, mean over the complete epochs.
    pub shapes_per_epoch: f64,
    /// Distinct padded shapes after `n_step` steps.
    pub shapes: ShapesAfter,
    /// Memory of the largest batch, in bytes.
    pub peak_bytes: u64,
    /// Time to open the stream, in nanoseconds.
    pub prepare_ns: u64,
    /// Time to plan one batch, including reordering, in nanoseconds.
    pub plan_ns_per_step: f64,
    pub shuffle: Shuffle,
    /// Metrics reported by the strategy, such as an estimated budget.
    #[serde(rename = "facts")]
    pub metrics: Vec<(String, f64)>,
    /// The most frequent shapes, with the share of steps that have them.
    pub frequent_shapes: Vec<(Shape, f64)>,
    /// Sums over the planned steps.
    #[serde(skip)]
    pub totals: Totals,
    /// Every shape with its number of occurrences, most frequent first.
    #[serde(skip)]
    pub census: Vec<(Shape, u64)>,
}

/// Number of shapes in [`Forecast::frequent_shapes`].
const N_FREQUENT: usize = 10;

/// A strategy that cannot work on the data.
#[derive(Debug, thiserror::Error)]
#[error("strategy \"{label}\"{}: {source}", batch_size.map(|size| format!(" with batch_size = {size}")).unwrap_or_default())]
pub struct ForecastError {
    pub label: String,
    pub batch_size: Option<u32>,
    pub source: BatcherError,
}

/// Forecasts of several strategies on one view, in the given order, computed in parallel. Only the
/// two times depend on the number of threads.
///
/// # Errors
/// For the first strategy, in the given order, that cannot work.
pub fn forecast_all(
    batchers: &[Box<dyn Batcher>],
    view: &View,
    options: &Options,
) -> Result<Vec<Forecast>, ForecastError> {
    let all: Vec<_> = batchers.par_iter().map(|b| forecast(&**b, view, options)).collect();
    all.into_iter().collect()
}

/// The forecast of one strategy.
///
/// # Errors
/// If options cannot work on this view, or a graph fits into no batch.
pub fn forecast(
    batcher: &dyn Batcher,
    view: &View,
    options: &Options,
) -> Result<Forecast, ForecastError> {
    observe(batcher, view, options).map_err(|source| ForecastError {
        label: batcher.label(),
        batch_size: batcher.batch_size(),
        source,
    })
}

/// When a strategy meets new padded shapes in the first `n_step` steps of a run with this order
/// seed.
///
/// # Errors
/// If options cannot work on this view, or a graph fits into no batch.
pub fn shape_curve(
    batcher: &dyn Batcher,
    view: &View,
    seed: u64,
    n_step: u64,
) -> Result<ShapeCurve, BatcherError> {
    let mut stream = batcher.open(view.clone(), BatchContext::new(Purpose::Training, seed))?;
    let (mut census, mut plan) = (Census::default(), BatchPlan::default());
    while census.n_step() < n_step && stream.next(&mut plan)? {
        census.add(plan.shape);
    }
    Ok(census.curve())
}

fn observe(
    batcher: &dyn Batcher,
    view: &View,
    options: &Options,
) -> Result<Forecast, BatcherError> {
    let start = Instant::now();
    let context = BatchContext::new(Purpose::Training, options.seed);
    let mut stream = batcher.open(view.clone(), context)?;
    let prepare_ns = nanoseconds(start);

    let mut totals = Totals::default();
    let mut census = Census::default();
    let mut passes = passes(view);
    let mut edges = InducedEdges::new(view);
    let mut plan = BatchPlan::default();
    let (mut plan_ns, mut n_plan, mut n_member) = (0, 0, 0);
    loop {
        let wanted = n_plan < options.n_step && n_member < options.max_member;
        if !wanted && passes.are_complete() {
            break;
        }
        let start = Instant::now();
        let has_batch = stream.next(&mut plan)?;
        plan_ns += nanoseconds(start);
        if !has_batch {
            let reason = "the stream ended during training".into();
            return Err(BatcherError::Options(reason));
        }
        n_plan += 1;
        n_member += plan.members.len() as u64;
        let real = edges.real(&plan);
        if wanted {
            totals.add(real, plan.shape);
            census.add(plan.shape);
        }
        passes.add(&plan, real, wanted);
    }

    let bytes = |shape| {
        BatchBuffer::n_byte(plan.level, shape, &options.needs, options.node_feature_width) as u64
            + options.own.n_byte(shape)
    };
    let shapes = census.curve().after(options.n_step);
    let census = census.by_frequency();
    let share = |&(shape, count): &(Shape, u64)| (shape, count as f64 / totals.n_step as f64);
    Ok(Forecast {
        label: batcher.label(),
        batch_size: batcher.batch_size(),
        n_step_planned: totals.n_step,
        steps_per_epoch: passes.steps_per_epoch(),
        outputs_per_step: totals.per_step(totals.n_output),
        nodes_per_step: totals.per_step(totals.n_node),
        edges_per_step: totals.per_step(totals.n_edge),
        node_fill: totals.node_fill(),
        edge_fill: totals.edge_fill(),
        padding_edges_per_real_edge: totals.padding_per_edge(),
        shapes_per_epoch: passes.shapes_per_epoch(),
        shapes,
        peak_bytes: census.iter().map(|&(shape, _)| bytes(shape)).max().unwrap_or(0),
        prepare_ns,
        plan_ns_per_step: plan_ns as f64 / n_plan.max(1) as f64,
        shuffle: passes.shuffle(),
        metrics: stream.metrics(),
        frequent_shapes: census.iter().take(N_FREQUENT).map(share).collect(),
        totals,
        census,
    })
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Follows as many passes as the limit allows. The size of a node is its number of edges.
fn passes(view: &View) -> Passes {
    let (id, size): (Vec<u32>, Vec<u32>) = match view {
        View::ManyGraphs(graphs) => graphs.iter().map(|g| (g.id, g.n_node)).unzip(),
        View::OneGraph(one) => {
            let degree = |node| one.graph.incoming(node).len() as u32;
            one.output.iter().map(|&node| (node, degree(node))).unzip()
        }
    };
    let n_pass = (MAX_FOLLOWED / id.len().max(1) as u64).clamp(2, N_PASS);
    Passes::new(&id, size, n_pass)
}

/// Counts the edges of plans that do not list them.
struct InducedEdges<'a> {
    graph: Option<&'a OneGraph>,
    /// The last plan in which a node was a member, `[n_node]`.
    seen: Vec<u64>,
    n_plan: u64,
}

impl<'a> InducedEdges<'a> {
    fn new(view: &'a View) -> Self {
        let graph = match view {
            View::ManyGraphs(_) => None,
            View::OneGraph(one) => Some(&*one.graph),
        };
        Self { graph, seen: vec![0; graph.map_or(0, OneGraph::n_node)], n_plan: 0 }
    }

    /// Size of a plan without padding, with edges counted.
    fn real(&mut self, plan: &BatchPlan) -> Shape {
        let (Some(graph), Level::Nodes) = (self.graph, plan.level) else { return plan.real };
        let n_edge = match plan.edges {
            EdgeSelection::Induced => self.count(graph, &plan.members),
            EdgeSelection::Listed => plan.listed.sender.len() as u32,
            EdgeSelection::Stored => plan.real.n_edge,
        };
        Shape {
            n_node: plan.members.len() as u32,
            n_edge,
            n_graph: 1,
            n_output: plan.output_row.len() as u32,
        }
    }

    fn count(&mut self, graph: &OneGraph, members: &[u32]) -> u32 {
        self.n_plan += 1;
        for &node in members {
            self.seen[node as usize] = self.n_plan;
        }
        let incoming = |&node: &u32| {
            let senders = &graph.sender[graph.incoming(node)];
            senders.iter().filter(|&&sender| self.seen[sender as usize] == self.n_plan).count()
        };
        members.iter().map(incoming).sum::<usize>() as u32
    }
}
