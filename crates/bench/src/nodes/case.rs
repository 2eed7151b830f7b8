//! A model with a batcher on one graph, trained epoch by epoch.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use batchlab_core::graphs::TargetKind;
use batchlab_core::model::{BatchKey, Loss, Mode, ModelContext, NamedTensor, Slot};
use batchlab_core::{
    BatchBuffer, BatchContext, BatchFields, BatchPlan, BatchStream, Batcher, Graphs, Model,
    Purpose, Trainer, collate,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::export;
use crate::source::SEED;
use crate::training::tensors;

/// The authors' learning rate.
const LEARNING_RATE: f64 = 1e-3;

/// What is trained, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The model's table.
    pub model: Value,
    /// The batcher's table.
    pub batcher: Value,
    /// Megabytes of batches that stay with the engine, as `training.resident_mib`.
    #[serde(default)]
    pub resident_mib: u64,
}

/// A model in training on one graph.
pub struct Case {
    trainer: Box<dyn Trainer>,
    stream: Box<dyn BatchStream>,
    needs: BatchFields,
    plan: BatchPlan,
    /// Batches that come again, by their recipe.
    kept: HashMap<u64, BatchBuffer>,
    own: BatchBuffer,
    n_output: usize,
    n_step: u64,
}

/// What an epoch took and contained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Epoch {
    /// From the first plan to the last update.
    pub seconds: f64,
    /// Of which plans and batches.
    pub load_seconds: f64,
    pub n_batch: usize,
    pub n_node: usize,
    pub n_edge: usize,
    /// Mean over the outputs.
    pub loss: f64,
}

impl Case {
    /// Opens a model with fresh parameters, and the batcher on the nodes for training.
    pub fn open(graphs: &Graphs, members: &[u32], choice: &Choice) -> anyhow::Result<Self> {
        let model: Box<dyn Model> = serde_json::from_value(choice.model.clone())?;
        let batcher: Box<dyn Batcher> = serde_json::from_value(choice.batcher.clone())?;
        let needs = model.needs();
        let trainer = model.open(&ModelContext {
            seed: SEED,
            node_feature_width: graphs.batch_feature_width(&needs),
            output_width: n_class(graphs)?,
            loss: Loss::CrossEntropy,
            resident_bytes: choice.resident_mib << 20,
            ..ModelContext::default()
        })?;
        let stream =
            batcher.open(graphs.view(members), BatchContext::new(Purpose::Training, SEED))?;
        Ok(Self {
            trainer,
            stream,
            needs,
            plan: BatchPlan::default(),
            kept: HashMap::new(),
            own: BatchBuffer::new(),
            n_output: members.len(),
            n_step: 0,
        })
    }

    /// Plans and collates the next batch; one that has come before is there already.
    fn next(&mut self, graphs: &Graphs) -> anyhow::Result<()> {
        anyhow::ensure!(self.stream.next(&mut self.plan)?, "a training stream does not end");
        let buffer = match self.plan.cache_key {
            Some(recipe) if self.kept.contains_key(&recipe) => return Ok(()),
            Some(recipe) => self.kept.entry(recipe).or_default(),
            None => &mut self.own,
        };
        collate(graphs, &self.plan, &self.needs, buffer)?;
        Ok(())
    }

    /// Copies the batch to the engine, where it may stay.
    fn upload(&mut self) -> anyhow::Result<()> {
        match self.plan.cache_key {
            Some(recipe) => {
                let key = BatchKey { stream: 0, recipe };
                self.trainer.upload_kept(Slot::A, key, &self.kept[&recipe].batch())?;
            }
            None => self.trainer.upload(Slot::A, &self.own.batch())?,
        }
        Ok(())
    }

    fn batch(&self) -> &BatchBuffer {
        self.plan.cache_key.map_or(&self.own, |recipe| &self.kept[&recipe])
    }

    /// Plans and collates the batches of an epoch, and trains on them if asked to.
    pub fn epoch(&mut self, graphs: &Graphs, train: bool) -> anyhow::Result<Epoch> {
        let (mut epoch, mut n_output, mut loss_sum) = (Epoch::default(), 0, 0.0);
        let start = Instant::now();
        while n_output < self.n_output {
            let loading = Instant::now();
            self.next(graphs)?;
            epoch.load_seconds += loading.elapsed().as_secs_f64();
            let real = self.batch().batch().real;
            n_output += real.n_output as usize;
            epoch.n_batch += 1;
            epoch.n_node += real.n_node as usize;
            epoch.n_edge += real.n_edge as usize;
            if train {
                self.upload()?;
                self.n_step += 1;
                loss_sum += self.trainer.forward(Slot::A, Mode::Training, self.n_step)?.loss_sum;
                self.trainer.backward(1.0)?;
                self.trainer.update(LEARNING_RATE)?;
            }
        }
        self.trainer.synchronise()?;
        epoch.seconds = start.elapsed().as_secs_f64();
        epoch.loss = loss_sum / n_output as f64;
        anyhow::ensure!(epoch.loss.is_finite(), "the loss became {}", epoch.loss);
        Ok(epoch)
    }

    /// Writes the next batch's nodes, which of them are outputs, and the present parameters with the loss
    /// and the gradients there. The model must be without dropout.
    pub fn write(&mut self, graphs: &Graphs, folder: &Path) -> anyhow::Result<()> {
        self.next(graphs)?;
        self.upload()?;
        export::write(folder, "batch_node", &self.plan.members)?;
        export::write(folder, "batch_output", &self.plan.output_row)?;
        let mut all = self.trainer.state()?.tensors;
        all.retain(|tensor| tensor.name.starts_with(tensors::PARAMETER));
        let loss = self.trainer.forward(Slot::A, Mode::Training, 0)?.mean();
        self.trainer.backward(1.0)?;
        all.extend(self.trainer.gradients()?.into_iter().map(|mut gradient| {
            gradient.name.insert_str(0, tensors::GRADIENT);
            gradient
        }));
        self.trainer.update(0.0)?;
        all.push(NamedTensor { name: "loss".into(), shape: vec![1], data: vec![loss as f32] });
        tensors::write(&all, &folder.join("state.safetensors"))
    }
}

fn n_class(graphs: &Graphs) -> anyhow::Result<usize> {
    match graphs.target.as_ref().map(|target| &target.kind) {
        Some(TargetKind::Classes { name }) => Ok(name.len()),
        _ => anyhow::bail!("the data set has no classes"),
    }
}
