//! Classes of the nodes of one graph: predictions are rows of nodes, and some of these are outputs.

use std::sync::Arc;

use batchlab_core::graphs::{Graphs, Level, NodeFeature, OneGraph, Target, Topology};
use batchlab_core::model::{Loss, Mode, ModelContext, Slot};
use batchlab_core::plan::{BatchPlan, EdgeSelection, Shape};
use batchlab_core::{BatchBuffer, BatchFields, ModelError, Trainer, collate};
use batchlab_tensor::{
    Activation, Backend, DeviceBatch, Linear, Matrix, Network, ParameterBuilder, Pass, open,
};

const N_NODE: usize = 60;
const WIDTH: usize = 4;

struct Neighbours {
    own: Linear,
    others: Linear,
    output: Linear,
}

impl Network for Neighbours {
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let x = batch.node_feature()?;
        let sent = pass.gather(x, batch.sender()?)?;
        let received = pass.segment_mean(&sent, batch.receiver())?;
        assert!(!received.is_tracked(), "nothing here depends on a parameter");
        let own = self.own.forward(pass, x)?;
        let others = self.others.forward(pass, &received)?;
        let hidden = pass.add(&own, &others)?;
        let hidden = pass.activate(&hidden, Activation::Relu)?;
        assert_eq!(hidden.is_tracked(), pass.is_recording());
        self.output.forward(pass, &hidden)
    }
}

fn needs() -> BatchFields {
    BatchFields { node_feature: true, sender_order: true, ..BatchFields::default() }
}

fn trainer() -> Box<dyn Trainer> {
    let ctx = ModelContext {
        device: std::env::var("BATCHLAB_TEST_DEVICE").unwrap_or_else(|_| "cpu".into()),
        seed: 3,
        node_feature_width: WIDTH,
        output_width: 2,
        loss: Loss::CrossEntropy,
        ..ModelContext::default()
    };
    let build = |p: &mut ParameterBuilder| Neighbours {
        own: Linear::new(p, "own", WIDTH, 16, Activation::Identity).with_bias(p),
        others: Linear::new(p, "others", WIDTH, 16, Activation::Identity),
        output: Linear::new(p, "output", 16, 2, Activation::Identity).with_bias(p),
    };
    open(&ctx, needs(), build).expect("the device that the tests run on is there")
}

/// A ring whose nodes belong to class 1 if their left neighbour's first feature is positive; every
/// fourth node is unlabelled. Forty nodes are members, and the labelled ones are outputs.
fn collated() -> BatchBuffer {
    let sender = (0..N_NODE).flat_map(|i| {
        let mut ends = [(i + 1) % N_NODE, (i + N_NODE - 1) % N_NODE];
        ends.sort_unstable();
        ends.map(|end| end as u32)
    });
    let ring = OneGraph {
        offset: (0..=N_NODE).map(|i| 2 * i).collect(),
        sender: sender.collect(),
        edge_weight: Vec::new(),
    };
    let mut graphs = Graphs::new("ring", Topology::One(Arc::new(ring))).expect("not empty");
    let value: Vec<f32> = (0..N_NODE * WIDTH).map(|i| (i * i % 23) as f32 / 11.0 - 1.0).collect();
    let class = |i: usize| match (i % 4, value[(i + N_NODE - 1) % N_NODE * WIDTH] > 0.0) {
        (3, _) => -1.0,
        (_, positive) => f64::from(u8::from(positive)),
    };
    let classes = vec!["no".to_owned(), "yes".to_owned()];
    graphs.target = Some(Target::classes("left", classes, (0..N_NODE).map(class).collect()));
    graphs.node_feature = Some(NodeFeature::Dense { value, width: WIDTH });

    let mut plan = BatchPlan::default();
    plan.clear(Level::Nodes);
    plan.members = (0..40).collect();
    plan.output_row = (0..40).filter(|row| row % 4 != 3).collect();
    plan.edges = EdgeSelection::Induced;
    plan.shape = Shape { n_node: 48, n_edge: 128, n_graph: 2, n_output: 32 };
    let mut buffer = BatchBuffer::new();
    collate(&graphs, &plan, &needs(), &mut buffer).expect("the plan fits");
    buffer
}

#[test]
fn a_network_learns_the_classes_of_nodes() {
    let (buffer, mut trainer) = (collated(), trainer());
    let mut losses = Vec::new();
    for _ in 0..300 {
        trainer.upload(Slot::A, &buffer.batch()).expect("a complete batch");
        let loss = trainer.forward(Slot::A, Mode::Training, 0).expect("forward");
        trainer.backward(1.0).expect("backward");
        trainer.update(1e-2).expect("update");
        losses.push(loss.mean());
    }
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    assert!(last < 0.2 * first, "the loss went from {first} to {last}");

    let mut prediction = Vec::new();
    trainer.predict(Slot::A, &mut prediction).expect("predict");
    assert_eq!(prediction.len(), 2 * 32);
    let target = buffer.batch().output_target;
    let right = |(logits, &class): (&[f32], &f32)| (logits[1] > logits[0]) == (class > 0.5);
    let n_right = prediction.chunks_exact(2).zip(&target[..30]).filter(|&o| right(o)).count();
    assert!(n_right >= 28, "{n_right} of 30 nodes are right");
}

#[test]
fn evaluation_gives_the_same_loss_and_records_nothing() {
    let (buffer, mut trainer) = (collated(), trainer());
    trainer.upload(Slot::A, &buffer.batch()).expect("a complete batch");
    let evaluated = trainer.forward(Slot::A, Mode::Evaluation, 0).expect("forward");
    assert!(trainer.backward(1.0).is_err());
    assert_eq!(trainer.forward(Slot::A, Mode::Training, 0).expect("forward"), evaluated);
    // A batch evaluated in between does not affect the gradients.
    trainer.forward(Slot::A, Mode::Evaluation, 0).expect("forward");
    trainer.backward(1.0).expect("backward");
    trainer.update(1e-3).expect("update");
}
