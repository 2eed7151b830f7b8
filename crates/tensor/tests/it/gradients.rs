//! Compares gradients of every operation and every loss with finite differences of the loss; on a GPU, with the
//! CPU's gradients.

use crate::common::{Operation, collated, device, trainer, trainer_on};
use batchlab_core::Trainer;
use batchlab_core::model::{Loss, Mode, NamedTensor, Slot, TrainerState};
use batchlab_tensor::Activation;

/// Parameters are moved by this much in both directions.
const DELTA: f32 = 1e-2;
/// Number of elements to try per parameter.
const N_TRIED: usize = 8;

fn check(operation: Operation, loss: Loss, output_width: usize) {
    let mut trainer = trainer(operation, loss, output_width);
    let gradients = gradients(&mut *trainer);
    let scale = f64::from(gradients.iter().map(largest).fold(0.0, f32::max));
    assert!(scale > 1e-3, "{operation:?} has no noticeable gradient");
    let expect = |place: usize, element: usize, expected: f64, tolerance: f64| {
        let gradient = &gradients[place];
        let got = f64::from(gradient.data[element]);
        let own_scale = f64::from(largest(gradient)).max(1e-3 * scale);
        assert!(
            (got - expected).abs() < tolerance * own_scale,
            "{operation:?} {loss:?} {}[{element}]: gradient {got}, expected {expected}",
            gradient.name
        );
    };

    if device() != "cpu" {
        let on_cpu = self::gradients(&mut *trainer_on("cpu", operation, loss, output_width));
        for (place, gradient) in on_cpu.iter().enumerate() {
            for (element, &expected) in gradient.data.iter().enumerate() {
                expect(place, element, f64::from(expected), 1e-3);
            }
        }
        return;
    }
    let state = trainer.state().expect("the device works");
    for (place, gradient) in gradients.iter().enumerate() {
        let stride = gradient.data.len().div_ceil(N_TRIED);
        for element in (0..gradient.data.len()).step_by(stride) {
            let mut moved = |by: f32| {
                let mut state = state.clone();
                state.tensors[place].data[element] += by;
                loss_at(&mut *trainer, &state)
            };
            let difference = (moved(DELTA) - moved(-DELTA)) / (2.0 * f64::from(DELTA));
            expect(place, element, difference, 1e-2);
        }
    }
}

fn gradients(trainer: &mut dyn Trainer) -> Vec<NamedTensor> {
    trainer.upload(Slot::A, &collated().batch()).expect("a complete batch");
    trainer.forward(Slot::A, Mode::Training, 0).expect("forward");
    trainer.backward(1.0).expect("backward");
    trainer.gradients().expect("the device works")
}

/// In training mode, in which dropout drops the same numbers each time.
fn loss_at(trainer: &mut dyn Trainer, state: &TrainerState) -> f64 {
    trainer.restore(state).expect("a state of the same model");
    trainer.forward(Slot::A, Mode::Training, 0).expect("forward").mean()
}

fn largest(tensor: &NamedTensor) -> f32 {
    tensor.data.iter().fold(0.0, |a, b| a.max(b.abs()))
}

#[test]
fn gather() {
    check(Operation::Gather, Loss::Mse, 1);
}

#[test]
fn segment_sum_and_mean() {
    check(Operation::SegmentSum, Loss::Mse, 1);
    check(Operation::SegmentMean, Loss::Mse, 1);
}

#[test]
fn largest_values_and_softmax_of_segments() {
    check(Operation::SegmentMax, Loss::Mse, 1);
    check(Operation::SegmentSoftmax, Loss::Mse, 1);
}

#[test]
fn propagate_both_ways() {
    check(Operation::PropagateSum, Loss::Mse, 1);
    check(Operation::PropagateMean, Loss::Mse, 1);
    check(Operation::PropagateBack, Loss::Mse, 1);
}

#[test]
fn attention_along_edges() {
    check(Operation::Attend, Loss::Mse, 1);
    check(Operation::HeadsAndRow, Loss::Mse, 1);
}

#[test]
fn layer_norm_with_each_activation() {
    for activation in [Activation::Identity, Activation::Silu, Activation::Elu] {
        check(Operation::Normalise(activation), Loss::Mse, 1);
    }
}

#[test]
fn dropout() {
    check(Operation::Dropout, Loss::Mse, 1);
}

#[test]
fn linear_with_each_activation() {
    check(Operation::Linear(Activation::Identity), Loss::Mse, 1);
    check(Operation::Linear(Activation::ShiftedSoftplus), Loss::Mse, 1);
    check(Operation::Linear(Activation::Silu), Loss::Mse, 1);
    check(Operation::Linear(Activation::Relu), Loss::Mse, 1);
}

#[test]
fn activations_alone() {
    check(Operation::Activate(Activation::Identity), Loss::Mse, 1);
    check(Operation::Activate(Activation::ShiftedSoftplus), Loss::Mse, 1);
    check(Operation::Activate(Activation::Silu), Loss::Mse, 1);
    check(Operation::Activate(Activation::Elu), Loss::Mse, 1);
    check(Operation::Activate(Activation::LeakyRelu), Loss::Mse, 1);
}

#[test]
fn sums_and_products() {
    check(Operation::AddAndMultiply, Loss::Mse, 1);
    check(Operation::ScaleRows, Loss::Mse, 1);
}

#[test]
fn rows_of_a_weight() {
    check(Operation::Rows, Loss::Mse, 1);
}

#[test]
fn equivariant_messages_both_ways() {
    check(Operation::EquivariantMessage, Loss::Mse, 1);
    check(Operation::EquivariantMessageBack, Loss::Mse, 1);
}

#[test]
fn equivariant_updates() {
    check(Operation::EquivariantUpdateOfScalars, Loss::Mse, 1);
    check(Operation::EquivariantUpdateOfVectors, Loss::Mse, 1);
}

#[test]
fn plain_dfdx_operations() {
    if device() == "cpu" {
        check(Operation::Dfdx, Loss::Mse, 1);
        return;
    }
    let mut trainer = trainer(Operation::Dfdx, Loss::Mse, 1);
    trainer.upload(Slot::A, &collated().batch()).expect("a complete batch");
    let refused = trainer.forward(Slot::A, Mode::Training, 0).expect_err("a GPU has none");
    assert!(refused.to_string().contains("run on a CPU only"), "{refused}");
}

#[test]
fn losses() {
    check(Operation::Everything, Loss::Mse, 1);
    check(Operation::Everything, Loss::Mae, 1);
    check(Operation::Everything, Loss::CrossEntropy, 4);
}
