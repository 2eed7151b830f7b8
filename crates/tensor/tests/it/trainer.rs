//! The trainer: threads, padding, Adam, states.

use std::collections::BTreeMap;

use crate::common::{FEATURE_WIDTH, N_CLASS, Operation, collated, numbers, step, trainer};
use batchlab_core::model::{Loss, Mode, NamedTensor, Slot, StepOptions, TrainerState};
use batchlab_core::{PaddedBatch, Trainer};

const EVERYTHING: Operation = Operation::Everything;

fn bits(state: &TrainerState) -> Vec<u32> {
    state.tensors.iter().flat_map(|tensor| &tensor.data).map(|v| v.to_bits()).collect()
}

#[test]
fn results_are_equal_to_the_last_bit_for_any_number_of_threads() {
    let run = |n_thread: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_thread).build().expect("a pool");
        pool.install(|| {
            let mut trainer = trainer(EVERYTHING, Loss::Mse, 1);
            let buffer = collated();
            let losses: Vec<u64> =
                (0..5).map(|_| step(&mut *trainer, &buffer.batch()).loss_sum.to_bits()).collect();
            (losses, bits(&trainer.state().expect("the device works")))
        })
    };
    let one = run(1);
    assert!(run(2) == one, "two threads differ from one");
    assert!(run(3) == one, "three threads differ from one");
}

/// The batch with other values in its padding.
struct Poisoned {
    distance: Vec<f32>,
    displacement: Vec<f32>,
    feature: Vec<f32>,
    class: Vec<u32>,
    target: Vec<f32>,
}

impl Poisoned {
    fn new(batch: &PaddedBatch<'_>, value: impl Fn(f32) -> f32) -> Self {
        let fill = |values: &[f32], n_real: usize| {
            let mut values = values.to_vec();
            for (slot, number) in values[n_real..].iter_mut().zip(numbers("poison", 1 << 16)) {
                *slot = value(number);
            }
            values
        };
        let [n_node, n_edge, n_output] =
            [batch.real.n_node, batch.real.n_edge, batch.real.n_output].map(|n| n as usize);
        let mut class = batch.node_class.to_vec();
        for (node, class) in class[n_node..].iter_mut().enumerate() {
            *class = (node % N_CLASS) as u32;
        }
        Self {
            distance: fill(batch.distance, n_edge),
            displacement: fill(batch.displacement, 3 * n_edge),
            feature: fill(batch.node_feature, n_node * FEATURE_WIDTH),
            class,
            target: fill(batch.output_target, n_output),
        }
    }

    fn batch<'a>(&'a self, batch: &PaddedBatch<'a>) -> PaddedBatch<'a> {
        PaddedBatch {
            distance: &self.distance,
            displacement: &self.displacement,
            node_feature: &self.feature,
            node_class: &self.class,
            output_target: &self.target,
            ..*batch
        }
    }
}

#[test]
fn nan_in_the_padding_changes_no_bit_of_predictions_and_loss() {
    for (loss, output_width) in [(Loss::Mse, 1), (Loss::Mae, 1), (Loss::CrossEntropy, 4)] {
        let buffer = collated();
        let clean = buffer.batch();
        let poison = Poisoned::new(&clean, |_| f32::NAN);
        let run = |batch: &PaddedBatch<'_>| {
            let mut trainer = trainer(EVERYTHING, loss, output_width);
            trainer.upload(Slot::B, batch).expect("a complete batch");
            let loss = trainer.forward(Slot::B, Mode::Training, 0).expect("forward");
            let mut prediction = Vec::new();
            trainer.predict(Slot::B, &mut prediction).expect("predict");
            let real = clean.real.n_output as usize * output_width;
            let real = prediction[..real].iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            (loss.loss_sum.to_bits(), loss.weight_sum.to_bits(), real, prediction.pop())
        };
        let (clean, poisoned) = (run(&clean), run(&poison.batch(&clean)));
        assert_eq!((clean.0, clean.1, clean.2), (poisoned.0, poisoned.1, poisoned.2), "{loss:?}");
        assert!(f64::from_bits(clean.0).is_finite());
    }
}

#[test]
fn finite_garbage_in_the_padding_changes_neither_gradients_nor_training() {
    let buffer = collated();
    let clean = buffer.batch();
    let poison = Poisoned::new(&clean, |number| 30.0 * number);
    let run = |batch: &PaddedBatch<'_>| {
        let mut trainer = trainer(EVERYTHING, Loss::Mse, 1);
        step(&mut *trainer, batch);
        let gradients = trainer.gradients().expect("the device works");
        for _ in 1..10 {
            step(&mut *trainer, batch);
        }
        (gradients, trainer.state().expect("the device works"))
    };
    let (clean, poisoned) = (run(&clean), run(&poison.batch(&clean)));
    near(&clean.0, &poisoned.0, 1e-6);
    near(&clean.1.tensors, &poisoned.1.tensors, 1e-6);
}

/// Asserts that each tensor agrees within `tolerance` of its largest number.
fn near(a: &[NamedTensor], b: &[NamedTensor], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        let largest = a.data.iter().fold(1e-6_f32, |m, v| m.max(v.abs()));
        let difference = a.data.iter().zip(&b.data).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(difference <= tolerance * largest, "{}: {difference} of {largest}", a.name);
    }
}

#[test]
fn the_optimiser_is_adam() {
    let mut trainer = trainer(EVERYTHING, Loss::Mse, 1);
    let buffer = collated();
    let start: Vec<f64> = parameters(&*trainer).iter().map(|&v| f64::from(v)).collect();
    let (mut value, mut m, mut v) = (start.clone(), vec![0.0; start.len()], vec![0.0; start.len()]);
    for t in 1..=10 {
        step(&mut *trainer, &buffer.batch());
        let gradients = trainer.gradients().expect("the device works");
        let gradient = gradients.iter().flat_map(|g| &g.data).map(|&g| f64::from(g));
        for (i, g) in gradient.enumerate() {
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.999 * v[i] + 0.001 * g * g;
            let corrected = [m[i] / (1.0 - 0.9_f64.powi(t)), v[i] / (1.0 - 0.999_f64.powi(t))];
            value[i] -= 1e-2 * corrected[0] / (corrected[1].sqrt() + 1e-8);
        }
    }
    for ((got, expected), start) in parameters(&*trainer).iter().zip(&value).zip(&start) {
        assert!((f64::from(*got) - expected).abs() < 1e-6, "{got} instead of {expected}");
        assert!((expected - start).abs() < 0.11, "no step is longer than the learning rate");
    }
}

#[test]
fn a_whole_step_is_its_parts_unless_the_loss_is_not_finite() {
    let buffer = collated();
    let clean = buffer.batch();
    let [mut parts, mut whole] = [(); 2].map(|()| trainer(EVERYTHING, Loss::Mse, 1));
    let options = StepOptions { learning_rate: 1e-2, key: 0, scale: &|_| 1.0 };
    let mut step_of_both = |whole: &mut dyn Trainer| {
        let expected = step(&mut *parts, &clean);
        whole.upload(Slot::A, &clean).expect("a complete batch");
        assert_eq!(whole.step(Slot::A, &options).expect("a step"), expected);
        let state = whole.state().expect("the device works");
        assert_eq!(bits(&state), bits(&parts.state().expect("the device works")));
        state
    };
    step_of_both(&mut *whole);
    let before = step_of_both(&mut *whole);
    let wrong = PaddedBatch { output_target: &[f32::NAN; 5], ..clean };
    whole.upload(Slot::A, &wrong).expect("a complete batch");
    assert!(whole.step(Slot::A, &options).expect("a step").mean().is_nan());
    assert_eq!(bits(&whole.state().expect("the device works")), bits(&before));
    whole.update(1e-2).expect_err("there is nothing to update with");
    step_of_both(&mut *whole);
}

#[test]
fn what_was_recorded_before_an_update_is_lost() {
    let mut trainer = trainer(EVERYTHING, Loss::Mse, 1);
    let buffer = collated();
    step(&mut *trainer, &buffer.batch());
    trainer.forward(Slot::A, Mode::Training, 0).expect("the device works");
    trainer.backward(1.0).expect("the device works");
    trainer.forward(Slot::A, Mode::Training, 0).expect("the device works");
    trainer.update(1e-2).expect("gradients are there");
    let error = trainer.backward(1.0).expect_err("the parameters have changed").to_string();
    assert!(error.contains("backward without forward"), "{error}");
}

fn parameters(trainer: &dyn Trainer) -> Vec<f32> {
    let state = trainer.state().expect("the device works");
    let parameters = state.tensors.into_iter().filter(|t| t.name.starts_with("parameter."));
    parameters.flat_map(|tensor| tensor.data).collect()
}

#[test]
fn training_goes_on_from_a_state_as_if_it_had_not_stopped() {
    let buffer = collated();
    let mut first = trainer(EVERYTHING, Loss::Mse, 1);
    for _ in 0..4 {
        step(&mut *first, &buffer.batch());
    }
    let state = first.state().expect("the device works");
    assert_eq!(state.n_update, 4);
    let mut second = trainer(EVERYTHING, Loss::Mse, 1);
    step(&mut *second, &buffer.batch());
    second.restore(&state).expect("a state of the same model");
    assert_eq!(second.state().expect("the device works"), state);
    for _ in 0..4 {
        let losses = [&mut first, &mut second].map(|t| step(&mut **t, &buffer.batch()));
        assert_eq!(losses[0].loss_sum.to_bits(), losses[1].loss_sum.to_bits());
    }
    assert_eq!(
        bits(&first.state().expect("the device works")),
        bits(&second.state().expect("the device works"))
    );
}

#[test]
fn a_state_that_does_not_fit_changes_nothing() {
    let mut trainer = trainer(EVERYTHING, Loss::Mse, 1);
    step(&mut *trainer, &collated().batch());
    let before = trainer.state().expect("the device works");
    let mut refused = |change: &dyn Fn(&mut Vec<NamedTensor>), expected: &str| {
        let mut state = before.clone();
        state.n_update = 77;
        state.tensors.iter_mut().for_each(|tensor| tensor.data.fill(9.0));
        change(&mut state.tensors);
        let error = trainer.restore(&state).expect_err("refused").to_string();
        assert_eq!(error, expected);
        assert!(trainer.state().expect("the device works") == before, "something was changed");
    };
    refused(
        &|tensors| tensors.retain(|t| t.name != "moment2.output.weight"),
        "tensor \"moment2.output.weight\" does not fit: the state does not hold it",
    );
    refused(
        &|tensors| tensors.push(NamedTensor { name: "x".into(), shape: vec![], data: vec![] }),
        "tensor \"x\" does not fit: the model has no such tensor",
    );
    refused(
        &|tensors| tensors[0].shape.reverse(),
        "tensor \"parameter.embedding\" does not fit: its shape is [6, 3], but the model's is [3, 6]",
    );
    refused(
        &|tensors| tensors[0].data.clear(),
        "tensor \"parameter.embedding\" does not fit: 0 values do not fill the shape [3, 6]",
    );
    refused(
        &|tensors| tensors.push(tensors[0].clone()),
        "tensor \"parameter.embedding\" does not fit: the state holds it twice",
    );
}

#[test]
fn initial_parameters_depend_on_seed_and_name_alone() {
    let by_name = |operation| -> BTreeMap<String, Vec<f32>> {
        let state = trainer(operation, Loss::Mse, 1).state().expect("the device works");
        state.tensors.into_iter().map(|tensor| (tensor.name, tensor.data)).collect()
    };
    assert_eq!(by_name(EVERYTHING), by_name(Operation::Gather));
}

#[test]
fn the_two_slots_hold_two_batches() {
    let buffer = collated();
    let clean = buffer.batch();
    let other = Poisoned::new(&clean, |number| number);
    let shifted = PaddedBatch { output_target: &[5.0, 5.0, 5.0, 0.0, 0.0], ..other.batch(&clean) };
    let mut trainer = trainer(EVERYTHING, Loss::Mse, 1);
    trainer.upload(Slot::A, &clean).expect("a complete batch");
    let alone = trainer.forward(Slot::A, Mode::Evaluation, 0).expect("forward");
    trainer.upload(Slot::B, &shifted).expect("a complete batch");
    let beside = trainer.forward(Slot::A, Mode::Evaluation, 0).expect("forward");
    assert_eq!(alone, beside);
    assert_ne!(trainer.forward(Slot::B, Mode::Evaluation, 0).expect("forward"), alone);
}

#[test]
fn steps_in_the_wrong_order_are_refused() {
    let mut trainer = trainer(EVERYTHING, Loss::Mse, 1);
    let text =
        |result: Result<(), batchlab_core::ModelError>| result.expect_err("refused").to_string();
    assert!(text(trainer.forward(Slot::A, Mode::Training, 0).map(drop)).contains("no batch"));
    assert!(text(trainer.backward(1.0)).contains("backward without forward"));
    assert!(text(trainer.update(1e-3)).contains("update without backward"));
    step(&mut *trainer, &collated().batch());
    assert!(text(trainer.update(1e-3)).contains("update without backward"));
    assert!(text(trainer.backward(1.0)).contains("backward without forward"));
}

#[test]
fn batches_that_the_model_cannot_use_are_refused() {
    let buffer = collated();
    let batch = buffer.batch();
    let refused = |batch: &PaddedBatch<'_>, loss, output_width, expected: &str| {
        let error = trainer(EVERYTHING, loss, output_width).upload(Slot::A, batch);
        let error = error.expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused(&PaddedBatch { distance: &[], ..batch }, Loss::Mse, 1, "the batch has 0 distances");
    let class = vec![N_CLASS as u32; batch.node_class.len()];
    let unknown = PaddedBatch { node_class: &class, ..batch };
    refused(&unknown, Loss::Mse, 1, "a node of class 3, but the model knows 3");
    refused(&batch, Loss::CrossEntropy, 2, "3 is not one of the 2 classes");
}

#[test]
fn an_output_without_weight_is_no_loss() {
    let buffer = collated();
    let batch = PaddedBatch { output_weight: &[0.0; 5], ..buffer.batch() };
    let mut trainer = trainer(EVERYTHING, Loss::Mse, 1);
    let loss = step(&mut *trainer, &batch);
    assert!(loss.weight_sum == 0.0 && loss.mean() == 0.0);
    assert!(
        trainer
            .gradients()
            .expect("the device works")
            .iter()
            .flat_map(|g| &g.data)
            .all(|&g| g == 0.0)
    );
}
