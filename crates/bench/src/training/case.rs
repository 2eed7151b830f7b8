//! A model on one batch: steps, time, and what peers need to compute the same.

use std::path::Path;
use std::time::Instant;

use batchlab_core::model::{Mode, ModelContext, NamedTensor, Precision, Slot};
use batchlab_core::{BatchBuffer, Graphs, Model, Trainer};
use serde_json::Value;

use super::batch::{Choice, first_batches, median_batch};
use super::memory::resident;
use super::tensors;

/// The study's learning rate.
const LEARNING_RATE: f64 = 1e-4;
const SEED: u64 = 42;

/// What models run on.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    /// `cpu` or `cuda:0`.
    pub device: String,
    pub precision: Precision,
    pub cuda_graphs: bool,
}

/// A model in training on one batch.
pub struct Case {
    trainer: Box<dyn Trainer>,
    buffer: BatchBuffer,
    pub model: Value,
}

impl Case {
    /// Opens a model with fresh parameters.
    pub fn open(
        graphs: &Graphs,
        model: Value,
        choice: &Choice,
        engine: &Engine,
    ) -> anyhow::Result<Self> {
        let description: Box<dyn Model> = serde_json::from_value(model.clone())?;
        let mut needs = description.needs();
        // What the peers read.
        (needs.node_class, needs.distance, needs.displacement) = (true, true, true);
        let buffer = median_batch(graphs, choice, &needs)?;
        let trainer = fresh(&*description, graphs, engine)?;
        Ok(Self { trainer, buffer, model })
    }

    #[must_use]
    pub fn batch(&self) -> batchlab_core::PaddedBatch<'_> {
        self.buffer.batch()
    }

    /// Copies the batch to the trainer and makes one step of training. Returns the loss before it.
    pub fn step(&mut self) -> anyhow::Result<f64> {
        step(&mut *self.trainer, &self.buffer)
    }

    /// Milliseconds of each of `n_step` steps, and the last loss. One step before them is not
    /// counted: it brings the batch back into the caches.
    pub fn time(&mut self, n_step: u32) -> anyhow::Result<(Vec<f64>, f64)> {
        let mut loss = self.step()?;
        let mut milliseconds = Vec::with_capacity(n_step as usize);
        for _ in 0..n_step {
            let start = Instant::now();
            loss = self.step()?;
            milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
        }
        anyhow::ensure!(loss.is_finite(), "the loss became {loss}");
        Ok((milliseconds, loss))
    }

    /// The present parameters.
    pub fn parameters(&self) -> anyhow::Result<Vec<NamedTensor>> {
        let mut tensors = self.trainer.state()?.tensors;
        tensors.retain(|tensor| tensor.name.starts_with(tensors::PARAMETER));
        Ok(tensors)
    }

    /// Writes the batch to `batch.safetensors` and the present parameters, with the loss,
    /// predictions and gradients there, to `state.safetensors`.
    pub fn write(&mut self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)?;
        tensors::write_batch(&self.buffer.batch(), &folder.join("batch.safetensors"))?;
        self.trainer.upload(Slot::A, &self.buffer.batch())?;
        let mut all = self.parameters()?;
        let loss = self.trainer.forward(Slot::A, Mode::Training, 0)?.mean();
        self.trainer.backward(1.0)?;
        all.extend(self.trainer.gradients()?.into_iter().map(|mut gradient| {
            gradient.name.insert_str(0, tensors::GRADIENT);
            gradient
        }));
        let mut prediction = Vec::new();
        self.trainer.predict(Slot::A, &mut prediction)?;
        let vector = |name: &str, data: Vec<f32>| NamedTensor {
            name: name.into(),
            shape: vec![data.len()],
            data,
        };
        all.extend([vector("prediction", prediction), vector("loss", vec![loss as f32])]);
        tensors::write(&all, &folder.join("state.safetensors"))
    }
}

fn fresh(model: &dyn Model, graphs: &Graphs, engine: &Engine) -> anyhow::Result<Box<dyn Trainer>> {
    Ok(model.open(&ModelContext {
        device: engine.device.clone(),
        seed: SEED,
        n_node_class: graphs.node_class.as_ref().map_or(0, |class| class.name.len()),
        precision: engine.precision,
        cuda_graphs: engine.cuda_graphs,
        ..ModelContext::default()
    })?)
}

fn step(trainer: &mut dyn Trainer, buffer: &BatchBuffer) -> anyhow::Result<f64> {
    trainer.upload(Slot::A, &buffer.batch())?;
    let loss = trainer.forward(Slot::A, Mode::Training, 0)?.mean();
    trainer.backward(1.0)?;
    trainer.update(LEARNING_RATE)?;
    trainer.synchronise()?;
    Ok(loss)
}

/// Resident bytes of this process after each `n_step` steps of training, `n_report` times. The first
/// nine batches of the strategy take turns, so that shapes change as in a run.
pub fn memory_of_steps(
    graphs: &Graphs,
    model: Value,
    choice: &Choice,
    engine: &Engine,
    [n_step, n_report]: [usize; 2],
) -> anyhow::Result<Vec<u64>> {
    let model: Box<dyn Model> = serde_json::from_value(model)?;
    let buffers = first_batches(graphs, choice, &model.needs())?;
    let mut trainer = fresh(&*model, graphs, engine)?;
    let mut turns = buffers.iter().cycle();
    let mut resident_bytes = Vec::with_capacity(n_report);
    for _ in 0..n_report {
        for buffer in turns.by_ref().take(n_step) {
            step(&mut *trainer, buffer)?;
        }
        resident_bytes.push(resident()?.0);
    }
    Ok(resident_bytes)
}
