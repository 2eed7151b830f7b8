//! What padding and the number of threads must not change.

use batchlab_core::graphs::{
    Edges, GraphSize, Graphs, Level, ManyGraphs, NodeClass, Target, Topology,
};
use batchlab_core::model::{Loss, LossSum, Mode, NamedTensor, Slot, TrainerState};
use batchlab_core::plan::{BatchPlan, Shape};
use batchlab_core::{BatchBuffer, Model, ModelContext, PaddedBatch, Trainer, collate, random};
use model_schnet::Schnet;

const N_CLASS: usize = 5;

/// Four molecules, with as much padding as told.
fn collated(n_padding_node: u32, n_padding_edge: u32) -> BatchBuffer {
    let n_node = [9_u32, 5, 17, 12];
    let total = n_node.iter().sum::<u32>() as usize;
    let mut rng = random::stream(1, "positions", 0);
    let mut draw = |n| random::below(&mut rng, n) as u32;
    let many = ManyGraphs::new(&n_node, Edges::FullyConnected).expect("sizes");
    let mut graphs = Graphs::new("molecules", Topology::Many(many)).expect("not empty");
    let name = (0..N_CLASS).map(|k| k.to_string()).collect();
    let value = (0..total).map(|_| draw(N_CLASS as u64)).collect();
    graphs.node_class = Some(NodeClass { value, name });
    let mut position = || draw(1000) as f32 * 6e-3;
    graphs.position = Some((0..total).map(|_| [position(), position(), position()]).collect());
    graphs.target = Some(Target::regression("U0", "eV", vec![1.0, -0.5, 0.3, 2.0]));
    let mut plan = BatchPlan::default();
    plan.clear(Level::Graphs);
    for (id, &n) in (0..).zip(&n_node) {
        plan.push_graph(GraphSize { id, n_node: n, n_edge: n * (n - 1) });
    }
    plan.shape = Shape {
        n_node: plan.real.n_node + n_padding_node,
        n_edge: plan.real.n_edge + n_padding_edge,
        n_graph: plan.real.n_graph + n_padding_node.min(1),
        n_output: plan.real.n_output + n_padding_node.min(1),
    };
    let mut buffer = BatchBuffer::new();
    collate(&graphs, &plan, Schnet::default().needs(), &mut buffer).expect("the plan fits");
    buffer
}

fn trainer() -> Box<dyn Trainer> {
    let ctx = ModelContext {
        device: "cpu".into(),
        seed: 42,
        n_node_class: N_CLASS,
        node_feature_width: 0,
        output_width: 1,
        loss: Loss::Mse,
    };
    Schnet::default().open(&ctx).expect("the processor is always there")
}

/// First gradients, and the state after ten steps.
fn train(batch: &PaddedBatch<'_>) -> (LossSum, Vec<NamedTensor>, TrainerState) {
    let mut trainer = trainer();
    let mut first = None;
    for _ in 0..10 {
        trainer.upload(Slot::A, batch).expect("a complete batch");
        let loss = trainer.forward(Slot::A, Mode::Training, 0).expect("forward");
        trainer.backward(1.0).expect("backward");
        first.get_or_insert_with(|| (loss, trainer.gradients().expect("the device works")));
        trainer.update(1e-3).expect("update");
    }
    let (loss, gradients) = first.expect("ten steps");
    (loss, gradients, trainer.state().expect("the device works"))
}

/// Each tensor within `tolerance` of the largest number in it.
fn near(a: &[NamedTensor], b: &[NamedTensor], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        let largest = a.data.iter().fold(1e-6_f32, |m, v| m.max(v.abs()));
        let difference = a.data.iter().zip(&b.data).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(difference <= tolerance * largest, "{}: {difference} of {largest}", a.name);
    }
}

#[test]
fn nan_in_the_padding_changes_no_bit_of_predictions_and_loss() {
    let buffer = collated(10, 3000);
    let clean = buffer.batch();
    let mut distance = clean.distance.to_vec();
    distance[clean.real.n_edge as usize..].fill(f32::NAN);
    let mut target = clean.output_target.to_vec();
    target[clean.real.n_output as usize..].fill(f32::NAN);
    let poisoned = PaddedBatch { distance: &distance, output_target: &target, ..clean };
    let run = |batch: &PaddedBatch<'_>| {
        let mut trainer = trainer();
        trainer.upload(Slot::A, batch).expect("a complete batch");
        let loss = trainer.forward(Slot::A, Mode::Training, 0).expect("forward");
        let mut prediction = Vec::new();
        trainer.predict(Slot::A, &mut prediction).expect("predict");
        (loss.loss_sum.to_bits(), prediction)
    };
    let (clean, mut poisoned) = (run(&clean), run(&poisoned));
    let padding = poisoned.1.pop().expect("a padding graph");
    assert!(padding.is_nan(), "the padding was not computed: {padding}");
    assert_eq!(clean.1[..4], poisoned.1);
    assert_eq!(clean.0, poisoned.0);
}

#[test]
fn garbage_in_the_padding_changes_neither_gradients_nor_training() {
    let buffer = collated(10, 3000);
    let clean = buffer.batch();
    let mut distance = clean.distance.to_vec();
    for (k, d) in distance[clean.real.n_edge as usize..].iter_mut().enumerate() {
        *d = (k % 301) as f32 * 0.1;
    }
    let mut class = clean.node_class.to_vec();
    for (k, class) in class[clean.real.n_node as usize..].iter_mut().enumerate() {
        *class = (k % N_CLASS) as u32;
    }
    let poisoned = PaddedBatch { distance: &distance, node_class: &class, ..clean };
    let (clean, poisoned) = (train(&clean), train(&poisoned));
    near(&clean.1, &poisoned.1, 1e-6);
    near(&clean.2.tensors, &poisoned.2.tensors, 1e-6);
}

#[test]
fn the_amount_of_padding_does_not_change_the_result() {
    let (exact, padded) = (train(&collated(0, 0).batch()), train(&collated(70, 5000).batch()));
    assert!((exact.0.mean() - padded.0.mean()).abs() < 1e-6 * exact.0.mean());
    // Sums over rows are cut elsewhere, so the last bits differ.
    near(&exact.1, &padded.1, 1e-5);
}

#[test]
fn results_are_equal_to_the_last_bit_for_any_number_of_threads() {
    let run = |n_thread: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_thread).build().expect("a pool");
        pool.install(|| train(&collated(10, 3000).batch()))
    };
    let one = run(1);
    assert!(run(2) == one, "two threads differ from one");
    assert!(run(3) == one, "three threads differ from one");
}
