//! Two nodes: the smallest graph that shows the effect of an edge on a prediction.

use batchlab_core::graphs::{
    Edges, GraphSize, Graphs, Level, ManyGraphs, NodeClass, StoredEdges, Topology,
};
use batchlab_core::model::Slot;
use batchlab_core::{BatchBuffer, BatchPlan, Model, collate};

/// Prediction of a fresh model for nodes 0 and 1, of classes 0 and 1, at a distance of `distance`
/// angstrom; `edges` are pairs of sender and receiver.
#[must_use]
pub fn predict(model: &dyn Model, edges: &[[u32; 2]], distance: f32) -> f32 {
    let position = [[0.0; 3], [2.0 / 7.0, -3.0 / 7.0, 6.0 / 7.0].map(|part| part * distance)];
    let displacement = |[sender, receiver]: &[u32; 2]| {
        let [from, to] = [sender, receiver].map(|&node| position[node as usize]);
        [to[0] - from[0], to[1] - from[1], to[2] - from[2]]
    };
    let n_edge = edges.len() as u32;
    let stored = StoredEdges::new(
        &[n_edge],
        &edges.iter().map(|edge| edge[0]).collect::<Vec<_>>(),
        &edges.iter().map(|edge| edge[1]).collect::<Vec<_>>(),
        &vec![distance; edges.len()],
        &edges.iter().map(displacement).collect::<Vec<_>>(),
    )
    .expect("edges between two nodes");
    let many = ManyGraphs::new(&[2], Edges::Stored(stored)).expect("two nodes");
    let mut graphs = Graphs::new("two nodes", Topology::Many(many)).expect("one graph");
    let name = vec!["first".into(), "second".into()];
    graphs.node_class = Some(NodeClass { value: vec![0, 1], name });

    let mut plan = BatchPlan::default();
    plan.clear(Level::Graphs);
    plan.push_graph(GraphSize { id: 0, n_node: 2, n_edge });
    plan.shape = plan.real;
    let mut buffer = BatchBuffer::new();
    collate(&graphs, &plan, &model.needs(), &mut buffer).expect("the plan fits");

    let mut trainer = model.open(&crate::device::context(2)).expect("the model opens");
    trainer.upload(Slot::A, &buffer.batch()).expect("a complete batch");
    let mut prediction = Vec::new();
    trainer.predict(Slot::A, &mut prediction).expect("it predicts");
    prediction[0]
}
