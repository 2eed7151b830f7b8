//! Gradient accumulation, weight decay, dropout and cached batches.

use crate::common::{Operation, collated, context, needs, trainer};
use batchlab_core::Trainer;
use batchlab_core::model::{BatchKey, Loss, Mode, ModelContext, Slot};
use batchlab_tensor::{Activation, ParameterBuilder};

const EVERYTHING: Operation = Operation::Everything;

fn forward_backward(trainer: &mut dyn Trainer, scale: f64) {
    trainer.forward(Slot::A, Mode::Training, 0).expect("forward");
    trainer.backward(scale).expect("backward");
}

fn numbers(trainer: &dyn Trainer) -> Vec<f32> {
    trainer.gradients().expect("gradients").into_iter().flat_map(|tensor| tensor.data).collect()
}

#[test]
fn gradients_add_up_until_the_update() {
    let mut trainer = trainer(EVERYTHING, Loss::Mse, 1);
    trainer.upload(Slot::A, &collated().batch()).expect("a complete batch");
    forward_backward(&mut *trainer, 1.0);
    let once = numbers(&*trainer);
    forward_backward(&mut *trainer, 0.5);
    let both = numbers(&*trainer);
    assert!(once.iter().any(|&g| g != 0.0));
    for (once, both) in once.iter().zip(&both) {
        assert!((1.5 * once - both).abs() <= 1e-6 * once.abs().max(1e-3), "{once} and {both}");
    }
    trainer.update(0.0).expect("update");
    forward_backward(&mut *trainer, 1.0);
    assert_eq!(numbers(&*trainer), once, "those that were used are gone");
}

/// Adam by hand, in double precision, with `decay` times the parameter in its gradient.
#[test]
fn weight_decay_goes_into_both_moments() {
    let build = |p: &mut ParameterBuilder| {
        let network = crate::common::Probe::new(Operation::Linear(Activation::Silu), 1, p);
        p.exempt_from_decay(network.output.bias.expect("it has one"));
        network
    };
    let ctx = ModelContext { weight_decay: 0.1, ..context(Loss::Mse, 1) };
    let mut trainer = batchlab_tensor::open(&ctx, needs(), build).expect("the device");
    let mut state = trainer.state().expect("state");
    for tensor in &mut state.tensors {
        if tensor.name.contains("bias") && tensor.name.starts_with("parameter.") {
            tensor.data.fill(0.5);
        }
    }
    trainer.restore(&state).expect("its own state");
    trainer.upload(Slot::A, &collated().batch()).expect("a complete batch");
    forward_backward(&mut *trainer, 1.0);
    let gradients = trainer.gradients().expect("gradients");
    trainer.update(1e-2).expect("update");
    let after = trainer.state().expect("state");
    for gradient in &gradients {
        let of = |state: &batchlab_core::model::TrainerState, prefix: &str| {
            let name = format!("{prefix}{}", gradient.name);
            state.tensors.iter().find(|tensor| tensor.name == name).expect("by name").data.clone()
        };
        let (before, moment) = (of(&state, "parameter."), of(&after, "moment1."));
        let decay = if gradient.name == "output.bias" { 0.0 } else { 0.1 };
        for ((g, p), m) in gradient.data.iter().zip(&before).zip(&moment) {
            let expected = 0.1 * (f64::from(*g) + decay * f64::from(*p));
            assert!((f64::from(*m) - expected).abs() < 1e-6, "{}: {m}, {expected}", gradient.name);
        }
    }
}

#[test]
fn dropout_follows_the_key_alone() {
    let forward = |seed: u64, key: u64, mode: Mode| {
        let build = |p: &mut ParameterBuilder| crate::common::Probe::new(Operation::Dropout, 1, p);
        let ctx = ModelContext { seed, ..context(Loss::Mse, 1) };
        let mut trainer = batchlab_tensor::open(&ctx, needs(), build).expect("the device");
        let start = crate::common::trainer(Operation::Dropout, Loss::Mse, 1);
        trainer.restore(&start.state().expect("state")).expect("of the same model");
        trainer.upload(Slot::A, &collated().batch()).expect("a complete batch");
        trainer.forward(Slot::A, mode, key).expect("forward").loss_sum.to_bits()
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("threads");
    let reference = forward(1, 7, Mode::Training);
    assert_eq!(pool.install(|| forward(1, 7, Mode::Training)), reference, "three threads");
    assert_ne!(forward(1, 8, Mode::Training), reference, "another step");
    assert_eq!(forward(2, 7, Mode::Training), reference, "another seed");
    let evaluated = forward(1, 7, Mode::Evaluation);
    assert_ne!(evaluated, reference);
    assert_eq!(forward(2, 8, Mode::Evaluation), evaluated, "nothing is dropped");
}

/// Two batches with equal keys: the second is ignored if the first is cached.
#[test]
fn a_batch_that_is_kept_is_copied_once_as_long_as_there_is_room() {
    let key = |recipe| BatchKey { stream: 1, recipe };
    let small = crate::common::collated_of(&[0, 2], crate::common::PADDING);
    let large = collated();
    let n_byte = u64::try_from(4 * large.batch().words.len()).expect("a small batch");
    for (resident_bytes, is_kept) in [(0, false), (2 * n_byte, true)] {
        let ctx = ModelContext { resident_bytes, ..context(Loss::Mse, 1) };
        let build = |p: &mut ParameterBuilder| crate::common::Probe::new(EVERYTHING, 1, p);
        let mut trainer = batchlab_tensor::open(&ctx, needs(), build).expect("the device");
        let mut loss = |slot, recipe, batch: &batchlab_core::BatchBuffer| {
            trainer.upload_kept(slot, key(recipe), &batch.batch()).expect("a complete batch");
            trainer.forward(slot, Mode::Training, 0).expect("forward").loss_sum.to_bits()
        };
        let of_large = loss(Slot::A, 0, &large);
        let again = loss(Slot::B, 0, &small);
        assert_eq!(again == of_large, is_kept, "with {resident_bytes} bytes");
        if is_kept {
            let of_small = loss(Slot::A, 1, &small);
            assert_ne!(of_small, of_large);
            // The least recently used is evicted: there are more than fit.
            for recipe in 2..9 {
                assert_eq!(loss(Slot::B, recipe, &large), of_large);
            }
            assert_eq!(loss(Slot::A, 0, &small), of_small, "it was copied anew");
        }
    }
}
