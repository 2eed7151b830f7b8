//! Batcher `packed`: as few batches as possible.

mod balanced;
mod best_fit;
mod lpfhp;
mod open_groups;
mod pack;
mod window;

use std::num::NonZeroU32;

use batchlab_core::registry::from_toml;
use batchlab_core::{
    BatchContext, BatchStream, Batcher, BatcherError, GraphSize, Level, Padding, Purpose, View,
};

pub use pack::{Algorithm, pack};
use window::Windowed;

batchlab_core::batcher_options! {
    /// Graphs packed into as few batches as possible under a budget of nodes, edges and graphs.
    ///
    /// Graphs are collected until a window is full, packed, and delivered group by group, in a
    /// random order of the groups. The length of the window trades packing against randomness: a
    /// longer window gives fuller batches, but which graphs share a batch depends more on their
    /// sizes. Without a window, a whole epoch is packed at once. *Among graphs of equal size* the
    /// assignment stays random.
    ///
    /// Optimal packing is NP-hard. A lower bound on the number of groups is the volume bound, the
    /// maximum of sum(nodes) / nodes per batch, sum(edges) / edges per batch and graphs /
    /// (`batch_size` - 1), each rounded up; it is recorded for an epoch as `packing_lower_bound`.
    /// The algorithms:
    ///
    /// - `"best-fit"`: each graph, largest first, is added to the fullest group in which it fits.
    ///   For one resource at most 11/9 of the optimum plus 4 groups (Johnson 1974, *J. Comput.
    ///   Syst. Sci.* 8, 272).
    /// - `"lpfhp"`: the same on the histogram of sizes, many equal groups at a time, with a new
    ///   group filled with as many graphs of the size as it holds (longest pack first: Krell et
    ///   al., arXiv 2107.02027; for tuples of sizes arXiv 2209.06354; for `SchNet` arXiv
    ///   2211.13853). We know of no bound; its time depends on the number of distinct sizes rather
    ///   than on the number of graphs.
    /// - `"balanced"`: as many groups as the volume bound requires are opened at once; each graph,
    ///   largest first, is added to the emptiest (the rule of Graham 1969, *SIAM J. Appl. Math.*
    ///   17, 416). All groups become equally large. Use it if the number of graphs is the tightest
    ///   limit: the other two then fill some groups with few large graphs and run out of slots for
    ///   the small ones. If no further group is opened, the number of groups is optimal.
    ///
    /// Groups in excess of the volume bound for 128,744 molecules of QM9 and 10,304 edges
    /// (`tests/quality.rs`): with 32 slots and 640 nodes 10.0 % for best-fit and LPFHP, none for
    /// balanced; with 64 slots and 640 nodes 3.3 % and 0.7 %; with 128 slots and 2,048 nodes, where
    /// only edges bind, 0.2 % and 0.4 %.
    ///
    /// For `"best-fit"` and `"lpfhp"`, provide more slots than a full batch has graphs on average.
    pub struct Packed with BudgetOptions {
        /// How graphs are packed: `"balanced"`, `"best-fit"` or `"lpfhp"`.
        #[serde(default)]
        pub algorithm: Algorithm,
        /// Number of graphs collected before packing; by default a whole epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub window: Option<NonZeroU32>,
    }
    padding = Padding::Constant
}

batchlab_core::register!(Batcher, Packed, example = from_toml("batch_size = 32"));

#[typetag::serde(name = "packed")]
impl Batcher for Packed {
    fn always_in_label(&self) -> &'static [&'static str] {
        &["algorithm"]
    }

    fn level(&self) -> Level {
        Level::Graphs
    }

    fn batch_size(&self) -> Option<u32> {
        self.budget_options().n_slot()
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let budget = self.budget_options().resolve(&view, &ctx)?;
        let [_, sizes @ ..] = budget.limits.measures(GraphSize { id: 0, n_node: 0, n_edge: 0 });
        if sizes == [None; 3] {
            let message = "packed needs a limit on nodes, edges or bytes; name one in resources";
            return Err(BatcherError::Options(message.into()));
        }
        let window = self.window(budget.graphs.len())?;
        let shuffle_seed = (ctx.purpose == Purpose::Training).then_some(ctx.seed);
        let limits = budget.limits.clone();
        let grouping = Windowed::new(self.algorithm, window, limits, shuffle_seed, &budget.graphs);
        budget.open(ctx, grouping)
    }
}

impl Packed {
    fn window(&self, n_graph: usize) -> Result<usize, BatcherError> {
        let Some(window) = self.window else { return Ok(n_graph) };
        let window = window.get() as usize;
        if window > n_graph {
            return Err(BatcherError::Options(format!(
                "window = {window} is longer than the data ({n_graph} graphs); give a shorter one, or \
                 leave it out to pack a whole epoch"
            )));
        }
        let max_graph = self.batch_size.max_graph() as usize;
        if window < max_graph {
            return Err(BatcherError::Options(format!(
                "window = {window} cannot fill a batch of {max_graph} graphs; give a longer one"
            )));
        }
        Ok(window)
    }
}
