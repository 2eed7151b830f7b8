//! Values of an independent implementation on a tiny graph.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use batchlab_testkit::golden_nodes::NodeGolden;

use crate::counts::Counts;

#[test]
fn counts_and_weights_are_those_of_the_golden_file() {
    let tiny = NodeGolden::open().tiny;
    let graph = tiny.graph();
    let golden = &tiny.saint;
    let mut counts = Counts::new(&graph);
    for nodes in &golden.samples {
        counts.add(&graph, nodes);
    }
    assert_eq!(
        (counts.of_nodes(), counts.of_edges()),
        (&golden.node_count[..], &golden.edge_count[..])
    );
    let near = |got: f64, expected: f64| (got - expected).abs() <= 1e-6 * expected.abs();
    let nodes = counts.node_weights();
    assert!(nodes.iter().zip(&golden.node_norm).all(|(&got, &norm)| near(f64::from(got), norm)));
    let edges: Vec<f64> = counts.edge_factors(&graph).collect();
    assert!(edges.iter().zip(&golden.edge_norm).all(|(&got, &norm)| near(got, norm)));

    // The batch: weights of its outputs up to a common factor, and of its edges.
    let batch = &golden.batch;
    let total: f64 = batch.output.iter().map(|&node| f64::from(nodes[node as usize])).sum();
    for (&output, &expected) in batch.output.iter().zip(&batch.loss_weight) {
        assert!(near(f64::from(nodes[output as usize]) / total, expected));
    }
    let weights = counts.edge_weights(&graph);
    for ((&sender, &receiver), &expected) in
        batch.sender.iter().zip(&batch.receiver).zip(&batch.edge_weight)
    {
        let [sender, receiver] = [sender, receiver].map(|row| batch.node[row as usize]);
        let mut incoming = graph.incoming(receiver);
        let edge = incoming.find(|&edge| graph.sender[edge] == sender).unwrap();
        assert!(near(f64::from(weights[edge]), expected));
    }
}
