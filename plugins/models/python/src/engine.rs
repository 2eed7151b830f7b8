//! Trains a model in another process.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use batchlab_core::buffer::FieldLayout;
use batchlab_core::hash::sha256;
use batchlab_core::model::{
    LossSum, Mode, ModelContext, NamedTensor, Slot, StepOptions, Trainer, TrainerState,
};
use batchlab_core::{BatchBuffer, ModelError, PaddedBatch};

use crate::halves::Halves;
use crate::memory::SharedMemory;
use crate::message::{self, Batch, Context, Field, Request, VERSION};
use crate::worker::Worker;
use crate::{Python, find, shipped};

pub(crate) struct Engine {
    /// In a `RefCell`, because requesting the state only changes the pipes.
    worker: RefCell<Worker>,
    memory: SharedMemory,
    slots: [Option<Batch>; 2],
    output_width: usize,
    n_parameter: usize,
    n_update: u64,
    /// The library that does the arithmetic, with its version.
    name: String,
    /// The same with the hash of the engine's file.
    arithmetic: String,
    compile_ns: Option<u64>,
    /// Gradients, if the engine gives them.
    halves: Option<Halves>,
}

impl Engine {
    pub(crate) fn open(model: &Python, ctx: &ModelContext) -> Result<Self, ModelError> {
        let found = find(&model.file, ctx);
        let text = match (&found, shipped::engine(&model.file)) {
            (Some(path), _) => std::fs::read(path).map_err(|error| {
                ModelError::Options(format!("cannot read model.file {}: {error}", path.display()))
            })?,
            (None, Some(text)) => text.into(),
            (None, None) => return Err(no_file(&model.file, ctx)),
        };
        let name = model.file.display().to_string();
        let timeout = Duration::from_secs(model.timeout_seconds.get().into());
        let mut worker = Worker::start(&interpreter(&model.python, ctx), &name, timeout)?;
        let file = match found {
            Some(path) => path,
            None => worker.give(&name, &text)?,
        };
        let memory = SharedMemory::new()?;
        let [a, b] = memory.paths().map(utf8);
        let empty = BatchBuffer::new();
        let request = Request::Open {
            version: VERSION,
            file: utf8(&file)?,
            memory: [a?, b?],
            fields: fields(&empty, ctx),
            context: Context::new(ctx, &model.options),
        };
        let (opened, _) = worker.ask(&request)?;
        Ok(Self {
            worker: RefCell::new(worker),
            memory,
            slots: [None, None],
            output_width: ctx.output_width,
            n_parameter: opened.n_parameter,
            n_update: 0,
            arithmetic: format!("{}, {name} {}", opened.engine, &sha256(&text)[..16]),
            name: opened.engine,
            compile_ns: None,
            halves: opened.gives_gradients.then(|| Halves::new(opened.n_parameter)),
        })
    }

    fn batch(&self, slot: Slot) -> Result<&Batch, ModelError> {
        let batch = self.slots[slot as usize].as_ref();
        batch.ok_or_else(|| ModelError::Engine("no batch was uploaded to this slot".into()))
    }
}

impl Trainer for Engine {
    fn n_parameter(&self) -> usize {
        self.n_parameter
    }

    fn upload(&mut self, slot: Slot, batch: &PaddedBatch<'_>) -> Result<(), ModelError> {
        let slot = slot as usize;
        self.memory.write(slot, batch)?;
        self.slots[slot] = Some(Batch {
            slot,
            level: message::level(batch.level),
            shape: message::sizes(batch.shape),
            real: message::sizes(batch.real),
            weight_sum: batch.output_weight.iter().map(|&weight| f64::from(weight)).sum(),
            lengths: batch.layout().map(|field| field.n_byte).collect(),
        });
        Ok(())
    }

    /// With the gradients: engines compute both in one call.
    fn forward(&mut self, slot: Slot, mode: Mode, key: u64) -> Result<LossSum, ModelError> {
        let batch = self.batch(slot)?.clone();
        let weight_sum = batch.weight_sum;
        let (Some(halves), Mode::Training) = (&mut self.halves, mode) else {
            return Err(in_one_call());
        };
        if weight_sum == 0.0 {
            halves.computed(&[], 0.0);
            return Ok(LossSum::default());
        }
        // The gradients of the loss sum.
        let request = Request::Gradients { batch: &batch, scale: weight_sum, key };
        let (done, payload) = self.worker.get_mut().ask(&request)?;
        self.compile_ns = done.compile_ns;
        match payload.split_first_chunk::<8>() {
            Some((loss_sum, gradients)) if gradients.len() == 4 * self.n_parameter => {
                halves.computed(gradients, weight_sum);
                Ok(LossSum { loss_sum: f64::from_le_bytes(*loss_sum), weight_sum })
            }
            _ => Err(no_answer("gradients")),
        }
    }

    fn backward(&mut self, scale: f64) -> Result<(), ModelError> {
        self.halves.as_mut().ok_or_else(in_one_call)?.accumulate(scale)
    }

    fn update(&mut self, learning_rate: f64) -> Result<(), ModelError> {
        let gradients = self.halves.as_mut().ok_or_else(in_one_call)?.take()?;
        let worker = self.worker.get_mut();
        let file = worker.give("gradients", bytemuck::cast_slice(gradients))?;
        worker.ask(&Request::Apply { file: utf8(&file)?, learning_rate })?;
        self.n_update += 1;
        Ok(())
    }

    fn is_one_call(&self) -> bool {
        true
    }

    fn gives_gradients(&self) -> bool {
        self.halves.is_some()
    }

    fn step(&mut self, slot: Slot, options: &StepOptions<'_>) -> Result<LossSum, ModelError> {
        let batch = self.batch(slot)?;
        let &StepOptions { learning_rate, key, .. } = options;
        let weight_sum = batch.weight_sum;
        let scale = (options.scale)(weight_sum);
        let request = Request::Step { batch, learning_rate, scale, key };
        let (done, payload) = self.worker.borrow_mut().ask(&request)?;
        let loss_sum = <[u8; 8]>::try_from(&payload[..]).map_err(|_| no_answer("step"))?;
        self.compile_ns = done.compile_ns;
        self.n_update += 1;
        Ok(LossSum { loss_sum: f64::from_le_bytes(loss_sum), weight_sum })
    }

    fn engine(&self) -> Option<String> {
        Some(self.name.clone())
    }

    fn predict(&mut self, slot: Slot, out: &mut Vec<f32>) -> Result<(), ModelError> {
        let batch = self.batch(slot)?;
        let n = batch.shape[3] as usize * self.output_width;
        let (_, payload) = self.worker.borrow_mut().ask(&Request::Predict { batch })?;
        if payload.len() != 4 * n {
            return Err(no_answer("predict"));
        }
        out.clear();
        out.extend(payload.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)));
        Ok(())
    }

    /// All in one array.
    fn gradients(&self) -> Result<Vec<NamedTensor>, ModelError> {
        let of = |accumulated: &[f32]| NamedTensor {
            name: "parameters".to_owned(),
            shape: vec![accumulated.len()],
            data: accumulated.to_vec(),
        };
        Ok(self.halves.iter().filter_map(Halves::accumulated).map(of).collect())
    }

    fn replace_gradients(&mut self, values: &[f32]) -> Result<(), ModelError> {
        self.halves.as_mut().ok_or_else(in_one_call)?.replace(values)
    }

    fn state(&self) -> Result<TrainerState, ModelError> {
        let (_, engine) = self.worker.borrow_mut().ask(&Request::State)?;
        Ok(TrainerState { tensors: Vec::new(), n_update: self.n_update, engine })
    }

    fn restore(&mut self, state: &TrainerState) -> Result<(), ModelError> {
        if let Some(tensor) = state.tensors.first() {
            let reason = "it was saved by a model of another kind".to_owned();
            return Err(ModelError::State { name: tensor.name.clone(), reason });
        }
        let file = self.worker.borrow().give("state", &state.engine)?;
        self.worker.borrow_mut().ask(&Request::Restore { file: utf8(&file)? })?;
        self.n_update = state.n_update;
        Ok(())
    }

    fn synchronise(&mut self) -> Result<(), ModelError> {
        Ok(())
    }

    fn arithmetic(&self) -> String {
        self.arithmetic.clone()
    }

    fn take_recording_ns(&mut self) -> Option<u64> {
        self.compile_ns.take()
    }
}

/// The arrays of a batch, in the order of its layout.
fn fields<'a>(empty: &'a BatchBuffer, ctx: &'a ModelContext) -> Vec<Field<'a>> {
    let built_in = empty.batch().layout().map(|FieldLayout { name, number, width, .. }| {
        let width = match name {
            // An empty batch does not know it.
            "node_feature" => Some(ctx.node_feature_width),
            _ => (width > 1).then_some(width),
        };
        Field { name, number, width }
    });
    let own = ctx.own.iter().map(|own| {
        let width = (own.width > 1).then_some(own.width);
        Field { name: &own.name, number: own.number, width }
    });
    built_in.chain(own).collect()
}

/// The interpreter as a command: a path is resolved like all paths of a configuration, a bare name
/// is looked up in PATH.
fn interpreter(python: &Path, ctx: &ModelContext) -> PathBuf {
    let is_name = python.components().count() == 1;
    let found = if is_name { None } else { find(python, ctx) };
    // A path without a directory would be looked up in PATH.
    found.and_then(|path| std::path::absolute(path).ok()).unwrap_or_else(|| python.to_owned())
}

fn no_file(file: &Path, ctx: &ModelContext) -> ModelError {
    let tried: Vec<String> =
        ctx.search.iter().map(|folder| folder.join(file).display().to_string()).collect();
    ModelError::Options(format!(
        "model.file = \"{}\" is not there (tried {}); give the path of a Python file that defines \
         open(context), or one that comes with the program: {}",
        file.display(),
        tried.join(", "),
        shipped::names()
    ))
}

fn utf8(path: &Path) -> Result<&str, ModelError> {
    path.to_str().ok_or_else(|| {
        ModelError::Options(format!("the path {} is not UTF-8; rename it", path.display()))
    })
}

fn in_one_call() -> ModelError {
    ModelError::Engine("an engine in another process does a step in one call".into())
}

fn no_answer(what: &str) -> ModelError {
    ModelError::Engine(format!("the answer to {what} has another length than it should have"))
}
