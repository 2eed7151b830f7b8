//! Gradients and steps, and their independence of the number of threads.

use batchlab_core::model::{Mode, NamedTensor, Slot, TrainerState};
use batchlab_core::{Model, PaddedBatch, Trainer};

use super::Trial;
use super::fixture::{MUCH, NONE};
use super::trial::{
    PARAMETER, differentiate, largest, near_tensors_above, predict, same_tensors, step, text,
};
use crate::check::Outcome;
use crate::device;

/// Parameters are moved by this much in both directions; by less if the loss is curved or has
/// kinks.
const DELTAS: [f32; 3] = [1e-2, 3e-3, 1e-3];
/// Elements of each parameter to test: those with the largest gradients, and some others.
const N_TRIED: usize = 3;
/// Tolerance between gradient and finite difference in the median, for single precision and
/// curvature.
const GRADIENT: f64 = 3e-2;
/// By how much gradients of two devices may differ, as a share of the largest of their tensor.
const DEVICES: f32 = 1e-3;

pub(super) fn gradient(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let buffer = trial.ordinary(NONE);
    let mut trainer = trial.ready()?;
    let (_, gradients) = differentiate(&mut *trainer, &buffer.batch())?;
    let mut state = trainer.state().map_err(text)?;
    let overall = gradients.iter().map(|g| largest(&g.data)).fold(0.0, f32::max);
    if overall <= 0.0 {
        return Err("all gradients are 0".into());
    }
    if device::under_test() != "cpu" {
        // Differences need hundreds of passes, and the processor's gradients have met them.
        let (_, on_cpu) = differentiate(&mut *trial.ready_on("cpu")?, &buffer.batch())?;
        let floor = 1e-3 * overall;
        return near_tensors_above(floor, &on_cpu, &gradients, DEVICES, "on the GPU");
    }
    for (place, gradient) in gradients.iter().enumerate() {
        let mut element =
            |element: usize, by: f32| loss_at(&mut *trainer, &mut state, place, element, by);
        let scale = largest(&gradient.data).max(1e-3 * overall);
        // The gradients reported as large must be correct ...
        let mut order: Vec<usize> = (0..gradient.data.len()).collect();
        order.sort_by(|&a, &b| gradient.data[b].abs().total_cmp(&gradient.data[a].abs()));
        order.truncate(N_TRIED);
        check_either(&mut element, gradient, &order, |value| value.abs().max(0.01 * scale))?;
        // ... and none may be missing.
        let stride = gradient.data.len().div_ceil(N_TRIED);
        let spread: Vec<usize> = (0..gradient.data.len()).step_by(stride).collect();
        check_either(&mut element, gradient, &spread, |_| scale)?;
    }
    Ok(())
}

fn check_either(
    loss_at: &mut dyn FnMut(usize, f32) -> Result<f64, String>,
    gradient: &NamedTensor,
    elements: &[usize],
    scale: impl Fn(f32) -> f32,
) -> Outcome {
    let mut compare = |delta| check_elements(loss_at, gradient, elements, &scale, delta);
    let [wide, narrow, narrowest] = DELTAS;
    compare(wide).or_else(|_| compare(narrow)).or_else(|_| compare(narrowest))
}

/// Compares some elements of a gradient with finite differences of the loss, both relative to
/// `scale`. `loss_at` computes the loss with one element moved.
fn check_elements(
    loss_at: &mut dyn FnMut(usize, f32) -> Result<f64, String>,
    gradient: &NamedTensor,
    elements: &[usize],
    scale: &impl Fn(f32) -> f32,
    delta: f32,
) -> Outcome {
    let mut errors = Vec::new();
    for &element in elements {
        let [up, down] = [delta, -delta].map(|by| loss_at(element, by));
        let difference = (up? - down?) / (2.0 * f64::from(delta));
        let value = gradient.data[element];
        let error = (f64::from(value) - difference).abs() / f64::from(scale(value));
        errors.push((error, element, value, difference));
    }
    errors.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (error, element, value, difference) = errors[errors.len() / 2];
    if error <= GRADIENT {
        return Ok(());
    }
    Err(format!(
        "{}[{element}]: the gradient is {value:e}, the finite difference {difference:e} (the \
         median of {} elements)",
        gradient.name,
        errors.len()
    ))
}

/// The loss with one element of parameter number `place` moved.
fn loss_at(
    trainer: &mut dyn Trainer,
    state: &mut TrainerState,
    place: usize,
    element: usize,
    by: f32,
) -> Result<f64, String> {
    let parameters =
        state.tensors.iter().enumerate().filter(|(_, t)| t.name.starts_with(PARAMETER));
    let place = parameters.map(|(index, _)| index).nth(place);
    let place = place.ok_or("there are more gradients than parameters")?;
    let before = state.tensors[place].data[element];
    state.tensors[place].data[element] = before + by;
    trainer.restore(state).map_err(text)?;
    state.tensors[place].data[element] = before;
    Ok(trainer.forward(Slot::A, Mode::Evaluation, 0).map_err(text)?.mean())
}

pub(super) fn learns(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let buffer = trial.ordinary(NONE);
    let mut trainer = trial.ready()?;
    let first = step(&mut *trainer, &buffer.batch())?.mean();
    for _ in 0..9 {
        step(&mut *trainer, &buffer.batch())?;
    }
    let last = trainer.forward(Slot::A, Mode::Evaluation, 0).map_err(text)?.mean();
    if last < first {
        return Ok(());
    }
    Err(format!("the loss of one batch went from {first} to {last}"))
}

pub(super) fn threads(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let buffer = trial.ordinary(MUCH);
    let run = |n_thread: usize| pool(n_thread)?.install(|| steps(&trial, &buffer.batch()));
    let one = run(1)?;
    // On other devices threads have no effect, but the second run must equal the first.
    let others: &[usize] = if device::under_test() == "cpu" { &[2, 3] } else { &[2] };
    for &n_thread in others {
        same_tensors(&one, &run(n_thread)?, &format!("with {n_thread} threads instead of 1"))?;
    }
    Ok(())
}

pub(super) fn pool(n_thread: usize) -> Result<rayon::ThreadPool, String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_thread).build();
    pool.map_err(|error| error.to_string())
}

/// Everything computed in three steps on a batch: gradients of the first, state after the last,
/// losses, and the predictions for real outputs.
pub(super) fn steps(
    trial: &Trial<'_>,
    batch: &PaddedBatch<'_>,
) -> Result<Vec<NamedTensor>, String> {
    let mut trainer = trial.ready()?;
    let (first, mut all) = differentiate(&mut *trainer, batch)?;
    let mut losses = vec![first.loss_sum];
    for _ in 0..3 {
        losses.push(step(&mut *trainer, batch)?.loss_sum);
    }
    all.extend(trainer.state().map_err(text)?.tensors);
    let mut data = predict(&mut *trainer, batch)?;
    data.truncate(batch.real.n_output as usize);
    all.push(NamedTensor { name: "prediction".into(), shape: vec![data.len()], data });
    // Two words per loss, to keep all bits.
    let words = |loss: &f64| [(loss.to_bits() >> 32) as u32, loss.to_bits() as u32];
    let data: Vec<f32> = losses.iter().flat_map(words).map(f32::from_bits).collect();
    all.push(NamedTensor { name: "losses as bits".into(), shape: vec![data.len()], data });
    Ok(all)
}
