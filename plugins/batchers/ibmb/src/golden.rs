//! Values of an independent implementation on Cora.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]
#![allow(clippy::cast_sign_loss, reason = "classes and counts are not negative")]

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use batchlab_core::batch_order::{BatchOrder, Distances, OrderDistance};
use batchlab_core::graphs::OneGraphView;
use batchlab_core::{BatchContext, BatchPlan, Dataset, Graphs, LoadContext, Purpose, View};
use batchlab_ppr::{Operator, Power, Push, Walk};
use batchlab_testkit::golden_nodes::{NodeGolden, NodeWise as Golden};
use batchlab_testkit::nodes::{self, Case};
use dataset_one_graph::OneGraphFile;

use crate::batch_wise::BatchWise;
use crate::merge::{Clusters, Limit};
use crate::node_wise::{Near, evened};
use crate::{Ibmb, Outputs};

fn cora() -> Graphs {
    let options = OneGraphFile { self_loops: true, ..OneGraphFile::default() };
    options.load(&LoadContext::new()).unwrap()
}

/// Training outputs, or all nodes, according to the name of a golden entry; in descending order,
/// because the order must not matter.
fn outputs(name: &str, golden: &NodeGolden) -> Vec<u32> {
    let nodes =
        if name.starts_with("train") { golden.split.train.clone() } else { (0..2708).collect() };
    nodes.into_iter().rev().collect()
}

fn view(graphs: &Graphs, outputs: &[u32]) -> OneGraphView {
    let View::OneGraph(view) = graphs.view(outputs) else { panic!("one graph") };
    view
}

fn ctx() -> BatchContext {
    BatchContext::new(Purpose::Training, 7)
}

fn ibmb(outputs: Outputs, golden: &Golden, order: BatchOrder) -> Ibmb {
    let per_batch = golden.outputs_per_batch;
    let text = match outputs {
        Outputs::NodeWise => format!("outputs = \"node-wise\"\noutputs_per_batch = {per_batch}"),
        _ => format!("outputs = \"random-fixed\"\noutputs_per_batch = {per_batch}"),
    };
    Ibmb { order, ..toml::from_str(&text).unwrap() }
}

#[test]
fn node_wise_batches_are_those_of_the_golden_file() {
    let all = NodeGolden::open();
    let graphs = cora();
    for (name, golden) in &all.node_wise {
        let output = outputs(name, &all);
        let view = view(&graphs, &output);
        let near = Near {
            push: Push { teleport: 0.25, epsilon: 2e-4, walk: Walk::Plain },
            k: golden.aux_per_output,
        };
        let influence = near.influence(&view, &ctx()).unwrap();
        assert_eq!(influence.pair.len(), golden.n_pair, "{name}");
        let mut ascending = output.clone();
        ascending.sort_unstable();
        for (pair, &(row, column, weight)) in influence.pair.iter().zip(&golden.first_pairs) {
            let ids = [pair.row, pair.column].map(|place| ascending[place as usize]);
            assert_eq!(ids, [row, column], "{name}");
            assert!((pair.weight - weight).abs() < 1e-15, "{name}");
        }
        let most = evened(golden.n_output, NonZeroU32::new(golden.outputs_per_batch).unwrap());
        assert_eq!(most, golden.evened, "{name}");
        let clusters =
            Clusters::greedy(golden.n_output, &influence.pair, Limit::Outputs(most)).sorted();
        let mut sizes: Vec<usize> = clusters.iter().map(Vec::len).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!((clusters.len(), &sizes), (golden.n_after_greedy, &golden.sizes_after_greedy));
        if !golden.greedy.is_empty() {
            let node = |place: &u32| ascending[*place as usize];
            let found: BTreeSet<Vec<u32>> =
                clusters.iter().map(|cluster| cluster.iter().map(node).collect()).collect();
            assert_eq!(found, golden.greedy.iter().cloned().collect(), "{name}");
        }

        let case = Case { graphs: graphs.clone(), output };
        let plans = nodes::evaluate(&ibmb(Outputs::NodeWise, golden, BatchOrder::Random), &case);
        assert_eq!(plans.len(), golden.batches.len(), "{name}");
        for (plan, batch) in plans.iter().zip(&golden.batches) {
            assert_eq!(nodes::outputs(plan), batch.output, "{name}");
            assert_eq!(
                (&plan.members, plan.real.n_edge),
                (&batch.auxiliary, batch.n_edge),
                "{name}"
            );
        }
        let volume: u32 = plans.iter().map(|plan| plan.real.n_node).sum();
        let volume = f64::from(volume) / golden.n_output as f64;
        assert!((volume - golden.volume).abs() < 1e-12, "{name}: {volume}");
        // The purpose of merging.
        let random =
            nodes::train(&ibmb(Outputs::RandomFixed, golden, BatchOrder::Random), &case, 1);
        let random: u32 = random.iter().map(|plan| plan.real.n_node).sum();
        assert!(f64::from(random) > 1.1 * volume * golden.n_output as f64, "{name}: {random}");
    }
}

#[test]
fn batch_wise_batches_are_those_of_the_golden_file() {
    let all = NodeGolden::open();
    let graphs = cora();
    let golden = &all.batch_wise;
    let view = view(&graphs, &outputs("train", &all));
    for run in &golden.runs {
        let operator =
            if run.operator == "reference" { Operator::Reference } else { Operator::Standard };
        let batch_wise = BatchWise {
            n_part: golden.n_part,
            expand_ratio: run.expand_ratio,
            power: Power { teleport: golden.alpha, n_iteration: golden.iterations, operator },
            output_weight: 1,
            seed: 42,
        };
        assert_eq!(batch_wise.n_node(view.graph.n_node()), run.top_k);
        let batches = batch_wise.of_parts(&view, &golden.partition, &ctx()).unwrap();
        assert_eq!(batches.group.len(), run.parts.len());
        for (index, part) in run.parts.iter().enumerate() {
            assert_eq!(batches.group[index], part.output);
            let without_ties = |nodes: &[u32]| -> BTreeSet<u32> {
                nodes.iter().copied().filter(|node| !part.tie.contains(node)).collect()
            };
            let (got, expected) = (&batches.auxiliary[index], &part.auxiliary);
            assert_eq!(got.len(), expected.len(), "part {}", part.part);
            assert_eq!(without_ties(got), without_ties(expected), "part {}", part.part);
        }
    }
}

/// Histograms of the golden batches, the distances between them, the probabilities of the next
/// batch, and the longest tours.
#[test]
fn orders_are_those_of_the_golden_file() {
    let all = NodeGolden::open();
    let graphs = cora();
    let class = &graphs.target.as_ref().unwrap().value;
    for (name, golden) in &all.schedule {
        let node_wise = &all.node_wise[name];
        let counts: Vec<Vec<u32>> = node_wise
            .batches
            .iter()
            .map(|batch| {
                let mut count = vec![0; 7];
                for &output in &batch.output {
                    count[class[output as usize] as usize] += 1;
                }
                count
            })
            .collect();
        let as_counts =
            |histogram: &Vec<f64>| -> Vec<u32> { histogram.iter().map(|&n| n as u32).collect() };
        assert_eq!(counts, golden.histogram.iter().map(as_counts).collect::<Vec<_>>());
        for (by, expected, tour) in [
            (OrderDistance::Kl, &golden.kl, &golden.kl_longest_tour),
            (OrderDistance::L1, &golden.l1, &golden.l1_longest_tour),
        ] {
            let distances = Distances::new(&counts, by);
            for (a, row) in (0..).zip(expected) {
                for (b, &expected) in (0..).zip(row) {
                    let got = distances.between(a, b);
                    assert!((got - expected).abs() < 1e-13, "{name}: {got} instead of {expected}");
                }
            }
            assert!((distances.length(&tour.order) - tour.cost).abs() < 1e-11, "{name}");
            for seed in 0..3 {
                let found = distances.longest_tour(seed);
                let length = distances.length(&found);
                assert!(
                    (length - tour.cost).abs() < 1e-11,
                    "{name}, {by:?}: {length}, not {}",
                    tour.cost
                );
            }
        }
        let distances = Distances::new(&counts, OrderDistance::Kl);
        for sample in &golden.sample {
            let left: Vec<u32> =
                (0..counts.len() as u32).filter(|batch| !sample.used.contains(batch)).collect();
            let got = distances.probabilities(sample.last, &left);
            for (&batch, got) in left.iter().zip(got) {
                let expected = sample.probability[batch as usize];
                assert!((got - expected).abs() < 1e-14, "{name}: {got} instead of {expected}");
            }
        }
        // The stream follows the tour.
        let case = Case { graphs: graphs.clone(), output: outputs(name, &all) };
        let plans = nodes::train(&ibmb(Outputs::NodeWise, node_wise, BatchOrder::Tour), &case, 2);
        let keys = |plans: &[BatchPlan]| -> Vec<u32> {
            plans.iter().map(|plan| plan.cache_key.unwrap() as u32).collect()
        };
        let (first, second) = plans.split_at(counts.len());
        assert_eq!(keys(first), keys(second));
        let length = distances.length(&keys(first));
        assert!((length - golden.kl_longest_tour.cost).abs() < 1e-11, "{name}");
    }
}
