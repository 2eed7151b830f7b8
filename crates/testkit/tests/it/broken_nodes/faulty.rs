//! A correct batcher on one graph with one mistake at a time.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::atomic::{AtomicU64, Ordering};

use batchlab_core::batch_order::OrderOptions;
use batchlab_core::graphs::{OneGraph, OneGraphView};
use batchlab_core::grouping::Composition;
use batchlab_core::node_groups::{
    ChosenNodes, NodeContext, NodePadding, OutputGroup, OutputGroups, open_node_groups,
};
use batchlab_core::plan::EdgeSelection;
use batchlab_core::{
    BatchContext, BatchPlan, BatchStream, Batcher, BatcherError, Cursor, Level, Padding, Purpose,
    View,
};
use serde::{Deserialize, Serialize};

/// The mistake. Comments describe the real mistakes that they represent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    None,
    /// The real size of the plan has an extra edge.
    WrongRealSize,
    /// Every node has an edge to the first output of its batch.
    UnknownEdge,
    /// The last output of a training batch is missing: an even share was rounded down.
    ForgetsOutput,
    /// An output is in its cluster and in the next one.
    RepeatsOutput,
    /// A last batch is counted for a remainder of 0.
    MiscountsBatches,
    /// An evaluation never delivers its last batch.
    DropsTail,
    /// Every member of a batch is an output, including those of other subsets.
    LearnsForeign,
    /// Batches are sorted by the labels of all their members.
    LooksAtForeign,
    /// Resuming repeats a batch.
    RepeatsBatch,
    /// A counter of openings is shared by all runs of the process.
    CountsOpenings,
    /// Outputs are found through their edges.
    LeavesOutIsolated,
    /// Edges are listed in reverse, which is not noticed on undirected graphs.
    AssumesUndirected,
    /// Behaviour of a C library on a directed graph.
    CrashesOnDirected,
    /// The edges of a node are counted in a byte.
    CountsInBytes,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Faulty {
    pub(crate) fault: Fault,
}

static N_OPENED: AtomicU64 = AtomicU64::new(0);

const N_OUTPUT: NonZeroU32 = NonZeroU32::new(6).expect("6 is not 0");

#[typetag::serde(name = "faulty-nodes")]
impl Batcher for Faulty {
    fn label(&self) -> String {
        "faulty-nodes".into()
    }

    fn level(&self) -> Level {
        Level::Nodes
    }

    fn batch_size(&self) -> Option<u32> {
        None
    }

    fn open(
        &self,
        view: View,
        mut ctx: BatchContext,
    ) -> Result<Box<dyn BatchStream>, BatcherError> {
        let mut one = view.one_graph()?.clone();
        let graph = &one.graph;
        match self.fault {
            Fault::CountsOpenings if ctx.purpose == Purpose::Training => {
                ctx.seed += 1000 * N_OPENED.fetch_add(1, Ordering::Relaxed);
            }
            Fault::LeavesOutIsolated => {
                let connected = |&&output: &&u32| !graph.incoming(output).is_empty();
                one.output = one.output.iter().filter(connected).copied().collect();
            }
            Fault::CrashesOnDirected => {
                assert!(graph.one_way_edge().is_none(), "segmentation fault");
            }
            _ => {}
        }
        let purpose = ctx.purpose;
        let groups = match self.fault {
            Fault::LooksAtForeign => sorted_by_labels(&one),
            _ => OutputGroups::Random {
                n_output: N_OUTPUT,
                composition: Composition::EveryEpoch,
                order: OrderOptions::default(),
            },
        };
        let padding = NodePadding { padding: Padding::None, constant: None };
        let open = || {
            let groups = match &groups {
                OutputGroups::Given { group, order } => {
                    OutputGroups::Given { group: group.clone(), order: *order }
                }
                _ => OutputGroups::Random {
                    n_output: N_OUTPUT,
                    composition: Composition::EveryEpoch,
                    order: OrderOptions::default(),
                },
            };
            let view = View::OneGraph(one.clone());
            open_node_groups(view, ctx.clone(), Neighbours { fault: self.fault }, groups, padding)
        };
        let n_batch = if purpose == Purpose::Evaluation { count(open()?) } else { 0 };
        let (inner, fault) = (open()?, self.fault);
        Ok(Box::new(Stream { inner, fault, purpose, n_batch, n_next: 0, view: one }))
    }
}

fn count(mut stream: Box<dyn BatchStream>) -> u64 {
    let mut plan = BatchPlan::default();
    let mut n_batch = 0;
    while stream.next(&mut plan).unwrap_or(false) {
        n_batch += 1;
    }
    n_batch
}

/// Groups sorted by the number of first neighbours of their outputs that have class 0.
fn sorted_by_labels(view: &OneGraphView) -> OutputGroups {
    let mut group: Vec<Vec<u32>> = view.output.chunks(6).map(<[u32]>::to_vec).collect();
    let n_zero = |group: &Vec<u32>| {
        let neighbours =
            group.iter().flat_map(|&output| &view.graph.sender[view.graph.incoming(output)]);
        neighbours.filter(|&&node| view.class[node as usize] == 0).count()
    };
    group.sort_by_key(n_zero);
    OutputGroups::Given { group, order: OrderOptions::default() }
}

/// All neighbours of the outputs, with the edges from them.
struct Neighbours {
    fault: Fault,
}

impl NodeContext for Neighbours {
    fn edges(&self) -> EdgeSelection {
        EdgeSelection::Listed
    }

    fn choose(&mut self, graph: &OneGraph, group: OutputGroup<'_>, chosen: &mut ChosenNodes) {
        for &output in group.output {
            for &sender in &graph.sender[graph.incoming(output)] {
                match self.fault {
                    // A self-loop is its own reverse.
                    Fault::AssumesUndirected if sender != output => {
                        chosen.list_edge(output, sender, 1.0);
                    }
                    _ => chosen.list_edge(sender, output, 1.0),
                }
            }
        }
        if self.fault == Fault::UnknownEdge {
            let first = group.output[0];
            let far =
                |&node: &u32| graph.sender[graph.incoming(first)].binary_search(&node).is_err();
            if let Some(node) = (0..graph.n_node() as u32).find(far) {
                chosen.list_edge(node, first, 1.0);
            }
        }
    }
}

struct Stream {
    inner: Box<dyn BatchStream>,
    fault: Fault,
    purpose: Purpose,
    n_batch: u64,
    n_next: u64,
    view: OneGraphView,
}

impl BatchStream for Stream {
    fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError> {
        let is_training = self.purpose == Purpose::Training;
        self.n_next += 1;
        if self.fault == Fault::DropsTail && !is_training && self.n_next == self.n_batch {
            return Ok(false);
        }
        if !self.inner.next(plan)? {
            return Ok(false);
        }
        match self.fault {
            Fault::WrongRealSize => plan.real.n_edge += 1,
            Fault::ForgetsOutput if is_training && plan.output_row.len() > 1 => {
                plan.output_row.pop();
            }
            Fault::RepeatsOutput if is_training && plan.output_row.len() > 1 => {
                plan.output_row[0] = plan.output_row[1];
            }
            Fault::LearnsForeign if is_training => {
                let rows = 0..plan.members.len() as u32;
                let is_foreign =
                    |&row: &u32| !self.view.output.contains(&plan.members[row as usize]);
                plan.output_row.extend(rows.filter(is_foreign).collect::<Vec<_>>());
            }
            // The list follows the counter, the size follows the data.
            Fault::CountsInBytes => {
                let n_hub = plan.listed.receiver.len();
                if n_hub > 255 && self.view.graph.n_node() > 1000 {
                    plan.listed.sender.truncate(255);
                    plan.listed.receiver.truncate(255);
                    plan.listed.weight.truncate(255);
                }
            }
            _ => {}
        }
        plan.real.n_output = plan.output_row.len() as u32;
        plan.shape = plan.real;
        Ok(true)
    }

    fn batches_per_epoch(&self) -> Option<NonZeroU64> {
        let n_batch = self.inner.batches_per_epoch()?;
        n_batch.checked_add(u64::from(self.fault == Fault::MiscountsBatches))
    }

    fn seek(&mut self, cursor: &Cursor) -> Result<(), BatcherError> {
        let mut cursor = cursor.clone();
        if self.fault == Fault::RepeatsBatch {
            cursor.batch = cursor.batch.saturating_sub(1);
        }
        self.inner.seek(&cursor)
    }
}
