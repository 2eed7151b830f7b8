//! Node classes that occur in an evaluated subset but not in the training set.

use std::collections::BTreeMap;

use batchlab_config::Subset;
use batchlab_core::Graphs;
use batchlab_core::graphs::{NodeClass, Topology};

use super::Subsets;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unseen {
    pub(crate) class: u32,
    pub(crate) name: String,
    pub(crate) subset: Subset,
    pub(crate) graphs: Vec<u32>,
    n_graph: usize,
}

impl Unseen {
    pub(crate) fn message(&self) -> String {
        let Self { name, graphs, n_graph, .. } = self;
        format!(
            "class \"{name}\" occurs in {} of {n_graph} graphs for {}, but in none for training: \
             its embedding is never trained, so expect large errors there; choose another split or \
             leave these graphs out",
            graphs.len(),
            self.subset.name(),
        )
    }
}

/// The unseen classes of each evaluated subset; empty for one graph, whose batches contain all of
/// its nodes.
pub(crate) fn find(graphs: &Graphs, subsets: &Subsets, evaluated: &[Subset]) -> Vec<Unseen> {
    let (Topology::Many(_), Some(class)) = (&graphs.topology, &graphs.node_class) else {
        return Vec::new();
    };
    let mut is_seen = vec![false; class.name.len()];
    for &graph in &subsets.train {
        for value in classes(graphs, class, graph) {
            is_seen[value as usize] = true;
        }
    }
    let mut found = Vec::new();
    for &subset in evaluated {
        let mut unseen: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for &graph in subsets.of(subset) {
            for value in classes(graphs, class, graph).filter(|&value| !is_seen[value as usize]) {
                let graphs = unseen.entry(value).or_default();
                if graphs.last() != Some(&graph) {
                    graphs.push(graph);
                }
            }
        }
        found.extend(unseen.into_iter().map(|(value, graphs)| Unseen {
            class: value,
            name: class.name[value as usize].clone(),
            subset,
            graphs,
            n_graph: subsets.of(subset).len(),
        }));
    }
    found
}

fn classes(graphs: &Graphs, class: &NodeClass, graph: u32) -> impl Iterator<Item = u32> {
    let nodes = match &graphs.topology {
        Topology::Many(many) => many.nodes(graph as usize),
        Topology::One(_) => 0..0,
    };
    class.value[nodes].iter().copied()
}

#[cfg(test)]
mod tests {
    use batchlab_core::graphs::{Edges, ManyGraphs};

    use super::*;

    #[test]
    fn classes_are_unseen_where_no_training_graph_has_them() {
        let many = ManyGraphs::new(&[2, 2, 3, 1], Edges::FullyConnected).unwrap();
        let mut graphs = Graphs::new("four", Topology::Many(many)).unwrap();
        let name = ["H", "C", "N", "F"].map(str::to_owned).to_vec();
        graphs.node_class = Some(NodeClass { value: vec![0, 1, 3, 0, 3, 2, 3, 0], name });
        let subsets = Subsets { train: vec![0, 3], validation: vec![1], test: vec![2, 1] };
        let found = find(&graphs, &subsets, &[Subset::Train, Subset::Test, Subset::Validation]);
        let named: Vec<_> =
            found.iter().map(|u| (u.name.as_str(), u.subset, u.graphs.clone())).collect();
        assert_eq!(
            named,
            [
                ("N", Subset::Test, vec![2]),
                ("F", Subset::Test, vec![2, 1]),
                ("F", Subset::Validation, vec![1])
            ]
        );
        assert!(
            found[0].message().starts_with(
                "class \"N\" occurs in 1 of 2 graphs for test, but in none for training"
            ),
            "{}",
            found[0].message()
        );
        let all = Subsets { train: vec![0, 1, 2, 3], ..subsets };
        assert_eq!(find(&graphs, &all, &[Subset::Test]), []);
    }
}
