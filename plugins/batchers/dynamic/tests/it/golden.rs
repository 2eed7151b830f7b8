//! jraph's `dynamically_batch` under the study's budget, batch by batch.

use batcher_dynamic::Dynamic;
use batchlab_core::{BatchContext, Batcher, Purpose};
use batchlab_testkit::{batcher, golden};

#[test]
fn golden_batches_of_jraph() {
    let mut n_batch = 0;
    for data in golden::DATA {
        let golden = golden::BatcherGolden::open(data);
        let view = batcher::view(&golden.sizes);
        for (_, batch_size, expected) in golden.of("dynamic") {
            let config = format!("batch_size = {batch_size}");
            let dynamic: Dynamic = toml::from_str(&config).unwrap();
            let stream =
                dynamic.open(view.clone(), BatchContext::new(Purpose::Evaluation, 1)).unwrap();
            let budget: Vec<f64> = stream.metrics().into_iter().map(|(_, value)| value).collect();
            assert_eq!(budget, [f64::from(expected.budget[0]), f64::from(expected.budget[1])]);

            let mut got = Vec::new();
            for plan in batcher::evaluate(&dynamic, &view) {
                let (real, shape) = (plan.real, plan.shape);
                let first = (plan.members[0] - batcher::identifier(0)) / 3;
                let sizes = [real.n_graph, real.n_node, real.n_edge];
                let padded = [shape.n_node, shape.n_edge, shape.n_graph];
                got.push([first, sizes[0], sizes[1], sizes[2], padded[0], padded[1], padded[2]]);
            }
            assert_eq!(got, expected.batches, "{data} B={batch_size}");
            n_batch += got.len();
        }
    }
    println!("{n_batch} batches equal the reference's");
}
