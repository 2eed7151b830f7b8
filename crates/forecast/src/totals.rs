//! Sums over the steps of a forecast.

use batchlab_core::{BatchPlan, Level, Shape};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub n_step: u64,
    /// Real outputs: graphs, or output nodes.
    pub n_output: u64,
    pub n_node: u64,
    pub n_edge: u64,
    /// Nodes including padding.
    pub n_node_padded: u64,
    /// Edges including padding.
    pub n_edge_padded: u64,
}

impl Totals {
    pub fn add(&mut self, real: Shape, padded: Shape) {
        self.n_step += 1;
        self.n_output += u64::from(real.n_output);
        self.n_node += u64::from(real.n_node);
        self.n_edge += u64::from(real.n_edge);
        self.n_node_padded += u64::from(padded.n_node);
        self.n_edge_padded += u64::from(padded.n_edge);
    }

    /// Real nodes as a share of padded nodes.
    #[must_use]
    pub fn node_fill(&self) -> Option<f64> {
        ratio(self.n_node, self.n_node_padded)
    }

    /// Real edges as a share of padded edges.
    #[must_use]
    pub fn edge_fill(&self) -> Option<f64> {
        ratio(self.n_edge, self.n_edge_padded)
    }

    #[must_use]
    pub fn padding_per_edge(&self) -> Option<f64> {
        ratio(self.n_edge_padded - self.n_edge, self.n_edge)
    }

    #[must_use]
    pub fn per_step(&self, sum: u64) -> f64 {
        sum as f64 / self.n_step.max(1) as f64
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// IDs of the graphs, or output nodes, that a batch trains on.
pub(crate) fn outputs(plan: &BatchPlan) -> impl Iterator<Item = u32> + '_ {
    let (graphs, rows) = match plan.level {
        Level::Graphs => (&plan.members[..], &[][..]),
        Level::Nodes => (&[][..], &plan.output_row[..]),
    };
    graphs.iter().copied().chain(rows.iter().map(|&row| plan.members[row as usize]))
}
