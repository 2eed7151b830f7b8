//! Batcher `dynamic`: as many graphs as fit a budget.

mod budget;

use batchlab_core::grouping::{
    Composition, EpochBoundary, EpochGraphs, GroupOptions, Grouping, open_groups,
};
use batchlab_core::padding::{BatchSize, Padding};
use batchlab_core::{
    BatchContext, BatchStream, Batcher, BatcherError, GraphSize, Level, Shape, View,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

pub use budget::Budget;

/// As many graphs as fit a budget of nodes, edges and graphs, in the order in which they come.
///
/// This is `dynamically_batch` of jraph, as arXiv 2502.00944 uses it: next-fit, without looking
/// ahead. With `padding = "constant"` every batch has the shape of the budget, so that an engine
/// which compiles per shape compiles once.
///
/// The budget is given, or estimated as in the study: the mean size of the first `n_estimate`
/// graphs times `batch_size`, at least the largest of them, rounded strictly up to a multiple of
/// 64. One node and one graph of it are reserved for padding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dynamic {
    /// B of the study: a batch holds at most B - 1 graphs and one slot for padding; 2 or more.
    pub batch_size: BatchSize,
    /// Nodes and edges of a batch, padding included; estimated if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// How many graphs the budget is estimated from, from the start of the subset.
    #[serde(default = "thousand")]
    pub n_estimate: NonZeroU32,
    /// What to do with a graph that is larger than the budget.
    #[serde(default)]
    pub oversize: Oversize,
    /// What the batch is padded to: `"constant"` (the budget), `"none"`, `{ multiple = 64 }`,
    /// `{ power = 2 }` or `{ shapes = 8 }`.
    #[serde(default = "constant")]
    pub padding: Padding,
    /// Whether groups are formed anew in every epoch, or once before training.
    #[serde(default)]
    pub composition: Composition,
    /// Whether an unfinished group goes on in the next epoch, or is delivered as it is.
    #[serde(default)]
    pub epoch_boundary: EpochBoundary,
}

/// What to do with a graph that is larger than the budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Oversize {
    /// It forms a batch of its own, with a shape of its own.
    #[default]
    Single,
    /// The run stops, as in the study.
    Error,
}

fn thousand() -> NonZeroU32 {
    const N: NonZeroU32 = NonZeroU32::new(1000).expect("1000 is not 0");
    N
}

fn constant() -> Padding {
    Padding::Constant
}

batchlab_core::register!(
    Batcher,
    Dynamic,
    example = Dynamic {
        batch_size: BatchSize::try_from(32).expect("32 is in range"),
        budget: None,
        n_estimate: thousand(),
        oversize: Oversize::default(),
        padding: constant(),
        composition: Composition::default(),
        epoch_boundary: EpochBoundary::default(),
    }
);

#[typetag::serde(name = "dynamic")]
impl Batcher for Dynamic {
    fn label(&self) -> String {
        let mut label = match self.padding {
            Padding::Constant => "dynamic".to_owned(),
            padding => format!("dynamic-{}", padding.label()),
        };
        if self.composition == Composition::Fixed {
            label.push_str("-fixed");
        }
        label
    }

    fn level(&self) -> Level {
        Level::Graphs
    }

    fn batch_size(&self) -> Option<u32> {
        Some(self.batch_size.get())
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let View::ManyGraphs(graphs) = &view else {
            return Err(BatcherError::WrongLevel { expected: Level::Graphs, got: view.level() });
        };
        let budget = match self.budget {
            Some(budget) => budget,
            None => Budget::estimate(graphs, self.batch_size.get(), self.n_estimate.get())?,
        };
        let grouping = NextFit {
            budget,
            max_graph: self.batch_size.max_graph(),
            oversize: self.oversize,
            open: Shape::default(),
            pending: Vec::new(),
        };
        // Checked for all graphs at once, so that a run does not stop hours later.
        if self.oversize == Oversize::Error {
            graphs.iter().try_for_each(|&graph| grouping.check(graph))?;
        }
        let options = GroupOptions {
            batch_size: self.batch_size,
            padding: self.padding,
            constant: budget.shape(self.batch_size.get()),
            composition: self.composition,
            epoch_boundary: self.epoch_boundary,
        };
        open_groups(view, ctx, grouping, options)
    }
}

/// One open group; a graph that does not fit starts the next.
struct NextFit {
    budget: Budget,
    max_graph: u32,
    oversize: Oversize,
    open: Shape,
    pending: Vec<GraphSize>,
}

impl NextFit {
    fn fits(&self, shape: Shape) -> bool {
        shape.n_node < self.budget.n_node.get()
            && shape.n_edge <= self.budget.n_edge.get()
            && shape.n_graph <= self.max_graph
    }

    fn check(&self, graph: GraphSize) -> Result<(), BatcherError> {
        if self.oversize == Oversize::Single || self.fits(Shape::default().with(graph)) {
            return Ok(());
        }
        Err(BatcherError::Oversize {
            graph: graph.id,
            n_node: graph.n_node,
            n_edge: graph.n_edge,
            max_node: self.budget.n_node.get() - 1,
            max_edge: self.budget.n_edge.get(),
            remedy: "give a larger budget or batch_size, or oversize = \"single\"".into(),
        })
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
            self.check(graph)?;
            if self.pending.is_empty() || self.fits(self.open.with(graph)) {
                self.add(graph);
                continue;
            }
            self.close(group);
            self.add(graph);
            return Ok(true);
        }
        Ok(false)
    }

    fn flush(&mut self, group: &mut Vec<GraphSize>) -> Result<bool, BatcherError> {
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

    fn facts(&self) -> Vec<(String, f64)> {
        vec![
            ("budget_n_node".into(), f64::from(self.budget.n_node.get())),
            ("budget_n_edge".into(), f64::from(self.budget.n_edge.get())),
        ]
    }
}
