//! What holds for every graph and number of parts.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::collections::BTreeSet;

use batchlab_core::graphs::OneGraph;
use batchlab_partition::{PartitionError, partition};
use proptest::prelude::*;

fn graph(n_node: u32, edges: &BTreeSet<(u32, u32)>) -> OneGraph {
    OneGraph {
        offset: (0..=n_node).map(|node| edges.range(..(node, 0)).count()).collect(),
        sender: edges.iter().map(|edge| edge.1).collect(),
        edge_weight: Vec::new(),
    }
}

fn undirected(edges: impl IntoIterator<Item = (u32, u32)>) -> BTreeSet<(u32, u32)> {
    edges.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Self loops, isolated nodes, separate pieces and hubs included.
    #[test]
    fn every_node_is_in_a_part(
        n_node in 1_u32..60,
        ends in prop::collection::vec((0_u32..60, 0_u32..60), 0..150),
        n_part in any::<prop::sample::Index>(),
        seed in any::<u32>(),
        heavy in 1_u32..50,
    ) {
        let edges = undirected(ends.into_iter().map(|(a, b)| (a % n_node, b % n_node)));
        let graph = graph(n_node, &edges);
        let n_part = 1 + n_part.index(n_node as usize) as u32;
        let weight: Vec<u32> = (0..n_node).map(|node| if node % 7 == 0 { heavy } else { 1 }).collect();
        let part = partition(&graph, n_part, seed, &weight).unwrap();
        prop_assert!(part.len() == n_node as usize && part.iter().all(|&part| part < n_part));
        prop_assert_eq!(&part, &partition(&graph, n_part, seed, &weight).unwrap());
    }
}

/// Four cliques of 30 nodes in a ring, and 40 nodes without edges.
fn cliques() -> OneGraph {
    let within = (0..4_u32)
        .flat_map(|c| (0..30).flat_map(move |a| (0..a).map(move |b| (30 * c + a, 30 * c + b))));
    let between = (0..4).map(|c| (30 * c, 30 * ((c + 1) % 4) + 1));
    let loops = (0..120).map(|node| (node, node));
    graph(160, &undirected(within.chain(between).chain(loops)))
}

#[test]
fn what_belongs_together_stays_together_and_isolated_nodes_fill_up() {
    let part = partition(&cliques(), 4, 42, &[]).unwrap();
    for clique in part[..120].chunks(30) {
        assert!(clique.iter().all(|part| part == &clique[0]), "{clique:?}");
    }
    for of in 0..4 {
        assert_eq!(part.iter().filter(|&&part| part == of).count(), 40);
    }
}

#[test]
fn threads_do_not_disturb_each_other() {
    let graph = cliques();
    let alone = partition(&graph, 7, 5, &[]).unwrap();
    std::thread::scope(|scope| {
        let again = |seed: u32| {
            let graph = &graph;
            scope.spawn(move || partition(graph, 7, seed, &[]).unwrap())
        };
        let threads: Vec<_> = (0..8).map(|i| (i, again(if i % 2 == 0 { 5 } else { i }))).collect();
        for (i, thread) in threads {
            let part = thread.join().unwrap();
            assert!(i % 2 == 1 || part == alone);
        }
    });
}

#[test]
fn what_cannot_work_is_refused() {
    let directed = graph(3, &[(0, 1), (1, 0), (1, 2)].into());
    let of =
        |graph: &OneGraph, n_part, weight: &[u32]| partition(graph, n_part, 1, weight).unwrap_err();
    assert_eq!(of(&directed, 2, &[]), PartitionError::OneWay { sender: 2, receiver: 1 });
    let path = graph(3, &undirected([(0, 1), (1, 2)]));
    assert_eq!(of(&path, 0, &[]), PartitionError::NParts { n_part: 0, n_node: 3 });
    assert_eq!(of(&path, 4, &[]), PartitionError::NParts { n_part: 4, n_node: 3 });
    assert_eq!(of(&path, 2, &[1]), PartitionError::Weights { got: 1, n_node: 3 });
    assert_eq!(of(&path, 2, &[u32::MAX; 3]), PartitionError::TooLarge(3 * u64::from(u32::MAX)));
}
