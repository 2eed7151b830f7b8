//! Properties that hold for every graph, option and number of threads.

use std::collections::BTreeSet;

use batchlab_core::graphs::OneGraph;
use batchlab_ppr::{Operator, Power, PprError, Push, Walk};
use proptest::prelude::*;

fn graph(n_node: u32, edges: &BTreeSet<(u32, u32)>) -> OneGraph {
    OneGraph {
        offset: (0..=n_node).map(|node| edges.range(..(node, 0)).count()).collect(),
        sender: edges.iter().map(|edge| edge.1).collect(),
        edge_weight: Vec::new(),
    }
}

/// Undirected graphs of up to 40 nodes, some with self loops, isolated nodes or a hub.
fn graphs() -> impl Strategy<Value = OneGraph> {
    (1_u32..40).prop_flat_map(|n_node| {
        let pair = (0..n_node, 0..n_node);
        let edges = prop::collection::vec(pair, 0..(3 * n_node as usize));
        (edges, any::<bool>(), any::<bool>()).prop_map(move |(edges, loops, hub)| {
            let mut all: BTreeSet<(u32, u32)> =
                edges.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]).collect();
            if loops {
                all.extend((0..n_node).map(|node| (node, node)));
            }
            if hub {
                all.extend((0..n_node).flat_map(|node| [(0, node), (node, 0)]));
            }
            graph(n_node, &all)
        })
    })
}

fn options() -> impl Strategy<Value = Push> {
    let walk = prop::sample::select(vec![Walk::Plain, Walk::Lazy]);
    (0.05..0.9, -5.0..1.0, walk).prop_map(|(teleport, epsilon, walk): (f64, f64, _)| Push {
        teleport,
        epsilon: 10_f64.powf(epsilon),
        walk,
    })
}

/// Exact scores: steps of the walk on all nodes at once.
fn exact(graph: &OneGraph, teleport: f64, walk: Walk, root: u32) -> Vec<f64> {
    let n_node = graph.n_node();
    let mut now = vec![0.0; n_node];
    now[root as usize] = 1.0;
    let mut score = vec![0.0; n_node];
    for _ in 0..2000 {
        let mut next = vec![0.0; n_node];
        for node in 0..n_node as u32 {
            let here = now[node as usize];
            let neighbours = &graph.sender[graph.incoming(node)];
            score[node as usize] += teleport * here;
            let (stay, go) = match walk {
                _ if neighbours.is_empty() => (1.0, 0.0),
                Walk::Plain => (0.0, 1.0),
                Walk::Lazy => (0.5, 0.5),
            };
            next[node as usize] += stay * (1.0 - teleport) * here;
            for &neighbour in neighbours {
                next[neighbour as usize] += go * (1.0 - teleport) * here / neighbours.len() as f64;
            }
        }
        now = next;
    }
    score
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// No part of the walk is lost, residues are below the threshold everywhere, and scores differ
    /// from the exact ones by the residues.
    #[test]
    fn scores_and_residues_sum_to_one(graph in graphs(), push in options(), root in any::<prop::sample::Index>()) {
        let root = root.index(graph.n_node()) as u32;
        let of_root = push.from_roots(&graph, &[root], &(), |_, pushed| {
            (pushed.scores().collect::<Vec<_>>(), pushed.residues())
        });
        let (scores, residues) = of_root.unwrap().remove(0);
        let left: f64 = residues.iter().map(|residue| residue.1).sum();
        let total: f64 = scores.iter().map(|score| score.1).sum();
        prop_assert!((total + left - 1.0).abs() < 1e-12, "{total} + {left}");
        for (node, share) in residues {
            let degree = graph.incoming(node).len() as f64;
            prop_assert!(share < push.epsilon * degree || share == 0.0, "node {node}: {share}");
        }
        let exact = exact(&graph, push.teleport, push.walk, root);
        let distance: f64 = {
            let mut of_node = vec![0.0; graph.n_node()];
            for (node, score) in scores {
                prop_assert!(score <= exact[node as usize] + 1e-12);
                of_node[node as usize] = score;
            }
            of_node.iter().zip(&exact).map(|(got, exact)| exact - got).sum()
        };
        prop_assert!((distance - left).abs() < 1e-9, "{distance} is missing, {left} is left");
    }

    #[test]
    fn many_iterations_are_exact(graph in graphs(), teleport in 0.1..0.9, root in any::<prop::sample::Index>()) {
        let root = root.index(graph.n_node()) as u32;
        let scores = |operator| {
            let power = Power { teleport, n_iteration: 400, operator };
            power.of_sets(&graph, &[vec![root]], &(), |_, scores| scores.to_vec()).unwrap().remove(0)
        };
        let exact = exact(&graph, teleport, Walk::Plain, root);
        let degree = |node: usize| graph.incoming(node as u32).len().max(1) as f64;
        for (node, (standard, reference)) in
            scores(Operator::Standard).iter().zip(scores(Operator::Reference)).enumerate()
        {
            prop_assert!((standard - exact[node]).abs() < 1e-9);
            let divided = exact[node] * degree(root as usize) / degree(node);
            prop_assert!((reference - divided).abs() < 1e-9, "{reference} instead of {divided}");
        }
    }
}

/// A graph that is large enough for many tasks.
fn ring(n_node: u32) -> OneGraph {
    let near = |node: u32| [1, 2, 7].map(|step| (node, (node + step) % n_node));
    let edges = (0..n_node).flat_map(near).flat_map(|(a, b)| [(a, b), (b, a)]);
    graph(n_node, &edges.collect())
}

#[test]
fn results_do_not_depend_on_the_number_of_threads_or_on_other_roots() {
    let graph = ring(3000);
    let push = Push { teleport: 0.2, epsilon: 1e-3, walk: Walk::Lazy };
    let power = Power { teleport: 0.2, n_iteration: 20, operator: Operator::Standard };
    let roots: Vec<u32> = (0..3000).collect();
    let sets: Vec<Vec<u32>> = roots.chunks(300).map(<[u32]>::to_vec).collect();
    let with = |n_thread: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_thread).build().unwrap();
        pool.install(|| {
            let result = |place, pushed: &batchlab_ppr::Pushed<'_>| {
                (place, pushed.scores().collect::<Vec<_>>())
            };
            let pushed = push.from_roots(&graph, &roots, &(), result).unwrap();
            (pushed, power.of_sets(&graph, &sets, &(), |_, scores| scores.to_vec()).unwrap())
        })
    };
    let one = with(1);
    assert_eq!(one, with(3));
    let alone =
        push.from_roots(&graph, &[1234], &(), |_, pushed| pushed.scores().collect::<Vec<_>>());
    assert_eq!(alone.unwrap()[0], one.0[1234].1);
}

#[test]
fn what_cannot_work_is_refused() {
    let path = graph(3, &[(0, 1), (1, 0), (1, 2), (2, 1)].into());
    let push = Push { teleport: 0.25, epsilon: 1e-4, walk: Walk::Plain };
    let from = |push: Push, graph: &OneGraph, root| {
        push.from_roots(graph, &[root], &(), |_, pushed| pushed.n_push()).unwrap_err()
    };
    for teleport in [0.0, 1.0, -0.5, f64::NAN] {
        assert!(matches!(from(Push { teleport, ..push }, &path, 0), PprError::Teleport(_)));
    }
    for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(from(Push { epsilon, ..push }, &path, 0), PprError::Epsilon(_)));
    }
    assert_eq!(from(push, &path, 3), PprError::NoSuchRoot { root: 3, n_node: 3 });
    let directed = graph(3, &[(0, 1), (1, 0), (1, 2)].into());
    let one_way = PprError::OneWay { sender: 2, receiver: 1 };
    assert_eq!(from(push, &directed, 0), one_way);
    let power = Power { teleport: 0.25, n_iteration: 50, operator: Operator::Standard };
    let of = |graph: &OneGraph, sets: &[Vec<u32>]| {
        power.of_sets(graph, sets, &(), |_, _| ()).unwrap_err()
    };
    assert_eq!(of(&directed, &[vec![0]]), one_way);
    assert_eq!(of(&path, &[vec![0], Vec::new()]), PprError::EmptySet(1));
    assert_eq!(of(&path, &[vec![7]]), PprError::NoSuchRoot { root: 7, n_node: 3 });
}
