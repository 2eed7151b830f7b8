//! Groups of output nodes, padding and resuming for all strategies on the nodes of one graph.
//!
//! A strategy only implements [`NodeContext`]: the nodes and edges that a group of outputs needs
//! around it. [`open_node_groups`] turns it into a stream that contains every output node of the
//! subset exactly once per epoch.
//!
//! Groups are drawn at random, or computed beforehand ([`OutputGroups`]). Groups that stay the same
//! are planned once, when the stream opens, and carry a cache key, so that each is collated only
//! once.

mod chosen;
mod stream;

use std::num::NonZeroU32;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use chosen::ChosenNodes;

use crate::batching::batch_order::{self, DistanceOrder, OrderOptions};
use crate::batching::grouping::Composition;
use crate::batching::padding::{Padding, PaddingRule};
use crate::contract::graphs::{Level, OneGraph, OneGraphView, View};
use crate::contract::plan::{BatchPlan, EdgeSelection, Shape};
use crate::number::next_multiple;
use crate::{BatchContext, BatchStream, BatcherError, Purpose, random};
use stream::{FreshStream, KeptStream, Sets};

/// Chooses the nodes and edges around a group of outputs.
pub trait NodeContext: Send {
    /// Whether batches contain all edges between their members, or those listed by
    /// [`NodeContext::choose`].
    fn edges(&self) -> EdgeSelection {
        EdgeSelection::Induced
    }

    /// Whether each output has a separate context without edges to the others, so that a node may
    /// occur in a batch several times. [`NodeContext::choose`] is then called once per output, and
    /// all edges between the nodes it chooses are included.
    fn isolated(&self) -> bool {
        false
    }

    /// Loss weight of an output, for strategies that draw some outputs more often than others.
    /// Weights are normalised to a mean of 1 within a batch.
    fn output_weight(&self, _node: u32) -> Option<f32> {
        None
    }

    /// Adds nodes and edges to `chosen`, which already contains the outputs of the group.
    ///
    /// Called once per batch, or once per group if groups stay the same (for [isolated
    /// contexts](NodeContext::isolated) once per output). The choice must depend on the arguments
    /// only; `self` is mutable to allow reuse of memory.
    fn choose(&mut self, graph: &OneGraph, group: OutputGroup<'_>, chosen: &mut ChosenNodes);
}

/// The outputs of one batch.
pub struct OutputGroup<'a> {
    /// Index of the group within the epoch, or among the given groups.
    pub index: usize,
    /// The output nodes.
    pub output: &'a [u32],
    /// Random numbers for this batch only.
    pub rng: ChaCha8Rng,
}

/// How output nodes are grouped.
pub enum OutputGroups {
    /// Random in training, in the order of the view in evaluation; group sizes differ by at most
    /// one output.
    Random {
        /// Largest number of outputs in a group.
        n_output: NonZeroU32,
        /// Whether groups are formed anew every epoch. Irrelevant for evaluations, which make one
        /// pass.
        composition: Composition,
        /// The order of groups of fixed composition.
        order: OrderOptions,
    },
    /// As given: each output node of the view is in exactly one group, and no group is empty.
    Given {
        /// Output nodes of each group.
        group: Vec<Vec<u32>>,
        /// The order of the groups in training. Evaluations use the given order.
        order: OrderOptions,
    },
    /// Several of the given sets per group, combined anew every epoch; in evaluations in the given
    /// order.
    Joined {
        /// Sets of output nodes: each output node of the view is in exactly one, and none is empty.
        set: Vec<Vec<u32>>,
        /// Largest number of sets in a group; groups differ by at most one set.
        n_set: NonZeroU32,
    },
    /// Sampled by [`NodeContext::choose`], which is called without outputs and must choose at least
    /// one: all output nodes of the view among the chosen nodes become outputs of the batch. An
    /// epoch is a number of batches and may contain an output several times or never. Training
    /// only, because an evaluation must cover every output.
    Sampled {
        /// Batches in an epoch.
        n_batch: NonZeroU32,
        /// Largest number of chosen nodes.
        max_node: NonZeroU32,
    },
}

/// Nodes and edges of a batch, including padding with at least one node.
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
/// learnt: the maximum over all batches if groups stay the same, else over the first 64, each size
/// rounded up to a multiple of 64. A later batch that exceeds this shape gets a shape of its own,
/// rounded up to the next multiple of 64 in each dimension that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodePadding {
    /// The rule.
    pub padding: Padding,
    /// The shape of [`Padding::Constant`], unless it is to be learnt.
    pub constant: Option<NodeBudget>,
}

/// Number of batches from which a constant shape or a set of shapes is learnt.
const N_SAMPLE: usize = 64;

/// Opens a stream over groups of the view's output nodes.
///
/// # Errors
/// A view of many graphs, an empty view, or one that lists a node twice or a node that does not
/// exist; given groups that do not contain each output exactly once; random groups of more outputs
/// than the graph has nodes; a shape that is given but not used.
pub fn open_node_groups<C: NodeContext + 'static>(
    view: View,
    ctx: BatchContext,
    context: C,
    groups: OutputGroups,
    padding: NodePadding,
) -> Result<Box<dyn BatchStream>, BatcherError> {
    let View::OneGraph(view) = view else { return Err(view.is_not(Level::Nodes)) };
    view.check()?;
    if padding.constant.is_some() && padding.padding != Padding::Constant {
        return Err(BatcherError::Options(
            "a shape is given, but padding is not \"constant\"; drop one of the two".into(),
        ));
    }
    let writer = PlanWriter::new(&view, ctx.seed, context);
    let (sets, n_set) = match groups {
        OutputGroups::Given { group, order } => {
            check_groups(&view, &group)?;
            return keep(&view, ctx, writer, &group, order, padding);
        }
        OutputGroups::Joined { set, n_set } => {
            check_groups(&view, &set)?;
            (Sets::of(&set), n_set)
        }
        OutputGroups::Random { n_output, composition, order } => {
            let (n_node, fixed) = (view.graph.n_node(), composition == Composition::Fixed);
            if n_output.get() as usize > n_node {
                return Err(BatcherError::Options(format!(
                    "{n_output} outputs per batch, but the graph has only {n_node} nodes; give fewer"
                )));
            }
            order.check(fixed)?;
            if fixed && ctx.purpose == Purpose::Training {
                let group = random_groups(&view, &ctx, n_output);
                return keep(&view, ctx, writer, &group, order, padding);
            }
            (Sets::single(view.output), n_output)
        }
        OutputGroups::Sampled { n_batch, max_node } => {
            if ctx.purpose == Purpose::Evaluation {
                return Err(BatcherError::Options(
                    "sampled batches contain some outputs several times and others never, but an \
                     evaluation must cover each output exactly once"
                        .into(),
                ));
            }
            let max_output = view.output.len().min(max_node.get() as usize);
            let sets = Sets::sampled(n_batch, max_output);
            return Ok(Box::new(FreshStream::new(ctx, sets, writer, NonZeroU32::MIN, padding)));
        }
    };
    Ok(Box::new(FreshStream::new(ctx, sets, writer, n_set, padding)))
}

fn keep<C: NodeContext>(
    view: &OneGraphView,
    ctx: BatchContext,
    mut writer: PlanWriter<C>,
    group: &[Vec<u32>],
    order: OrderOptions,
    padding: NodePadding,
) -> Result<Box<dyn BatchStream>, BatcherError> {
    order.check(true)?;
    let by = match ctx.purpose {
        Purpose::Training => {
            DistanceOrder::open(order, ctx.seed, || batch_order::of_classes(view, group))?
        }
        Purpose::Evaluation => None,
    };
    Ok(Box::new(KeptStream::new(ctx, &mut writer, group, by, padding)))
}

/// Groups in the order of the first epoch.
fn random_groups(view: &OneGraphView, ctx: &BatchContext, n_output: NonZeroU32) -> Vec<Vec<u32>> {
    let order = ctx.permutation(0, view.output.len());
    let n_batch = order.len().div_ceil(n_output.get() as usize);
    let node = |&position: &u32| view.output[position as usize];
    let group = |index| order[share(order.len(), n_batch, index)].iter().map(node).collect();
    (0..n_batch).map(group).collect()
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

/// Range of the items that belong to `batch` when `n` items are split evenly over `n_batch`
/// batches.
fn share(n: usize, n_batch: usize, batch: usize) -> std::ops::Range<usize> {
    n * batch / n_batch..n * (batch + 1) / n_batch
}

/// Turns groups of outputs into plans without a padded shape.
struct PlanWriter<C> {
    view: OneGraphView,
    seed: u64,
    context: C,
    chosen: ChosenNodes,
    /// The outputs of a sampled batch.
    sampled: Vec<u32>,
    is_output: Vec<bool>,
}

impl<C: NodeContext> PlanWriter<C> {
    fn new(view: &OneGraphView, seed: u64, context: C) -> Self {
        let chosen = ChosenNodes::new(view.graph.n_node());
        let mut is_output = vec![false; view.graph.n_node()];
        for &node in &*view.output {
            is_output[node as usize] = true;
        }
        Self { view: view.clone(), seed, context, chosen, sampled: Vec::new(), is_output }
    }

    /// `number` counts batches since the start of training and keys the random numbers, so that
    /// resuming need not replay earlier batches. A batch without outputs is sampled.
    fn write(&mut self, index: usize, number: u64, output: &[u32], plan: &mut BatchPlan) {
        plan.clear(Level::Nodes);
        let mut rng = random::stream(self.seed, "node context", number);
        let Self { view, context, chosen, sampled, is_output, .. } = self;
        let graph = &*view.graph;
        if context.isolated() {
            plan.edges = EdgeSelection::Listed;
            for node in output {
                let output = std::slice::from_ref(node);
                chosen.start(output);
                let rng = ChaCha8Rng::from_rng(&mut rng);
                context.choose(graph, OutputGroup { index, output, rng }, chosen);
                chosen.finish_copy(graph, *node, plan);
            }
            return;
        }
        plan.edges = context.edges();
        chosen.start(output);
        context.choose(graph, OutputGroup { index, output, rng }, chosen);
        let output = if output.is_empty() {
            sampled.clear();
            let drawn = chosen.nodes().iter().filter(|&&node| is_output[node as usize]);
            sampled.extend(drawn);
            sampled.sort_unstable();
            sampled
        } else {
            output
        };
        chosen.finish(graph, output, plan);
        plan.output_weight.extend(output.iter().filter_map(|&node| context.output_weight(node)));
        let total: f32 = plan.output_weight.iter().sum();
        for weight in &mut plan.output_weight {
            *weight *= output.len() as f32 / total;
        }
    }
}

/// A padding rule with the maximum number of outputs.
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
    [next_multiple(n_node.saturating_add(1), 64), next_multiple(n_edge.max(1), 64)]
}
