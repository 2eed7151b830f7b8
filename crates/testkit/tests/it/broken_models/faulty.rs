//! A correct model with one mistake at a time.

use std::sync::atomic::{AtomicU64, Ordering};

use batchlab_core::model::{
    Loss, LossSum, Mode, ModelContext, NamedTensor, Slot, Trainer, TrainerState,
};
use batchlab_core::{BatchFields, Model, ModelError, PaddedBatch, random};
use serde::{Deserialize, Serialize};

use super::linear::{Counting, Counts, N_CLASS, N_GAUSSIAN, count, loss};

/// The mistake. Comments describe the real mistakes that they represent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    None,
    /// Two parameters have the same name: a layer was copied.
    NameTwice,
    /// One parameter is missing from the count.
    WrongCount,
    /// Parameters do not depend on the seed.
    IgnoresSeed,
    /// All models draw from one generator of the process.
    GlobalCounter,
    /// A field is requested and copied, but not used.
    IgnoresDistance,
    /// The first node of each graph counts twice.
    FirstNode,
    /// The last incoming edge of a node counts twice.
    LastEdge,
    /// A component of the displacement is used as if it were an invariant.
    Direction,
    /// Counts are taken relative to their mean over the batch, as in batch normalisation.
    BatchMean,
    /// The second graph of a batch is treated differently.
    Place,
    /// A mean divides by the padded number of graphs.
    PaddedMean,
    /// A mean over no edges is 0 / 0.
    EmptyMean,
    /// Padding is masked by a factor of 0 instead of being excluded.
    LeaksPadding,
    /// Padding is dropped before anything is computed.
    SkipsPadding,
    /// A kernel stops at the last real edge.
    SkipsPaddingEdges,
    /// The gradient of the padding is not excluded.
    PaddingGradient,
    /// Sums are split in the middle of the padded rows.
    CutByPadding,
    /// Sums are split by the number of threads.
    Threads,
    /// The mean loss is returned as the sum.
    MeanLoss,
    /// All outputs have the same weight.
    UnweightedLoss,
    /// The logit of the class is used as its log-likelihood.
    RawLogits,
    /// The loss of an output is multiplied by its weight of 0 instead of being excluded.
    MultipliesByWeight,
    /// A factor is wrong in a backward pass.
    WrongGradient,
    /// A backward pass omits one of its inputs.
    MissingGradient,
    /// Gradients of other ranks are added instead of replacing those of this one.
    AddsGradients,
    /// The sign of the step is wrong.
    Uphill,
    /// Both slots are the same memory.
    OneSlot,
    /// An evaluation discards what training has recorded.
    EvaluationForgets,
    /// Gradients can be used twice.
    UpdatesTwice,
    /// The moments of the optimiser are not restored.
    ForgetsMoments,
    /// The number of updates, which corrects the moments, is not restored.
    ForgetsUpdates,
    /// A state is restored tensor by tensor until one does not fit.
    HalfRestored,
    /// Only the length of a tensor is checked, not its shape.
    IgnoresShape,
    /// An unknown class is treated as class 0.
    UnknownClass,
    /// A table of classes without rows.
    NoClasses,
    /// The existence of the device is not checked before data are loaded.
    AnyDevice,
    /// An option is not serialised.
    ForgetsOption,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Faulty {
    pub(crate) fault: Fault,
    /// Parameters without influence.
    #[serde(skip)]
    n_more: usize,
}

impl Faulty {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, n_more: usize::from(fault == Fault::ForgetsOption) }
    }
}

static N_OPENED: AtomicU64 = AtomicU64::new(0);

#[typetag::serde(name = "faulty")]
impl Model for Faulty {
    fn needs(&self) -> BatchFields {
        BatchFields {
            node_class: true,
            distance: true,
            displacement: self.fault == Fault::Direction,
            ..BatchFields::default()
        }
    }

    fn check_device(&self, device: &str) -> Result<(), ModelError> {
        if device == "cpu" || self.fault == Fault::AnyDevice {
            return Ok(());
        }
        Err(ModelError::Device { device: device.into(), reason: "only the CPU works".into() })
    }

    fn open(&self, ctx: &ModelContext) -> Result<Box<dyn Trainer>, ModelError> {
        if ctx.device != "cpu" {
            let device = ctx.device.clone();
            return Err(ModelError::Device { device, reason: "only the CPU works".into() });
        }
        if ctx.output_width == 0 || ctx.n_node_class == 0 && self.fault != Fault::NoClasses {
            return Err(ModelError::Options("neither outputs nor classes can be 0".into()));
        }
        let seed = match self.fault {
            Fault::IgnoresSeed => 0,
            Fault::GlobalCounter => 1000 + N_OPENED.fetch_add(1, Ordering::Relaxed),
            _ => ctx.seed,
        };
        let mut rng = random::stream(seed, "parameters", 0);
        let width = ctx.output_width;
        let mut draw = |name: &str, n_row: usize| NamedTensor {
            name: name.into(),
            shape: vec![n_row, width],
            data: (0..n_row * width)
                .map(|_| random::below(&mut rng, 1 << 20) as f32 / (1 << 20) as f32 - 0.5)
                .collect(),
        };
        let edge = if self.fault == Fault::NameTwice { "class" } else { "edge" };
        let mut parameters = vec![draw("class", N_CLASS), draw(edge, N_GAUSSIAN)];
        if self.n_more > 0 {
            parameters.push(draw("more", self.n_more));
        }
        let zeros: Vec<Vec<f32>> = parameters.iter().map(|p| vec![0.0; p.data.len()]).collect();
        Ok(Box::new(Linear {
            fault: self.fault,
            needs: self.needs(),
            loss: ctx.loss,
            width,
            moments: [zeros.clone(), zeros],
            parameters,
            n_update: 0,
            slots: [None, None],
            recorded: None,
            gradients: None,
        }))
    }
}

/// The kept part of a batch.
#[derive(Clone)]
struct Uploaded {
    counts: Vec<Counts>,
    n_real: usize,
    row: Vec<u32>,
    target: Vec<f32>,
    weight: Vec<f32>,
}

struct Linear {
    fault: Fault,
    needs: BatchFields,
    loss: Loss,
    width: usize,
    parameters: Vec<NamedTensor>,
    moments: [Vec<Vec<f32>>; 2],
    n_update: u64,
    slots: [Option<Uploaded>; 2],
    recorded: Option<Uploaded>,
    gradients: Option<Vec<Vec<f32>>>,
}

impl Linear {
    fn place(&self, slot: Slot) -> usize {
        usize::from(slot == Slot::B && self.fault != Fault::OneSlot)
    }

    fn uploaded(&self, slot: Slot) -> Result<&Uploaded, ModelError> {
        let uploaded = self.slots[self.place(slot)].as_ref();
        uploaded.ok_or_else(|| ModelError::Engine("the slot is empty".into()))
    }

    /// Factors of the parameters for one graph: classes, then Gaussians.
    fn inputs(&self, batch: &Uploaded, graph: usize) -> Vec<f64> {
        let own = |graph: usize| -> Vec<f64> {
            let counts = &batch.counts[graph];
            let more = vec![0.0; self.parameters.get(2).map_or(0, |more| more.shape[0])];
            [&counts.class[..], &counts.gaussian[..], &more].concat()
        };
        let mut inputs = own(graph);
        let is_real = graph < batch.n_real;
        match self.fault {
            Fault::BatchMean if is_real => {
                for other in 0..batch.n_real {
                    for (input, value) in inputs.iter_mut().zip(own(other)) {
                        *input -= 0.1 * value / batch.n_real as f64;
                    }
                }
            }
            Fault::Place if graph == 1 => inputs[0] += 0.01,
            Fault::PaddedMean => {
                let share = batch.n_real as f64 / batch.counts.len() as f64;
                for input in &mut inputs {
                    *input *= share;
                }
            }
            Fault::LeaksPadding if is_real && batch.n_real < batch.counts.len() => {
                for (input, value) in inputs.iter_mut().zip(own(batch.n_real)) {
                    *input += 0.0 * value;
                }
            }
            Fault::SkipsPadding if !is_real => inputs.fill(0.0),
            Fault::SkipsPaddingEdges if !is_real => {
                inputs[N_CLASS..N_CLASS + N_GAUSSIAN].fill(0.0);
            }
            Fault::Threads => inputs[0] += 1e-4 * rayon::current_num_threads() as f64,
            _ => {}
        }
        inputs
    }

    /// The predictions for one graph.
    fn predict_graph(&self, batch: &Uploaded, graph: usize) -> Vec<f64> {
        let mut row = vec![0.0; self.width];
        let inputs = self.inputs(batch, graph);
        let weights = self.parameters.iter().flat_map(|p| p.data.chunks_exact(self.width));
        for (input, weights) in inputs.iter().zip(weights) {
            for (sum, &weight) in row.iter_mut().zip(weights) {
                *sum += input * f64::from(weight);
            }
        }
        // Rounded as by an engine in single precision.
        row.iter().map(|&value| f64::from(value as f32)).collect()
    }

    /// Loss of a batch, and the gradients of its sum, in parameter order.
    fn differentiate(&self, batch: &Uploaded) -> (LossSum, Vec<f64>) {
        let mut sum = LossSum::default();
        let n_number = self.parameters.iter().map(|p| p.data.len()).sum();
        let mut gradients: Vec<f64> = vec![0.0; n_number];
        for ((&graph, &target), &weight) in batch.row.iter().zip(&batch.target).zip(&batch.weight) {
            let graph = graph as usize;
            let weight = match self.fault {
                Fault::UnweightedLoss if weight > 0.0 => 1.0,
                _ => f64::from(weight),
            };
            if weight == 0.0 && self.fault == Fault::PaddingGradient && graph == batch.n_real {
                for (slot, input) in
                    gradients.chunks_exact_mut(self.width).zip(self.inputs(batch, graph))
                {
                    for slot in slot {
                        *slot += 1e-2 * input;
                    }
                }
            }
            if self.fault == Fault::CutByPadding && graph == batch.counts.len() / 2 {
                for gradient in &mut gradients {
                    *gradient = f64::from(*gradient as f32);
                }
            }
            let multiplies = self.fault == Fault::MultipliesByWeight && graph < batch.n_real;
            if weight == 0.0 && !multiplies {
                continue;
            }
            let row = self.predict_graph(batch, graph);
            let (value, slopes) =
                loss(self.loss, &row, f64::from(target), self.fault != Fault::RawLogits);
            sum.loss_sum += weight * value;
            sum.weight_sum += weight;
            let inputs = self.inputs(batch, graph);
            for (slot, input) in gradients.chunks_exact_mut(self.width).zip(inputs) {
                for (slot, slope) in slot.iter_mut().zip(&slopes) {
                    *slot += weight * slope * input;
                }
            }
        }
        (sum, gradients)
    }

    /// The tensors of this model's state, by name.
    fn tensors(&mut self) -> impl Iterator<Item = (String, Vec<usize>, &mut Vec<f32>)> {
        let [first, second] = &mut self.moments;
        let moments = first.iter_mut().zip(second);
        self.parameters.iter_mut().zip(moments).flat_map(|(parameter, (first, second))| {
            let shape = parameter.shape.clone();
            let tensors =
                [("parameter", &mut parameter.data), ("moment1", first), ("moment2", second)];
            let name = parameter.name.clone();
            tensors.map(move |(kind, data)| (format!("{kind}.{name}"), shape.clone(), data))
        })
    }
}

impl Trainer for Linear {
    fn n_parameter(&self) -> usize {
        let n = self.parameters.iter().map(|p| p.data.len()).sum();
        if self.fault == Fault::WrongCount { n - 1 } else { n }
    }

    fn upload(&mut self, slot: Slot, batch: &PaddedBatch<'_>) -> Result<(), ModelError> {
        let n_edge = batch.shape.n_edge as usize;
        if batch.node_class.len() != batch.shape.n_node as usize
            || batch.distance.len() != n_edge
            || self.needs.displacement && batch.displacement.len() != 3 * n_edge
        {
            return Err(ModelError::Batch("the batch lacks classes, distances or vectors".into()));
        }
        let known = |&class: &u32| (class as usize) < N_CLASS;
        let mut classes = batch.node_class.to_vec();
        if !classes.iter().all(known) {
            if self.fault != Fault::UnknownClass {
                return Err(ModelError::Batch("the batch has an unknown class".into()));
            }
            classes.iter_mut().filter(|class| !known(class)).for_each(|class| *class = 0);
        }
        let how = Counting {
            first_node_twice: self.fault == Fault::FirstNode,
            last_edge_twice: self.fault == Fault::LastEdge,
            direction: self.fault == Fault::Direction,
            ignores_distance: self.fault == Fault::IgnoresDistance,
            mean_over_nothing: self.fault == Fault::EmptyMean,
        };
        let place = self.place(slot);
        self.slots[place] = Some(Uploaded {
            counts: count(&PaddedBatch { node_class: &classes, ..*batch }, how),
            n_real: batch.real.n_graph as usize,
            row: batch.output_row.to_vec(),
            target: batch.output_target.to_vec(),
            weight: batch.output_weight.to_vec(),
        });
        Ok(())
    }

    fn forward(&mut self, slot: Slot, mode: Mode, _key: u64) -> Result<LossSum, ModelError> {
        let batch = self.uploaded(slot)?;
        let (mut sum, _) = self.differentiate(batch);
        if self.fault == Fault::MeanLoss && sum.weight_sum > 0.0 {
            sum = LossSum { loss_sum: sum.mean(), weight_sum: 1.0 };
        }
        match mode {
            Mode::Training => self.recorded = Some(batch.clone()),
            Mode::Evaluation if self.fault == Fault::EvaluationForgets => self.recorded = None,
            Mode::Evaluation => {}
        }
        Ok(sum)
    }

    fn backward(&mut self, scale: f64) -> Result<(), ModelError> {
        let recorded = self.recorded.take();
        let batch = recorded.ok_or_else(|| ModelError::Engine("nothing was recorded".into()))?;
        let (sum, gradients) = self.differentiate(&batch);
        let factor = if sum.weight_sum > 0.0 { scale / sum.weight_sum } else { 0.0 };
        let mut rest = gradients.as_slice();
        let mut by_parameter = Vec::new();
        for (index, parameter) in self.parameters.iter().enumerate() {
            let (own, behind) = rest.split_at(parameter.data.len());
            let factor = match self.fault {
                Fault::WrongGradient if index == 1 => 1.1 * factor,
                _ => factor,
            };
            let mut own: Vec<f32> = own.iter().map(|g| (factor * g) as f32).collect();
            if self.fault == Fault::MissingGradient && index == 1 {
                own.iter_mut().skip(1).for_each(|gradient| *gradient = 0.0);
            }
            by_parameter.push(own);
            rest = behind;
        }
        self.gradients = Some(by_parameter);
        Ok(())
    }

    fn update(&mut self, learning_rate: f64) -> Result<(), ModelError> {
        let gradients = match self.fault {
            Fault::UpdatesTwice => self.gradients.clone(),
            _ => self.gradients.take(),
        };
        let gradients = gradients.ok_or_else(|| ModelError::Engine("no gradients".into()))?;
        self.n_update += 1;
        let rate = if self.fault == Fault::Uphill { -learning_rate } else { learning_rate };
        let corrections = [0.9_f64, 0.999].map(|decay| 1.0 - decay.powf(self.n_update as f64));
        let [first, second] = &mut self.moments;
        let moments = first.iter_mut().zip(second);
        for ((parameter, gradient), (first, second)) in
            self.parameters.iter_mut().zip(&gradients).zip(moments)
        {
            let moments = first.iter_mut().zip(second);
            for ((value, &g), (m, v)) in parameter.data.iter_mut().zip(gradient).zip(moments) {
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.999 * *v + 0.001 * g * g;
                let mean = f64::from(*m) / corrections[0];
                let square = f64::from(*v) / corrections[1];
                *value -= (rate * mean / (square.sqrt() + 1e-8)) as f32;
            }
        }
        Ok(())
    }

    fn predict(&mut self, slot: Slot, out: &mut Vec<f32>) -> Result<(), ModelError> {
        let batch = self.uploaded(slot)?.clone();
        out.clear();
        for &graph in &batch.row {
            let row = self.predict_graph(&batch, graph as usize);
            out.extend(row.into_iter().map(|value| value as f32));
        }
        Ok(())
    }

    fn gradients(&self) -> Result<Vec<NamedTensor>, ModelError> {
        let Some(gradients) = &self.gradients else { return Ok(Vec::new()) };
        let named = |(parameter, data): (&NamedTensor, &Vec<f32>)| NamedTensor {
            data: data.clone(),
            ..parameter.clone()
        };
        Ok(self.parameters.iter().zip(gradients).map(named).collect())
    }

    fn replace_gradients(&mut self, values: &[f32]) -> Result<(), ModelError> {
        if values.len() != self.parameters.iter().map(|p| p.data.len()).sum::<usize>() {
            return Err(ModelError::Engine("another number of gradients".into()));
        }
        let own = self.gradients.take().filter(|_| self.fault == Fault::AddsGradients);
        let mut rest = values;
        let mut by_parameter = Vec::new();
        for parameter in &self.parameters {
            let (own, behind) = rest.split_at(parameter.data.len());
            by_parameter.push(own.to_vec());
            rest = behind;
        }
        for (sum, own) in by_parameter.iter_mut().flatten().zip(own.iter().flatten().flatten()) {
            *sum += own;
        }
        self.gradients = Some(by_parameter);
        Ok(())
    }

    fn state(&self) -> Result<TrainerState, ModelError> {
        let tensor = |kind: &str, parameter: &NamedTensor, data: &Vec<f32>| NamedTensor {
            name: format!("{kind}.{}", parameter.name),
            shape: parameter.shape.clone(),
            data: data.clone(),
        };
        let mut tensors: Vec<NamedTensor> =
            self.parameters.iter().map(|p| tensor("parameter", p, &p.data)).collect();
        for (kind, moments) in ["moment1", "moment2"].iter().zip(&self.moments) {
            tensors
                .extend(self.parameters.iter().zip(moments).map(|(p, data)| tensor(kind, p, data)));
        }
        Ok(TrainerState { tensors, n_update: self.n_update, engine: Vec::new() })
    }

    fn restore(&mut self, state: &TrainerState) -> Result<(), ModelError> {
        let fault = self.fault;
        let unfit =
            |name: &str| ModelError::State { name: name.into(), reason: "it differs".into() };
        if fault != Fault::HalfRestored {
            check_fit(&self.state()?, state, fault)?;
        }
        let mut taken: Vec<String> = Vec::new();
        for (name, shape, data) in self.tensors() {
            let mut given = state.tensors.iter().filter(|tensor| tensor.name == name);
            // Two parameters of the same name take two tensors, in order.
            let n_before = taken.iter().filter(|&other| *other == name).count();
            let Some(given) = given.nth(n_before) else { return Err(unfit(&name)) };
            taken.push(name.clone());
            let fits = given.data.len() == data.len()
                && (given.shape == shape || fault == Fault::IgnoresShape);
            if !fits {
                return Err(unfit(&name));
            }
            if !(fault == Fault::ForgetsMoments && name.starts_with("moment")) {
                data.clone_from(&given.data);
            }
        }
        check_fit(&self.state()?, state, fault)?;
        if fault != Fault::ForgetsUpdates {
            self.n_update = state.n_update;
        }
        (self.recorded, self.gradients) = (None, None);
        Ok(())
    }

    fn synchronise(&mut self) -> Result<(), ModelError> {
        Ok(())
    }
}

/// Name, shape and number of values of a tensor.
type Entry = (String, Vec<usize>, usize);

/// Checks for the same names, with the same multiplicity, shapes and lengths.
fn check_fit(own: &TrainerState, given: &TrainerState, fault: Fault) -> Result<(), ModelError> {
    let layout = |state: &TrainerState| {
        let shape = |t: &NamedTensor| match fault {
            Fault::IgnoresShape => Vec::new(),
            _ => t.shape.clone(),
        };
        let mut all: Vec<_> =
            state.tensors.iter().map(|t| (t.name.clone(), shape(t), t.data.len())).collect();
        all.sort();
        all
    };
    let (own, given): (Vec<Entry>, Vec<Entry>) = (layout(own), layout(given));
    let count = |all: &[Entry], one: &Entry| all.iter().filter(|&other| other == one).count();
    let differs = |one: &&Entry| count(&own, one) != count(&given, one);
    match own.iter().chain(&given).find(differs) {
        None => Ok(()),
        Some((name, ..)) => {
            Err(ModelError::State { name: name.clone(), reason: "it differs".into() })
        }
    }
}
