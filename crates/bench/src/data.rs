//! The molecules that are put into batches.

use std::path::PathBuf;

use anyhow::Context as _;
use batchlab_core::edge_rule::Radius;
use batchlab_core::graphs::{Edges, ManyGraphs, Topology};
use batchlab_core::{Dataset as _, EdgeRule, Graphs, LoadContext};
use clap::Args;
use dataset_qm9::Qm9;

/// Which molecules, and how many.
#[derive(Debug, Clone, Default, Args)]
pub struct Data {
    /// QM9 as `dataset.qm9` reads it; by default the sample of 2,000 molecules
    #[arg(long)]
    pub path: Option<PathBuf>,
    /// Repeats the molecules in memory: 64 times the sample is about as large as QM9
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// Connects atoms closer than this many angstrom, and stores these edges, instead of connecting
    /// all in the batch
    #[arg(long, conflicts_with = "repeat")]
    pub radius: Option<f64>,
}

impl Data {
    /// Molecules with positions, elements and targets.
    pub fn load(&self) -> anyhow::Result<Graphs> {
        let edges = match self.radius {
            None => EdgeRule::FullyConnected,
            Some(radius) => EdgeRule::Radius(Radius::try_from(radius).map_err(anyhow::Error::msg)?),
        };
        let qm9 = Qm9 { path: self.path.clone(), edges, ..Qm9::default() };
        let graphs = qm9.load(&LoadContext::new()).context("loading QM9")?;
        if self.radius.is_some() {
            return Ok(graphs);
        }
        repeated(graphs, self.repeat.max(1) as usize)
    }
}

fn repeated(mut graphs: Graphs, times: usize) -> anyhow::Result<Graphs> {
    let Topology::Many(many) = &graphs.topology else { anyhow::bail!("QM9 is many graphs") };
    let n_node: Vec<u32> = (0..many.n_graph()).map(|graph| many.size(graph).n_node).collect();
    let many = ManyGraphs::new(&n_node.repeat(times), Edges::FullyConnected)?;
    graphs.topology = Topology::Many(many);
    graphs.position = graphs.position.map(|position| position.repeat(times));
    graphs.name = vec![graphs.name; times].concat();
    if let Some(class) = &mut graphs.node_class {
        class.value = class.value.repeat(times);
    }
    if let Some(target) = &mut graphs.target {
        target.value = target.value.repeat(times);
        target.training = target.training.repeat(times);
    }
    graphs.check()?;
    Ok(graphs)
}
