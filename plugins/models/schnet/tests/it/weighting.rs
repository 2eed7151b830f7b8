//! The contract of gradient weighting, tested with a real model.

use batchlab_core::graphs::{Edges, Graphs, ManyGraphs, NodeClass, Target, Topology};
use batchlab_core::model::{Mode, ModelContext, Slot};
use batchlab_core::weighting::Weighting;
use batchlab_core::{BatchBuffer, BatchPlan, GraphSize, Level, Model, Trainer, collate};
use batchlab_testkit::device::context;
use model_schnet::Schnet;

/// Sixty complete graphs of 3 to 14 nodes.
fn graphs() -> Graphs {
    let n_node: Vec<u32> = (0..60).map(|i| 3 + i * 5 % 12).collect();
    let many = ManyGraphs::new(&n_node, Edges::FullyConnected).expect("sizes fit");
    let mut graphs = Graphs::new("cliques", Topology::Many(many)).expect("there are graphs");
    let total: u32 = n_node.iter().sum();
    let place = |node: u32| [node as f32 * 0.7 % 3.0, node as f32 * 0.3 % 2.0, node as f32 % 1.7];
    graphs.position = Some((0..total).map(place).collect());
    graphs.node_class = Some(NodeClass {
        value: (0..total).map(|node| node % 3).collect(),
        name: vec![String::new(); 3],
    });
    let value = n_node.iter().map(|&n| f64::from(n) - 8.0).collect();
    graphs.target = Some(Target::regression("y", "eV", value));
    graphs
}

fn trainer() -> Box<dyn Trainer> {
    let ctx = ModelContext { seed: 1, ..context(3) };
    let model: Schnet =
        toml::from_str("latent_size = 16\nn_interaction = 1").expect("a right table");
    model.open(&ctx).expect("the model opens")
}

/// The gradient summed over the batches of an epoch with these numbers of graphs.
fn epoch_gradient(weighting: Weighting, n_graph: &[usize]) -> Vec<f64> {
    let graphs = graphs();
    let Topology::Many(many) = &graphs.topology else { unreachable!("these are many graphs") };
    let needs = Schnet::default().needs();
    let mut trainer = trainer();
    let (mut plan, mut buffer) = (BatchPlan::default(), BatchBuffer::new());
    let mut ids = 0..60;
    let members: Vec<u32> = (0..60).collect();
    for &n in n_graph {
        plan.clear(Level::Graphs);
        for id in ids.by_ref().take(n) {
            plan.push_graph(GraphSize { id, ..many.size(id as usize) });
        }
        plan.shape = plan.real;
        weighting.weigh(&graphs, &mut plan);
        collate(&graphs, &plan, &needs, &mut buffer).expect("the plan is right");
        trainer.upload(Slot::A, &buffer.batch()).expect("the batch fits");
        let loss = trainer.forward(Slot::A, Mode::Training, 0).expect("forward");
        let constant = weighting.constant(&graphs, &members, 10.0);
        trainer.backward(weighting.scale(loss.weight_sum, constant)).expect("backward");
    }
    assert!(ids.next().is_none(), "the batches hold all graphs");
    // Without an update in between, gradients accumulate.
    let gradient = trainer.gradients().expect("the device works");
    gradient.iter().flat_map(|tensor| &tensor.data).map(|&value| f64::from(value)).collect()
}

/// Distance of two gradients, relative to their length.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    length(&mut a.iter().zip(b).map(|(a, b)| a - b)) / length(&mut a.iter().copied())
}

/// Three ways to split sixty graphs into batches.
const PARTITIONS: [&[usize]; 3] = [&[10; 6], &[60], &[1, 2, 30, 7, 20]];

fn largest_difference(weighting: Weighting) -> f64 {
    let [a, b, c] = PARTITIONS.map(|partition| epoch_gradient(weighting, partition));
    difference(&a, &b).max(difference(&a, &c))
}

#[test]
fn per_graph_gives_the_same_epoch_gradient_for_every_partition() {
    assert!(largest_difference(Weighting::PerGraph) < 1e-5);
}

#[test]
fn per_node_gives_the_same_epoch_gradient_for_every_partition() {
    assert!(largest_difference(Weighting::PerNode) < 1e-5);
}

#[test]
fn per_batch_mean_depends_on_the_partition() {
    assert!(largest_difference(Weighting::PerBatchMean) > 0.1);
}

#[test]
fn equal_batches_are_weighted_alike() {
    let [mean, graph] = [Weighting::PerBatchMean, Weighting::PerGraph]
        .map(|weighting| epoch_gradient(weighting, &[10; 6]));
    assert!(difference(&mean, &graph) < 1e-6);
}
