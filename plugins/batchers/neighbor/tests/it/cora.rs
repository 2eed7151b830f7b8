//! Sizes of the batches on Cora, whose training set has 140 of 2,708 nodes.

use batcher_neighbor::Neighbor;
use batchlab_core::{Dataset, LoadContext};
use batchlab_testkit::nodes::{self, Case};
use dataset_one_graph::OneGraphFile;

#[test]
fn sampled_neighbours_are_few() {
    let graphs = OneGraphFile::default().load(&LoadContext::new()).unwrap();
    let output = graphs.split.as_ref().unwrap().train.clone();
    let case = Case { graphs, output };
    for (weight, composition, sizes) in
        [("full-graph", "every-epoch", [296, 446]), ("importance", "fixed", [297, 446])]
    {
        let options = format!(
            "n_output = 32\nfan_out = [5, 5]\nweight = \"{weight}\"\ncomposition = \"{composition}\"\npadding = \"constant\""
        );
        let batcher: Neighbor = toml::from_str(&options).unwrap();
        nodes::check(&batcher, &case, true);
        let plans = nodes::train(&batcher, &case, 3);
        for plan in &plans {
            nodes::check_fan_out(&case, plan, &[5, 5], weight == "importance");
        }
        let mean = |of: fn(&batchlab_core::Shape) -> u32| {
            f64::from(plans.iter().map(|plan| of(&plan.real)).sum::<u32>()) / plans.len() as f64
        };
        let n_batch = plans.iter().filter(|plan| plan.cursor.epoch == 0).count();
        assert_eq!(n_batch, 5, "140 outputs, at most 32 in a batch");
        let got = [mean(|s| s.n_node), mean(|s| s.n_edge)].map(|mean| mean.round() as i64);
        assert_eq!(got, sizes, "mean nodes and edges of 15 batches");
    }
}
