//! Reference values of an independent implementation, in double precision.

use batchlab_core::graphs::{OneGraph, Topology};
use batchlab_core::{Dataset, LoadContext};
use batchlab_ppr::{Operator, Power, Push, Walk};
use batchlab_testkit::golden_nodes::NodeGolden;
use dataset_one_graph::OneGraphFile;

fn cora() -> OneGraph {
    let options = OneGraphFile { self_loops: true, ..OneGraphFile::default() };
    let graphs = options.load(&LoadContext::new()).unwrap();
    let Topology::One(one) = graphs.topology else { panic!("one graph") };
    (*one).clone()
}

fn push(teleport: f64, epsilon: f64) -> Push {
    Push { teleport, epsilon, walk: Walk::Plain }
}

/// Scores by node, non-zero residues by node, and the number of pushes.
type All = (Vec<(u32, f64)>, Vec<(u32, f64)>, usize);

fn all(push: Push, graph: &OneGraph, root: u32) -> All {
    let of_root = push.from_roots(graph, &[root], &(), |_, pushed| {
        let mut scores: Vec<(u32, f64)> = pushed.scores().collect();
        scores.sort_unstable_by_key(|score| score.0);
        (scores, pushed.residues(), pushed.n_push())
    });
    of_root.unwrap().remove(0)
}

fn sum(of: &[(u32, f64)]) -> f64 {
    of.iter().map(|value| value.1).sum()
}

fn assert_near(got: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((got - expected).abs() <= tolerance, "{what}: {got} instead of {expected}");
}

#[test]
fn a_path_gives_the_published_numbers() {
    let path = NodeGolden::open().path;
    let graph = path.graph();
    let golden = &path.lifo;
    let (scores, residues, n_push) = all(push(path.alpha, path.eps), &graph, path.seed);
    assert_eq!(n_push, golden.n_push);
    let expected: Vec<_> = golden.id.iter().copied().zip(golden.value.iter().copied()).collect();
    assert_eq!(scores, expected, "to the last bit");
    for (&(_, share), &residual) in residues.iter().zip(&golden.residual) {
        assert_near(share * path.alpha, residual, 1e-17, "residue");
    }
    for (operator, golden) in [
        (Operator::Reference, &path.batch_wise_reference),
        (Operator::Standard, &path.batch_wise_standard),
    ] {
        let power = Power { teleport: 0.25, n_iteration: 50, operator };
        let scores =
            power.of_sets(&graph, &[vec![0, 1]], &(), |_, scores| scores.to_vec()).unwrap();
        for (&got, &expected) in scores[0].iter().zip(golden) {
            assert_near(got, expected, 1e-15, "score");
        }
    }
}

#[test]
fn scores_on_cora_are_those_of_the_golden_file_to_the_last_bit() {
    let golden = NodeGolden::open().ppr;
    let graph = cora();
    for seed in &golden.seeds {
        let (scores, residues, n_push) = all(push(golden.alpha, golden.eps), &graph, seed.seed);
        let expected: Vec<_> = seed.id.iter().copied().zip(seed.value.iter().copied()).collect();
        assert_eq!((scores.len(), n_push), (seed.id.len(), seed.n_push), "seed {}", seed.seed);
        assert_eq!(scores, expected, "seed {}", seed.seed);
        assert_near(sum(&scores), seed.sum_p, 1e-14, "sum of scores");
        assert_near(sum(&residues) * golden.alpha, seed.sum_r, 1e-14, "sum of residues");
        let lifo = push(golden.alpha, golden.eps);
        let top = lifo.from_roots(&graph, &[seed.seed], &(), |_, pushed| pushed.top(golden.k));
        assert_eq!(top.unwrap(), std::slice::from_ref(&seed.top), "seed {}", seed.seed);
    }
}

#[test]
fn all_nodes_of_cora() {
    let NodeGolden { ppr, ppr_all_nodes: golden, .. } = NodeGolden::open();
    let graph = cora();
    let roots: Vec<u32> = (0..graph.n_node() as u32).collect();
    let lifo = push(ppr.alpha, ppr.eps);
    let of_root = lifo.from_roots(&graph, &roots, &(), |_, pushed| {
        (pushed.scores().len(), pushed.scores().map(|score| score.1).sum::<f64>())
    });
    let of_root = of_root.unwrap();
    let n = roots.len() as f64;
    let n_nonzero: usize = of_root.iter().map(|of| of.0).sum();
    assert_near(n_nonzero as f64 / n, golden.mean_nonzero, 1e-12, "mean number of scores");
    assert_eq!(of_root.iter().map(|of| of.0).max(), Some(golden.max_nonzero));
    let total: f64 = of_root.iter().map(|of| of.1).sum();
    assert_near(total / n, golden.mean_sum, 1e-13, "mean sum");
}

#[test]
fn groups_on_cora_have_the_scores_of_the_golden_file() {
    let golden = NodeGolden::open().batch_wise;
    let graph = cora();
    for run in &golden.runs {
        let operator =
            if run.operator == "reference" { Operator::Reference } else { Operator::Standard };
        let power = Power { teleport: golden.alpha, n_iteration: golden.iterations, operator };
        let sets: Vec<Vec<u32>> = run.parts.iter().map(|part| part.output.clone()).collect();
        let scores = power.of_sets(&graph, &sets, &(), |_, scores| scores.to_vec()).unwrap();
        for (scores, part) in scores.iter().zip(&run.parts) {
            let positive = scores.iter().filter(|&&score| score > 0.0).count();
            assert_eq!(positive, part.n_positive, "part {}", part.part);
            assert_near(scores.iter().sum(), part.sum_score, 1e-12, "sum");
            let mut top: Vec<(u32, f64)> = (0..).zip(scores.iter().copied()).collect();
            batchlab_ppr::keep_top(&mut top, 5);
            for ((node, score), (&golden_node, &golden_score)) in
                top.iter().zip(part.top5.iter().zip(&part.top5_score))
            {
                assert_eq!(*node, golden_node, "{} part {}", run.operator, part.part);
                assert_near(*score, golden_score, 1e-14, "score");
            }
        }
    }
}

#[test]
fn a_tiny_graph_gives_the_ego_nets_of_the_golden_file() {
    let golden = NodeGolden::open().tiny;
    let graph = golden.graph();
    let shadow = &golden.shadow;
    for ego in &shadow.egos {
        let lifo = push(shadow.alpha, shadow.eps);
        let got = lifo.from_roots(&graph, &[ego.output], &(), |_, pushed| {
            (pushed.n_push(), pushed.top(shadow.k as usize))
        });
        assert_eq!(got.unwrap(), [(ego.n_push, ego.top.clone())]);
    }
}
