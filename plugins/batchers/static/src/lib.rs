//! Batcher `static`: a fixed number of graphs in every batch.

use batchlab_core::batcher::label;
use batchlab_core::budget::index_limit;
use batchlab_core::grouping::{EpochGraphs, GroupOptions, Grouping, open_groups};
use batchlab_core::registry::from_toml;
use batchlab_core::{
    BatchContext, BatchStream, Batcher, BatcherError, GraphSize, Level, Padding, Shape, View,
};

batchlab_core::batcher_options! {
    /// A fixed number of graphs in every batch: `batch_size` - 1 real ones and one slot for
    /// padding.
    ///
    /// With `padding = { multiple = 64 }`, `{ power = 2 }` and `"constant"` these are the
    /// algorithms static-64, static-2^N and static-constant of arXiv 2502.00944; with `"none"` the
    /// batch has its real size (label `exact`), a control that the study lacks.
    ///
    /// The number of graphs is fixed, while the numbers of nodes and edges vary: with multiples of
    /// 64 a run has dozens to hundreds of shapes, with powers of two a few, with `"constant"` a
    /// single one that is sized for the largest graph in every slot.
    pub struct Static with GroupOptions {
        ..
        /// Reproduce the study's program, which consumes the graph that completes a batch without
        /// training on it, and never delivers an incomplete batch: one graph in `batch_size` is
        /// lost.
        #[serde(default)]
        pub compat_drop_overflow: bool,
    }
    padding = Padding::MULTIPLES_OF_64
}

batchlab_core::register!(Batcher, Static, example = from_toml("batch_size = 32"));

#[typetag::serde(name = "static")]
impl Batcher for Static {
    fn label(&self) -> String {
        // The control that the study lacks has its own name.
        label(self).replacen("static-exact", "exact", 1)
    }

    fn always_in_label(&self) -> &'static [&'static str] {
        &["padding"]
    }

    fn level(&self) -> Level {
        Level::Graphs
    }

    fn batch_size(&self) -> Option<u32> {
        Some(self.batch_size.get())
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let constant = constant_shape(view.many_graphs()?, self.batch_size.get())?;
        let options = GroupOptions { constant, ..self.group_options() };
        let grouping = FixedCount {
            n_graph: self.batch_size.max_graph() as usize,
            drop_overflow: self.compat_drop_overflow,
            pending: Vec::new(),
        };
        open_groups(view, ctx, grouping, options)
    }
}

/// The study's constant shape: the largest graph in all B slots, for edges and nodes separately,
/// rounded strictly up to a multiple of 64, plus one node for padding.
fn constant_shape(graphs: &[GraphSize], batch_size: u32) -> Result<Shape, BatcherError> {
    let round = |largest: u32, extra: u32| {
        let size = index_limit(f64::from(largest) * f64::from(batch_size));
        size.map(|size| size + extra).ok_or_else(|| {
            BatcherError::Options(format!(
                "batch_size = {batch_size} times the largest graph ({largest} nodes or edges) is more than \
                 a batch can index; use a smaller batch_size"
            ))
        })
    };
    Ok(Shape {
        n_node: round(graphs.iter().map(|g| g.n_node).max().unwrap_or(0), 1)?,
        n_edge: round(graphs.iter().map(|g| g.n_edge).max().unwrap_or(0), 0)?,
        n_graph: batch_size,
        n_output: batch_size,
    })
}

struct FixedCount {
    n_graph: usize,
    drop_overflow: bool,
    pending: Vec<GraphSize>,
}

impl Grouping for FixedCount {
    fn next_group(
        &mut self,
        graphs: &mut EpochGraphs<'_>,
        group: &mut Vec<GraphSize>,
    ) -> Result<bool, BatcherError> {
        while self.pending.len() < self.n_graph {
            let Some(graph) = graphs.next() else { return Ok(false) };
            self.pending.push(graph);
        }
        // The study's program notices that a batch is full when the next graph arrives, and drops
        // that graph.
        if self.drop_overflow && graphs.next().is_none() {
            return Ok(false);
        }
        group.append(&mut self.pending);
        Ok(true)
    }

    fn emit_partial(&mut self, group: &mut Vec<GraphSize>) -> Result<bool, BatcherError> {
        if self.drop_overflow {
            self.pending.clear();
        }
        group.append(&mut self.pending);
        Ok(!group.is_empty())
    }

    fn pending(&self) -> &[GraphSize] {
        &self.pending
    }

    fn restore(&mut self, carried: &[GraphSize]) {
        self.pending.clear();
        self.pending.extend_from_slice(carried);
    }
}
