//! One batcher on one set of graphs, ready to be asked for batches.

use std::time::{Duration, Instant};

use batcher_dynamic::Dynamic;
use batcher_static::Static;
use batchlab_core::{
    BatchBuffer, BatchContext, BatchFields, BatchPlan, BatchStream, Batcher, Graphs, Purpose,
    collate,
};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Seed of the order of the graphs.
pub const SEED: u64 = 42;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// As many graphs as fit a budget: `dynamically_batch` of jraph.
    Dynamic,
    /// B - 1 graphs, nodes and edges padded to multiples of 64.
    #[serde(rename = "static-64")]
    #[value(name = "static-64")]
    Static64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Fields {
    /// The fields of the peers' batches, enough for the forward pass of `SchNet`: senders,
    /// receivers, distances, classes, counts, targets and weights.
    Schnet,
    /// The same, and the edges in the order of their senders, for the gradients of gathers.
    SenderOrder,
    /// And displacements, as `PaiNN` needs them.
    Displacement,
}

impl Fields {
    #[must_use]
    pub fn needs(self) -> BatchFields {
        BatchFields {
            node_class: true,
            distance: true,
            sender_order: self != Self::Schnet,
            displacement: self == Self::Displacement,
            ..BatchFields::default()
        }
    }
}

/// Plans and collates batch after batch, in the order of training.
pub struct Source<'a> {
    graphs: &'a Graphs,
    needs: BatchFields,
    stream: Box<dyn BatchStream>,
    pub plan: BatchPlan,
    pub buffer: BatchBuffer,
}

impl<'a> Source<'a> {
    /// Opens the batcher over all graphs.
    pub fn open(
        graphs: &'a Graphs,
        strategy: Strategy,
        batch_size: u32,
        fields: Fields,
    ) -> anyhow::Result<Self> {
        let options = format!("batch_size = {batch_size}");
        let batcher: Box<dyn Batcher> = match strategy {
            Strategy::Dynamic => Box::new(toml::from_str::<Dynamic>(&options)?),
            Strategy::Static64 => Box::new(toml::from_str::<Static>(&options)?),
        };
        let members: Vec<u32> = (0..graphs.n_member() as u32).collect();
        let ctx = BatchContext::new(Purpose::Training, SEED);
        Ok(Self {
            graphs,
            needs: fields.needs(),
            stream: batcher.open(graphs.view(&members), ctx)?,
            plan: BatchPlan::default(),
            buffer: BatchBuffer::new(),
        })
    }

    /// Plans the next batch.
    pub fn plan(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.stream.next(&mut self.plan)?, "a training stream does not end");
        Ok(())
    }

    /// Plans and collates the next batch.
    pub fn prepare(&mut self) -> anyhow::Result<()> {
        self.plan()?;
        collate(self.graphs, &self.plan, &self.needs, &mut self.buffer)?;
        Ok(())
    }

    /// Time to plan and collate `n_batch` batches. Before each of them, `between` runs untimed.
    pub fn time_apart(
        &mut self,
        n_batch: u32,
        mut between: impl FnMut(),
    ) -> anyhow::Result<Duration> {
        let mut sum = Duration::ZERO;
        for _ in 0..n_batch {
            between();
            sum += self.time(1)?;
        }
        Ok(sum)
    }

    /// Time to plan and collate `n_batch` batches.
    pub fn time(&mut self, n_batch: u32) -> anyhow::Result<Duration> {
        let start = Instant::now();
        for _ in 0..n_batch {
            self.prepare()?;
            std::hint::black_box(self.buffer.batch().words);
        }
        Ok(start.elapsed())
    }
}
