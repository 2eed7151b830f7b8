//! Sizes that overflow are errors, with and without the compiler's overflow checks.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::sync::Arc;

use batchlab_core::budget::{Estimate, Footprint, Limits};
use batchlab_core::graphs::{Edges, ManyGraphs, NodeFeature, Topology};
use batchlab_core::grouping::{GroupOptions, open_groups};
use batchlab_core::next_fit::NextFit;
use batchlab_core::padding::BatchSize;
use batchlab_core::registry::from_toml;
use batchlab_core::{
    BatchBuffer, BatchContext, BatchFields, BatchPlan, GraphSize, Graphs, Level, Padding, Purpose,
    Shape, View, collate,
};

#[derive(serde::Deserialize)]
struct Options {
    padding: Padding,
}

/// The first batch of one graph with these sizes, with one graph per batch.
fn first_batch(n_node: u32, n_edge: u32, padding: &str) -> Result<Shape, String> {
    let graphs: Arc<[GraphSize]> = Arc::new([GraphSize { id: 7, n_node, n_edge }]);
    let Options { padding } = from_toml(&format!("padding = {padding}"));
    let grouping = NextFit::new(Limits::new(None, None, None, padding));
    let options = GroupOptions::new(BatchSize::try_from(2).unwrap(), padding);
    let ctx = BatchContext::new(Purpose::Evaluation, 0);
    let mut stream = open_groups(View::ManyGraphs(graphs), ctx, grouping, options).unwrap();
    let mut plan = BatchPlan::default();
    stream.next(&mut plan).map(|_| plan.shape).map_err(|error| error.to_string())
}

#[test]
fn a_shape_that_32_bits_cannot_count_is_refused() {
    let all = ["\"none\"", "\"constant\"", "{ multiple = 64 }", "{ power = 2 }", "{ shapes = 2 }"];
    for padding in all {
        for (n_node, n_edge) in [(u32::MAX, 3), (3, u32::MAX)] {
            let error = first_batch(n_node, n_edge, padding).unwrap_err();
            assert!(error.starts_with("1 graphs, the first of them graph 7, have more"), "{error}");
        }
    }
    // Fits without padding, but not with it.
    assert_eq!(first_batch(3, u32::MAX - 5, "\"none\"").unwrap().n_edge, u32::MAX - 5);
    assert!(first_batch(3, u32::MAX - 5, "{ multiple = 64 }").is_err());
    assert_eq!(first_batch(3, u32::MAX - 70, "{ multiple = 64 }").unwrap().n_edge, u32::MAX - 63);
}

#[test]
fn a_batch_larger_than_memory_is_refused() {
    let many = ManyGraphs::new(&[2, 3], Edges::FullyConnected).unwrap();
    let mut graphs = Graphs::new("test", Topology::Many(many)).unwrap();
    // The product with the number of nodes in the batch is 2 modulo 2^64.
    let width = usize::MAX / 5 + 1;
    graphs.node_feature = Some(NodeFeature::Dense { value: vec![0.0; 4], width });
    assert!(graphs.check().unwrap_err().to_string().contains("4 node features, expected 5 times"));
    let mut plan = BatchPlan { level: Level::Graphs, members: vec![0, 1], ..BatchPlan::default() };
    plan.shape = Shape { n_node: 5, n_edge: 8, n_graph: 2, n_output: 2 };
    let needs = BatchFields { node_feature: true, ..BatchFields::default() };
    let error = collate(&graphs, &plan, &needs, &mut BatchBuffer::new()).unwrap_err().to_string();
    assert!(error.contains("larger than memory can be"), "{error}");
}

#[test]
fn estimates_of_bytes_saturate() {
    let needs = BatchFields { node_feature: true, ..BatchFields::default() };
    let footprint = Footprint::of_batch(&needs, 1 << 50);
    let shape = Shape { n_node: u32::MAX, ..Shape::default() };
    assert_eq!(footprint.n_byte(shape), u64::MAX);
    let sizes = [1 << 63; 4];
    for rule in ["\"mean\"", "\"median\"", "{ quantile = 0.9 }"] {
        let estimate: Estimate = from_toml(&format!("rule = {rule}"));
        assert!(estimate.limit(&sizes, BatchSize::try_from(4).unwrap(), 0) > 1.8e19, "{rule}");
    }
}
