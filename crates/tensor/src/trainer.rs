//! The trainer of all networks.

mod recorded;
mod resident;
mod state;

use std::rc::Rc;

use batchlab_core::model::{
    BatchKey, Loss, LossSum, Mode, ModelContext, NamedTensor, Precision, Slot, StepOptions,
    Trainer, TrainerState,
};
use batchlab_core::{BatchFields, ModelError, PaddedBatch};

use self::recorded::{RecordedStep, RecordedSteps, Way};
use self::resident::ResidentBatches;
use self::state::{MOMENTS, PARAMETER, by_name, take, unfit};
use crate::batch::Wanted;
use crate::matrix::engine;
use crate::parameters::trainable;
use crate::pass::{Scale, TracedLoss, backward};
use crate::{
    Adam, Backend, Buffer, DeviceBatch, Matrix, Network, ParameterBuilder, Parameters, Pass,
};

/// Trains a network on a device: two batch slots, loss, gradients, Adam with its own moments, and
/// state that can be saved.
pub struct NetworkTrainer<N, D: Backend> {
    network: N,
    parameters: Parameters<D>,
    /// Adam's moments for each parameter: mean of the gradients, mean of their squares.
    moments: Vec<[Buffer<D>; 2]>,
    n_update: u64,
    loss: Loss,
    precision: Precision,
    wanted: Wanted,
    output_width: usize,
    /// For each parameter; see [`Adam`].
    decay: Vec<f32>,
    slots: [Option<Rc<DeviceBatch<D>>>; 2],
    resident: ResidentBatches<D>,
    /// The factor on the loss in `backward`.
    scale: Scale<D>,
    /// The loss of the last `forward`.
    fetched_loss: D::FetchedLoss,
    /// The last `forward` in training mode, until consumed by `backward`.
    traced: Option<TracedBatch<D>>,
    gradients: Option<Gradients<D>>,
    recorded: RecordedSteps<D>,
    /// See [`Trainer::take_recording_ns`].
    recording_ns: Option<u64>,
}

struct TracedBatch<D: Backend> {
    traced: Traced<D>,
    slot: Slot,
    /// Keeps the next upload to its slot from reusing its memory.
    _batch: Option<Rc<DeviceBatch<D>>>,
}

/// The origin of a `backward`.
enum Traced<D: Backend> {
    Tape(TracedLoss<D>),
    Recorded(Rc<RecordedStep<D>>),
}

struct Gradients<D: Backend> {
    values: Rc<Vec<Buffer<D>>>,
    used: bool,
}

/// A forward pass.
struct Forward<D: Backend> {
    loss: D::PendingLoss,
    tape: Option<TracedLoss<D>>,
    can_be_repeated: bool,
}

impl<N: Network, D: Backend> NetworkTrainer<N, D> {
    /// A network with fresh parameters, which are added by `build`.
    pub fn new(
        device: &D,
        ctx: &ModelContext,
        needs: BatchFields,
        build: impl FnOnce(&mut ParameterBuilder) -> N,
    ) -> Result<Self, ModelError> {
        let mut builder = ParameterBuilder::new(ctx.seed);
        let network = build(&mut builder);
        let parameters = builder.build(device)?;
        let moment = |value: &Matrix<D>| {
            let n = value.n_row() * value.n_column();
            let zeros = || device.zeros_buffer(n).map_err(engine);
            Ok([zeros()?, zeros()?])
        };
        let moments = parameters.values().map(moment).collect::<Result<_, ModelError>>()?;
        let only_outputs = network.only_outputs();
        let wanted = Wanted { fields: needs, n_class: ctx.n_node_class, only_outputs };
        Ok(Self {
            decay: parameters.decay(ctx.weight_decay),
            recorded: RecordedSteps::new(ctx.cuda_graphs, parameters.n_number()),
            network,
            parameters,
            moments,
            n_update: 0,
            loss: ctx.loss,
            precision: ctx.precision,
            wanted,
            output_width: ctx.output_width,
            slots: [None, None],
            resident: ResidentBatches::new(ctx.resident_bytes),
            scale: Scale::new(device).map_err(engine)?,
            fetched_loss: D::FetchedLoss::default(),
            traced: None,
            gradients: None,
            recording_ns: None,
        })
    }

    fn batch(&self, slot: Slot) -> Result<&DeviceBatch<D>, ModelError> {
        self.slots[place(slot)]
            .as_deref()
            .ok_or_else(|| ModelError::Engine("no batch was uploaded to this slot".into()))
    }

    /// Called before work on the batch of a slot: the next upload to the other slot need not wait
    /// for it.
    fn begin_use(&self, slot: Slot) -> Result<(), ModelError> {
        let own = place(slot);
        let Some(batch) = &self.slots[own] else { return Ok(()) };
        // A cached batch may be in both slots.
        if let Some(other) = self.slots[1 - own].as_ref().filter(|other| !Rc::ptr_eq(other, batch))
        {
            other.end_use()?;
        }
        batch.begin_use()
    }

    fn copied(
        &mut self,
        slot: Slot,
        batch: &PaddedBatch<'_>,
    ) -> Result<Rc<DeviceBatch<D>>, ModelError> {
        if self.loss == Loss::CrossEntropy {
            check_classes(batch, self.output_width)?;
        }
        let device = self.parameters.device();
        // Reuse the memory of the previous batch, unless it is cached.
        let previous = self.slots[place(slot)].take().and_then(|batch| Rc::try_unwrap(batch).ok());
        Ok(Rc::new(DeviceBatch::upload_ahead(device, previous, batch, &self.wanted)?))
    }

    fn run(&self, pass: &mut Pass<'_, D>, slot: Slot) -> Result<Matrix<D>, ModelError> {
        let batch = self.batch(slot)?;
        let prediction = self.network.forward(pass, batch)?;
        let expected = [batch.n_prediction(), self.output_width];
        if prediction.shape() == expected {
            Ok(prediction)
        } else {
            Err(ModelError::Engine(format!(
                "the network predicts a matrix of {:?}, but {expected:?} is expected",
                prediction.shape()
            )))
        }
    }

    /// How to train on the batch of a slot. Nothing is recorded while there are gradients to
    /// accumulate to.
    fn way(&mut self, slot: Slot, mode: Mode) -> Way<D> {
        let adds = self.gradients.as_ref().is_some_and(|gradients| !gradients.used);
        if mode != Mode::Training || adds {
            return Way::Plain;
        }
        let batch = self.slots[place(slot)].as_ref();
        self.recorded.way(self.parameters.device(), || batch?.layout())
    }

    fn pass(&self, slot: Slot, mode: Mode, key: u64) -> Result<Forward<D>, ModelError> {
        let mut pass = Pass::new(&self.parameters, mode, key, self.precision);
        let prediction = self.run(&mut pass, slot)?;
        let outputs = self.batch(slot)?.outputs();
        let loss = pass.loss(self.loss, &prediction, outputs, &self.scale)?;
        let can_be_repeated = pass.can_be_repeated();
        Ok(Forward { loss, tape: pass.finish()?, can_be_repeated })
    }

    /// Queues a forward pass and the copy of its loss to the host; the sum of the weights.
    fn queue_forward(&mut self, slot: Slot, mode: Mode, key: u64) -> Result<f64, ModelError> {
        if mode == Mode::Training {
            // Free the previous tape first, so that its memory can be reused.
            self.traced = None;
            self.recording_ns = None;
        }
        self.begin_use(slot)?;
        let weight_sum = self.batch(slot)?.outputs().weight_sum();
        let recorded = match self.way(slot, mode) {
            Way::Plain => None,
            Way::Record(layout) => self.record(slot, key, layout)?,
            Way::Repeat(step) => {
                #[cfg(feature = "cuda-check")]
                self.check_recording(slot, key, &step)?;
                Some(step)
            }
        };
        let traced = if let Some(step) = recorded {
            self.parameters.device().start(&step.forward).map_err(engine)?;
            self.fetch(&step.loss)?;
            Some(Traced::Recorded(step))
        } else {
            let done = self.pass(slot, mode, key)?;
            if !done.can_be_repeated {
                self.recorded.turn_off();
            }
            self.fetch(&done.loss)?;
            done.tape.map(Traced::Tape)
        };
        if let Some(traced) = traced {
            let batch = self.slots[place(slot)].clone();
            self.traced = Some(TracedBatch { traced, slot, _batch: batch });
        }
        Ok(weight_sum)
    }

    fn fetch(&mut self, loss: &D::PendingLoss) -> Result<(), ModelError> {
        self.parameters.device().fetch_loss(loss, &mut self.fetched_loss).map_err(engine)
    }

    /// The loss of the last forward pass. Waits for it, but not for what was queued after it.
    fn loss(&self, weight_sum: f64) -> Result<LossSum, ModelError> {
        let loss_sum = self.parameters.device().read_loss(&self.fetched_loss).map_err(engine)?;
        Ok(LossSum { loss_sum, weight_sum })
    }
}

impl<N: Network, D: Backend> Trainer for NetworkTrainer<N, D> {
    fn n_parameter(&self) -> usize {
        self.parameters.n_number()
    }

    fn upload(&mut self, slot: Slot, batch: &PaddedBatch<'_>) -> Result<(), ModelError> {
        let batch = self.copied(slot, batch)?;
        self.slots[place(slot)] = Some(batch);
        Ok(())
    }

    fn upload_kept(
        &mut self,
        slot: Slot,
        key: BatchKey,
        batch: &PaddedBatch<'_>,
    ) -> Result<(), ModelError> {
        let kept = if let Some(kept) = self.resident.get(key) {
            kept
        } else {
            let copied = self.copied(slot, batch)?;
            self.resident.keep(key, &copied);
            copied
        };
        self.slots[place(slot)] = Some(kept);
        Ok(())
    }

    fn forward(&mut self, slot: Slot, mode: Mode, key: u64) -> Result<LossSum, ModelError> {
        let weight_sum = self.queue_forward(slot, mode, key)?;
        self.loss(weight_sum)
    }

    /// Queues backward before it waits for the loss, so that a GPU goes on meanwhile. With a
    /// non-finite loss the gradients are dropped, and nothing else has changed.
    fn step(&mut self, slot: Slot, options: &StepOptions<'_>) -> Result<LossSum, ModelError> {
        let weight_sum = self.queue_forward(slot, Mode::Training, options.key)?;
        self.backward((options.scale)(weight_sum))?;
        let loss = self.loss(weight_sum)?;
        if loss.mean().is_finite() {
            self.update(options.learning_rate)?;
        } else {
            self.gradients = None;
        }
        Ok(loss)
    }

    fn backward(&mut self, scale: f64) -> Result<(), ModelError> {
        let Some(TracedBatch { traced, slot, _batch }) = self.traced.take() else {
            return Err(ModelError::Engine("backward without forward in training mode".into()));
        };
        let earlier = self.gradients.take().filter(|gradients| !gradients.used);
        self.begin_use(slot)?;
        self.scale.set(self.parameters.device(), scale as f32).map_err(engine)?;
        let values = match traced {
            Traced::Tape(tape) => {
                let mut values = backward(tape, &self.parameters)?;
                if let Some(earlier) = earlier {
                    let device = self.parameters.device();
                    for (value, earlier) in values.iter_mut().zip(&*earlier.values) {
                        device.accumulate(value, earlier).map_err(engine)?;
                    }
                }
                Rc::new(values)
            }
            Traced::Recorded(step) => {
                self.parameters.device().start(&step.backward).map_err(engine)?;
                Rc::clone(&step.gradients)
            }
        };
        self.gradients = Some(Gradients { values, used: false });
        Ok(())
    }

    fn update(&mut self, learning_rate: f64) -> Result<(), ModelError> {
        let Some(gradients) = self.gradients.as_mut().filter(|gradients| !gradients.used) else {
            return Err(ModelError::Engine("update without backward before it".into()));
        };
        // Recordings with the previous parameters cannot be used with the new ones.
        self.traced = None;
        let step = Adam::step(learning_rate, self.n_update + 1);
        let parameters: Vec<_> = self.parameters.values().map(Matrix::tensor).collect();
        let device = self.parameters.device();
        let (gradient, moments) = (&*gradients.values, &mut self.moments);
        let values =
            device.adam(step, &self.decay, &parameters, gradient, moments).map_err(engine)?;
        gradients.used = true;
        self.parameters
            .replace(values.into_iter().map(|value| Matrix::from_kernel(value, true)).collect());
        self.n_update += 1;
        Ok(())
    }

    fn predict(&mut self, slot: Slot, out: &mut Vec<f32>) -> Result<(), ModelError> {
        self.begin_use(slot)?;
        let mut pass = Pass::new(&self.parameters, Mode::Evaluation, 0, self.precision);
        let prediction = self.run(&mut pass, slot)?.to_vec();
        let rows = &self.batch(slot)?.outputs().row_on_host;
        out.clear();
        for &row in rows {
            let start = row as usize * self.output_width;
            out.extend_from_slice(&prediction[start..start + self.output_width]);
        }
        Ok(())
    }

    fn gradients(&self) -> Result<Vec<NamedTensor>, ModelError> {
        let Some(gradients) = &self.gradients else { return Ok(Vec::new()) };
        let device = self.parameters.device();
        self.named("", gradients.values.iter().map(|buffer| device.read(buffer).map_err(engine)))
    }

    fn replace_gradients(&mut self, values: &[f32]) -> Result<(), ModelError> {
        let (given, expected) = (values.len(), self.parameters.n_number());
        if given != expected {
            let message = format!("{given} gradients for {expected} parameters");
            return Err(ModelError::Engine(message));
        }
        // Buffers of their own: those of a recorded step belong to its recording.
        let device = self.parameters.device();
        let mut rest = values;
        let mut next = |shape: &[usize]| {
            let (own, behind) = rest.split_at(shape.iter().product());
            rest = behind;
            device.buffer_of(own)
        };
        let buffers = self.parameters.names().map(|(_, shape)| next(shape));
        let buffers = buffers.collect::<Result<_, D::Err>>().map_err(engine)?;
        self.gradients = Some(Gradients { values: Rc::new(buffers), used: false });
        Ok(())
    }

    fn state(&self) -> Result<TrainerState, ModelError> {
        let mut tensors =
            self.named(PARAMETER, self.parameters.values().map(|value| Ok(value.to_vec())))?;
        tensors.extend(self.moments_named(MOMENTS[0], 0)?);
        tensors.extend(self.moments_named(MOMENTS[1], 1)?);
        Ok(TrainerState { tensors, n_update: self.n_update, engine: Vec::new() })
    }

    fn restore(&mut self, state: &TrainerState) -> Result<(), ModelError> {
        let mut given = by_name(state)?;
        let device = self.parameters.device();
        let mut values = Vec::with_capacity(self.moments.len());
        let mut moments = Vec::with_capacity(self.moments.len());
        for (name, shape) in self.parameters.names() {
            let value = take(&mut given, &format!("{PARAMETER}{name}"), shape)?;
            values.push(trainable(device, value.to_vec(), shape)?);
            let mut moment = |prefix: &str| {
                let value = take(&mut given, &format!("{prefix}{name}"), shape)?;
                device.buffer_of(value).map_err(engine)
            };
            moments.push([moment(MOMENTS[0])?, moment(MOMENTS[1])?]);
        }
        if let Some(name) = given.keys().next() {
            return Err(unfit(name, "the model has no such tensor"));
        }
        self.recorded.clear();
        self.parameters.replace(values);
        self.moments = moments;
        self.n_update = state.n_update;
        self.traced = None;
        self.gradients = None;
        Ok(())
    }

    fn synchronise(&mut self) -> Result<(), ModelError> {
        self.parameters.device().wait().map_err(engine)
    }

    fn arithmetic(&self) -> String {
        D::arithmetic().to_owned()
    }

    fn take_recording_ns(&mut self) -> Option<u64> {
        self.recording_ns.take()
    }

    fn take_peak_device_bytes(&mut self) -> Result<Option<u64>, ModelError> {
        let recordings = self.recorded.memory();
        self.parameters.device().take_peak_bytes(&recordings.borrow()).map_err(engine)
    }
}

fn place(slot: Slot) -> usize {
    match slot {
        Slot::A => 0,
        Slot::B => 1,
    }
}

fn check_classes(batch: &PaddedBatch<'_>, n_class: usize) -> Result<(), ModelError> {
    let valid = |target: f32| target >= 0.0 && target < n_class as f32 && target.fract() == 0.0;
    let wrong = batch
        .output_target
        .iter()
        .zip(batch.output_weight)
        .find(|&(&target, &weight)| weight > 0.0 && !valid(target));
    match wrong {
        None => Ok(()),
        Some((target, _)) => Err(ModelError::Batch(format!(
            "{target} is not one of the {n_class} classes, counted from 0; an output without class \
             must have weight 0"
        ))),
    }
}
