//! Groups of output nodes, padding and resuming, for every strategy on the nodes of one graph.
//!
//! A strategy writes only a [`NodeContext`]: which nodes and edges a group of outputs needs around
//! it. [`open_node_groups`] makes a stream of it, which names every output node of the subset
//! exactly once per epoch.
//!
//! Groups are drawn at random, or computed beforehand ([`OutputGroups`]). Groups that stay the same
//! are written once, when the stream opens, and come back with a cache key, so that each is collated
//! once.

mod chosen;
mod stream;

use std::num::NonZeroU32;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use chosen::ChosenNodes;

use crate::graphs::{Level, OneGraph, OneGraphView, View};
use crate::grouping::Composition;
use crate::padding::{Padding, PaddingRule};
use crate::plan::{BatchPlan, EdgeSelection, Shape};
use crate::{BatchContext, BatchStream, BatcherError, Purpose, random};
use stream::{FreshStream, KeptStream};

/// Chooses the nodes and edges around a group of outputs.
pub trait NodeContext: Send {
    /// Whether batches take all edges between their members, or those that
    /// [`NodeContext::choose`] lists.
    fn edges(&self) -> EdgeSelection {
        EdgeSelection::Induced
    }

    /// Adds nodes and edges to `chosen`, which holds the group's outputs already.
    ///
    /// Called once per batch, or once per group if groups stay the same. What is chosen may depend
    /// on the arguments alone; `self` is mutable for the sake of memory that is used again.
    fn choose(&mut self, graph: &OneGraph, group: OutputGroup<'_>, chosen: &mut ChosenNodes);
}

/// The outputs of one batch.
pub struct OutputGroup<'a> {
    /// Which of the groups this is: its place among those of the epoch, or among the given ones.
    pub index: usize,
    /// The output nodes.
    pub output: &'a [u32],
    /// Random numbers for this batch and no other.
    pub rng: ChaCha8Rng,
}

/// How output nodes are put into groups.
pub enum OutputGroups {
    /// At random in training, in the order of the view in evaluation; groups differ by at most one
    /// output in size.
    Random {
        /// Largest number of outputs in a group.
        n_output: NonZeroU32,
        /// Whether groups are formed anew in every epoch. Evaluations make one pass, so it does not
        /// matter to them.
        composition: Composition,
    },
    /// As given: each output node of the view in exactly one group, none empty.
    Given {
        /// Output nodes of each group.
        group: Vec<Vec<u32>>,
        /// The order of the groups in training; random without it. Evaluations take the groups as
        /// they stand.
        order: Option<Box<dyn GroupOrder>>,
    },
}

/// The order of groups whose composition is fixed.
pub trait GroupOrder: Send {
    /// A permutation of the groups for one epoch; `last` is the group with which the epoch before
    /// ended. The result may depend on the arguments alone, so that a stream can resume.
    fn order(&self, epoch: u64, last: Option<u32>) -> Vec<u32>;
}

/// Nodes and edges of a batch, padding included: at least one node is padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeBudget {
    /// Nodes.
    pub n_node: NonZeroU32,
    /// Directed edges.
    pub n_edge: NonZeroU32,
}

/// How batches of nodes are padded.
///
/// The rules are those of [`Padding`], with one graph slot for the real graph and one for padding,
/// and as many output slots as the largest group has outputs. The constant shape is given, or
/// learnt: the largest of all batches where groups stay the same, else the largest of the first
/// 64, each rounded up to a multiple of 64. A later batch may exceed a learnt or given shape; it
/// then gets the next multiple of 64 in the directions in which it does not fit, a shape of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodePadding {
    /// The rule.
    pub padding: Padding,
    /// The shape of [`Padding::Constant`], if it is not to be learnt.
    pub constant: Option<NodeBudget>,
}

/// Batches from which a constant shape or a set of shapes is learnt.
const N_SAMPLE: usize = 64;

/// Opens a stream over groups of the view's output nodes.
///
/// # Errors
/// A view of many graphs, an empty one, or one that names a node twice or a node that does not
/// exist; given groups that do not hold each output exactly once; a shape that is given, but not
/// used.
pub fn open_node_groups<C: NodeContext + 'static>(
    view: View,
    ctx: BatchContext,
    context: C,
    groups: OutputGroups,
    padding: NodePadding,
) -> Result<Box<dyn BatchStream>, BatcherError> {
    let View::OneGraph(view) = view else { return Err(view.is_not(Level::Nodes)) };
    check_view(&view)?;
    if padding.constant.is_some() && padding.padding != Padding::Constant {
        return Err(BatcherError::Options(
            "a shape is given, but padding is not \"constant\"; drop one of the two".into(),
        ));
    }
    let mut writer = PlanWriter::new(&view, ctx.seed, context);
    let (n_output, composition) = match groups {
        OutputGroups::Given { group, order } => {
            check_groups(&view, &group)?;
            return Ok(Box::new(KeptStream::new(ctx, &mut writer, &group, order, padding)));
        }
        OutputGroups::Random { n_output, composition } => (n_output, composition),
    };
    let n_batch = view.output.len().div_ceil(n_output.get() as usize);
    if composition == Composition::Fixed && ctx.purpose == Purpose::Training {
        let order = ctx.permutation(0, view.output.len());
        let node = |&position: &u32| view.output[position as usize];
        let group: Vec<Vec<u32>> = (0..n_batch)
            .map(|index| order[share(order.len(), n_batch, index)].iter().map(node).collect())
            .collect();
        return Ok(Box::new(KeptStream::new(ctx, &mut writer, &group, None, padding)));
    }
    Ok(Box::new(FreshStream::new(ctx, view.output, writer, n_batch, padding)))
}

fn check_view(view: &OneGraphView) -> Result<(), BatcherError> {
    let options = |message: String| Err(BatcherError::Options(message));
    let (n_node, n_edge) = (view.graph.n_node(), view.graph.sender.len());
    // Padding rounds up, so the last indices are left free.
    if n_node.max(n_edge) > (u32::MAX / 2) as usize {
        return options(format!(
            "the graph has {n_node} nodes and {n_edge} edges; a batch can index 2147483647"
        ));
    }
    if view.output.is_empty() {
        return options("the subset has no output nodes, so no batch can be formed".into());
    }
    let mut seen = vec![false; n_node];
    for &node in &*view.output {
        match seen.get_mut(node as usize) {
            None => return options(format!("output node {node} does not exist, only {n_node} do")),
            Some(true) => return options(format!("output node {node} is named twice")),
            Some(slot) => *slot = true,
        }
    }
    Ok(())
}

fn check_groups(view: &OneGraphView, group: &[Vec<u32>]) -> Result<(), BatcherError> {
    let mut given: Vec<u32> = group.iter().flatten().copied().collect();
    let mut wanted = view.output.to_vec();
    given.sort_unstable();
    wanted.sort_unstable();
    if given != wanted || group.iter().any(Vec::is_empty) {
        return Err(BatcherError::Options(format!(
            "{} groups of {} nodes are given, which do not hold each of the {} output nodes exactly once",
            group.len(),
            given.len(),
            wanted.len()
        )));
    }
    Ok(())
}

/// The part of `n` things that falls to one of `n_batch` batches: sizes differ by at most one.
fn share(n: usize, n_batch: usize, batch: usize) -> std::ops::Range<usize> {
    n * batch / n_batch..n * (batch + 1) / n_batch
}

/// Turns groups of outputs into plans without a shape.
struct PlanWriter<C> {
    graph: Arc<OneGraph>,
    seed: u64,
    context: C,
    chosen: ChosenNodes,
}

impl<C: NodeContext> PlanWriter<C> {
    fn new(view: &OneGraphView, seed: u64, context: C) -> Self {
        let chosen = ChosenNodes::new(view.graph.n_node());
        Self { graph: Arc::clone(&view.graph), seed, context, chosen }
    }

    /// `number` is that of the batch since the start of training: it keys the random numbers, so
    /// that resuming need not repeat what came before.
    fn write(&mut self, index: usize, number: u64, output: &[u32], plan: &mut BatchPlan) {
        let rng = random::stream(self.seed, "node context", number);
        self.chosen.start(output);
        self.context.choose(&self.graph, OutputGroup { index, output, rng }, &mut self.chosen);
        plan.clear(Level::Nodes);
        plan.edges = self.context.edges();
        self.chosen.finish(&self.graph, output, plan);
    }
}

/// A padding rule together with the largest number of outputs.
struct OutputPadding {
    padding: Padding,
    rule: PaddingRule,
    n_output: u32,
}

impl OutputPadding {
    fn new(options: NodePadding, n_output: usize, sample: impl FnOnce() -> Vec<Shape>) -> Self {
        let NodePadding { padding, constant } = options;
        let mut shapes = None;
        let constant = match (padding, constant) {
            (Padding::Constant, Some(given)) => [given.n_node.get(), given.n_edge.get()],
            (Padding::Constant, None) => largest(&sample()),
            _ => {
                shapes = Some(sample);
                [0; 2]
            }
        };
        let [n_node, n_edge] = constant;
        let n_output = n_output as u32;
        let constant = Shape { n_node, n_edge, n_graph: 2, n_output };
        let rule = padding.resolve(constant, 2, || shapes.map_or_else(Vec::new, |sample| sample()));
        Self { padding, rule, n_output }
    }

    fn shape(&self, real: Shape) -> Shape {
        match self.padding {
            Padding::None => real,
            _ => Shape { n_graph: 2, n_output: self.n_output, ..self.rule.shape(real) },
        }
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        if self.padding != Padding::Constant {
            return Vec::new();
        }
        let shape = self.shape(Shape::default());
        vec![
            ("constant_n_node".into(), f64::from(shape.n_node)),
            ("constant_n_edge".into(), f64::from(shape.n_edge)),
        ]
    }
}

fn largest(sample: &[Shape]) -> [u32; 2] {
    let n_node = sample.iter().map(|shape| shape.n_node).max().unwrap_or(0);
    let n_edge = sample.iter().map(|shape| shape.n_edge).max().unwrap_or(0);
    [(n_node + 1).next_multiple_of(64), n_edge.max(1).next_multiple_of(64)]
}
