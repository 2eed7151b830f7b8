//! Sizes of the batches on Cora, whose training set has 140 of 2,708 nodes.

use batcher_random_nodes::RandomNodes;
use batchlab_core::{Dataset, LoadContext};
use batchlab_testkit::nodes::{self, Case};
use dataset_one_graph::OneGraphFile;

#[test]
fn two_hops_around_28_papers_are_a_quarter_of_cora() {
    let graphs = OneGraphFile::default().load(&LoadContext::new()).unwrap();
    let output = graphs.split.as_ref().unwrap().train.clone();
    let case = Case { graphs, output };
    for (n_hop, composition, sizes) in
        [(1, "every-epoch", [148, 424]), (2, "every-epoch", [726, 2841]), (2, "fixed", [709, 2792])]
    {
        let options = format!(
            "n_output = 32\nn_hop = {n_hop}\ncomposition = \"{composition}\"\npadding = \"constant\""
        );
        let batcher: RandomNodes = toml::from_str(&options).unwrap();
        nodes::check(&batcher, &case, true);
        let plans = nodes::train(&batcher, &case, 3);
        for plan in &plans {
            nodes::check_hops(&case, plan, n_hop);
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
