//! The study's program, batch by batch.

use batcher_static::Static;
use batchlab_core::{BatchPlan, Batcher};
use batchlab_testkit::{batcher, golden};

fn open(algorithm: &str, batch_size: u32) -> Box<dyn Batcher> {
    let padding = match algorithm {
        "static-64" => "{ multiple = 64 }",
        "static-2^N" => "{ power = 2 }",
        "static-constant" => "\"constant\"",
        other => panic!("unknown algorithm {other}"),
    };
    let batcher: Static = toml::from_str(&format!(
        "batch_size = {batch_size}\npadding = {padding}\ncompat_drop_overflow = true"
    ))
    .expect("a valid configuration");
    Box::new(batcher)
}

fn row(plan: &BatchPlan) -> [u32; 7] {
    let (real, shape) = (plan.real, plan.shape);
    let first = (plan.members[0] - batcher::identifier(0)) / 3;
    [first, real.n_graph, real.n_node, real.n_edge, shape.n_node, shape.n_edge, shape.n_graph]
}

#[test]
fn golden_batches_of_the_study() {
    let mut n_batch = 0;
    for data in golden::DATA {
        let golden = golden::BatcherGolden::open(data);
        let view = batcher::view(&golden.sizes);
        for (algorithm, batch_size, expected) in golden.of("static") {
            let plans = batcher::evaluate(&*open(algorithm, batch_size), &view);
            let got: Vec<[u32; 7]> = plans.iter().map(row).collect();
            assert_eq!(got, expected.batches, "{data} {algorithm} B={batch_size}");
            n_batch += got.len();
        }
    }
    println!("{n_batch} batches equal the reference's");
}
