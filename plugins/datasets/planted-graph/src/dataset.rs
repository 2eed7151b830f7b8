//! The plugin: from a configuration to columnar storage.

use std::sync::Arc;

use batchlab_core::graphs::{EdgeWeight, FixedSplit, NodeFeature, Target, Topology};
use batchlab_core::random::permutation;
use batchlab_core::{BatchFields, Dataset, DatasetError, Graphs, Level, LoadContext, Provides};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{features, graph};

/// A synthetic graph with planted communities, power-law degrees, and features and classes that
/// correlate with the communities. By default it has the size of ogbn-arxiv and the same shares of
/// training, validation and test nodes.
///
/// Every class has several communities. Edges stay within their community except for a share of
/// `mixing`, so there is locality for a method to exploit; node indices are shuffled. Nodes with a
/// random class (`label_noise`) limit the achievable accuracy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlantedGraph {
    /// Number of nodes.
    pub n_node: u32,
    /// Number of undirected edges, each stored in both directions, without self-loops. At least as
    /// many as nodes.
    pub n_edge: u32,
    /// Features per node.
    pub n_feature: u32,
    /// Number of classes.
    pub n_class: u32,
    /// Number of communities: at least as many as classes, with at least two nodes each.
    pub n_community: u32,
    /// Share of the edges whose receiver is any node, instead of one in the sender's community.
    pub mixing: f64,
    /// Exponent of the power law of the degrees, above 2.
    pub degree_exponent: f64,
    /// Strength of the class signal in the features, relative to noise with standard deviation 1.
    pub signal: f64,
    /// Share of the nodes with a random class.
    pub label_noise: f64,
    /// Share of the nodes for training, in the split that comes with the graph.
    pub train: f64,
    /// Share of the nodes for validation; the rest is for testing.
    pub validation: f64,
    /// Whether to add a self-loop to every node.
    pub self_loops: bool,
    /// Edge weights, from the degrees in the full graph (including self-loops): `"none"` (1),
    /// `"row"` (1 / degree of the receiver) or `"symmetric"` (1 / sqrt(degree of the receiver x
    /// degree of the sender)).
    pub edge_weight: EdgeWeight,
    /// Seed of all random numbers.
    pub seed: u64,
}

impl Default for PlantedGraph {
    fn default() -> Self {
        Self {
            n_node: 169_343,
            n_edge: 1_166_243,
            n_feature: 128,
            n_class: 40,
            n_community: 400,
            mixing: 0.3,
            degree_exponent: 2.5,
            signal: 0.1,
            label_noise: 0.1,
            train: 0.537,
            validation: 0.176,
            self_loops: false,
            edge_weight: EdgeWeight::None,
            seed: 1,
        }
    }
}

/// Options for which no graph exists.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Options(String);

#[typetag::serde(name = "planted-graph")]
impl Dataset for PlantedGraph {
    fn provides(&self) -> Provides {
        let fields = BatchFields {
            node_feature: true,
            edge_weight: true,
            sender_order: true,
            ..BatchFields::default()
        };
        Provides { level: Level::Nodes, fields, target: true }
    }

    fn source_keys(&self) -> &'static [&'static str] {
        &[
            "n_node",
            "n_edge",
            "n_feature",
            "n_class",
            "n_community",
            "mixing",
            "degree_exponent",
            "signal",
            "label_noise",
            "train",
            "validation",
            "seed",
        ]
    }

    fn has_classes(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), DatasetError> {
        let Self { n_node, n_edge, n_class, n_community, .. } = *self;
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let pairs = u64::from(n_node) * u64::from(n_node.saturating_sub(1)) / 2;
        let problem = if self.n_feature == 0 {
            "n_feature = 0: a node needs at least one feature".to_owned()
        } else if n_class < 2 {
            format!("n_class = {n_class}: there is nothing to choose from; use at least 2")
        } else if n_community < n_class {
            format!("n_community = {n_community}: use at least n_class = {n_class}")
        } else if u64::from(n_node) < 2 * u64::from(n_community) || n_node >= 1 << 30 {
            format!(
                "n_node = {n_node}: use at least two for each of {n_community} communities, and fewer than 2^30"
            )
        } else if n_edge < n_node || u64::from(n_edge) * 4 > pairs {
            format!(
                "n_edge = {n_edge}: use at least n_node = {n_node}, and at most a quarter of all {pairs} pairs"
            )
        } else if !share(self.mixing) || self.mixing == 0.0 {
            format!("mixing = {}: use a share above 0 and up to 1", self.mixing)
        } else if !share(self.label_noise) {
            format!("label_noise = {}: use a share from 0 to 1", self.label_noise)
        } else if !(self.degree_exponent > 2.0 && self.degree_exponent.is_finite()) {
            format!("degree_exponent = {}: use a number above 2", self.degree_exponent)
        } else if !self.signal.is_finite() {
            format!("signal = {}: use a number", self.signal)
        } else if self.parts().is_none() {
            format!(
                "train = {} and validation = {} of {n_node} nodes leave training, validation or test \
                 without a node",
                self.train, self.validation
            )
        } else {
            return Ok(());
        };
        Err(DatasetError::other(Options(problem)))
    }

    fn load(&self, _ctx: &LoadContext) -> Result<Graphs, DatasetError> {
        self.check()?;
        let graph::Planted { mut one, community } = graph::draw(self).ok_or_else(|| {
            let Self { n_edge, n_community, mixing, .. } = self;
            DatasetError::other(Options(format!(
                "n_edge = {n_edge}: {n_community} communities have too few pairs for that many edges; \
                 use fewer communities or edges, or more mixing than {mixing}"
            )))
        })?;
        let class = features::classes(self, &community);
        let value = features::features(self, &community);
        let inside = |node: u32| {
            let own = community[node as usize];
            let senders = &one.sender[one.incoming(node)];
            senders.iter().filter(|&&sender| community[sender as usize] == own).count()
        };
        let largest = |node: u32| one.incoming(node).len();
        let counts = [
            ("edges in both directions", one.sender.len()),
            ("edges within a community", (0..self.n_node).map(inside).sum()),
            ("largest degree", (0..self.n_node).map(largest).max().unwrap_or_default()),
        ];
        let notes = counts.map(|(what, n)| (what.to_owned(), n as u64)).to_vec();
        if self.self_loops {
            one.add_self_loops();
        }
        one.edge_weight = self.edge_weight.of(&one);
        let mut graphs = Graphs::new("planted-graph", Topology::One(Arc::new(one)))?;
        let names = (0..self.n_class).map(|class| class.to_string()).collect();
        let class = class.into_iter().map(f64::from).collect();
        graphs.target = Some(Target::classes("class", names, class));
        graphs.node_feature = Some(NodeFeature::Dense { value, width: self.n_feature as usize });
        graphs.split = self.split();
        graphs.notes = notes;
        Ok(graphs)
    }
}

batchlab_core::register!(
    Dataset,
    PlantedGraph,
    example = PlantedGraph {
        self_loops: true,
        edge_weight: EdgeWeight::Symmetric,
        ..PlantedGraph::default()
    }
);

impl PlantedGraph {
    /// Numbers of nodes for training and validation; `None` if a subset would be empty.
    fn parts(&self) -> Option<(usize, usize)> {
        let n = self.n_node as usize;
        #[allow(clippy::cast_sign_loss, reason = "a negative share becomes 0, which is refused")]
        let of = |share: f64| (share * n as f64) as usize;
        let (train, validation) = (of(self.train), of(self.validation));
        (train > 0 && validation > 0 && train.checked_add(validation)? < n)
            .then_some((train, validation))
    }

    fn split(&self) -> Option<FixedSplit> {
        let (n_train, n_validation) = self.parts()?;
        let order = permutation(self.seed, "planted split", 0, self.n_node as usize);
        let (train, rest) = order.split_at(n_train);
        let (validation, test) = rest.split_at(n_validation);
        let [train, validation, test] = [train, validation, test].map(|part| {
            let mut part = part.to_vec();
            part.sort_unstable();
            part
        });
        Some(FixedSplit { train, validation, test })
    }
}

#[cfg(test)]
mod tests {
    use batchlab_core::View;
    use batchlab_core::graphs::OneGraph;
    use batchlab_core::registry::{self, Kind};

    use super::*;

    fn small() -> PlantedGraph {
        PlantedGraph {
            n_node: 6000,
            n_edge: 30_000,
            n_feature: 16,
            n_class: 4,
            n_community: 12,
            signal: 0.8,
            ..PlantedGraph::default()
        }
    }

    fn load(options: &PlantedGraph) -> Graphs {
        let graphs = options.load(&LoadContext::new()).expect("good options");
        graphs.check().expect("consistent");
        assert_eq!(graphs.fields(), options.provides().fields);
        graphs
    }

    fn one(graphs: &Graphs) -> &OneGraph {
        let Topology::One(one) = &graphs.topology else { panic!("one graph") };
        one
    }

    #[test]
    fn a_graph_has_the_edges_that_were_asked_for_and_no_others() {
        let graphs = load(&small());
        let graph = one(&graphs);
        assert_eq!((graph.n_node(), graph.sender.len(), graph.n_one_way()), (6000, 60_000, 0));
        assert!((0..6000).all(|node| {
            let senders = &graph.sender[graph.incoming(node)];
            !senders.is_empty() && !senders.contains(&node)
        }));
        let looped = load(&PlantedGraph { self_loops: true, ..small() });
        assert_eq!(one(&looped).sender.len(), 66_000);
    }

    #[test]
    fn neither_threads_nor_a_second_time_change_a_bit() {
        let hash = |threads: usize| {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| load(&small()).content_hash())
        };
        assert_eq!(hash(1), hash(3));
        assert_ne!(hash(1), load(&PlantedGraph { seed: 2, ..small() }).content_hash());
    }

    #[test]
    fn edges_stay_in_their_communities_as_often_as_asked() {
        let graphs = load(&small());
        let note =
            |what: &str| graphs.notes.iter().find(|note| note.0 == what).expect(what).1 as f64;
        // 70 %, and a twelfth of the others by chance; some repeated edges within communities were
        // redrawn.
        let share = note("edges within a community") / note("edges in both directions");
        assert!((0.65..0.75).contains(&share), "{share}");
        // The mean is 10.
        assert!(note("largest degree") > 200.0);
    }

    /// Accuracy of nearest-class-mean classification by features `x`, over the training nodes.
    fn accuracy(graphs: &Graphs, x: &[f32]) -> f64 {
        let View::OneGraph(view) = graphs.view(&[]) else { panic!("one graph") };
        let split = graphs.split.as_ref().expect("a split");
        let width = graphs.node_feature.as_ref().expect("features").width();
        let (mut mean, mut n) = (vec![0.0; 4 * width], [0.0_f32; 4]);
        for &node in &split.train {
            let class = view.class[node as usize] as usize;
            n[class] += 1.0;
            for at in 0..width {
                mean[class * width + at] += x[node as usize * width + at];
            }
        }
        for (row, n) in mean.chunks_exact_mut(width).zip(n) {
            for value in row {
                *value /= n;
            }
        }
        let distance = |node: u32, class: usize| -> f32 {
            (0..width)
                .map(|at| (x[node as usize * width + at] - mean[class * width + at]).powi(2))
                .sum()
        };
        let is_right = |&&node: &&u32| {
            let nearest = (0..4).min_by(|&a, &b| distance(node, a).total_cmp(&distance(node, b)));
            nearest == Some(view.class[node as usize] as usize)
        };
        split.test.iter().filter(is_right).count() as f64 / split.test.len() as f64
    }

    #[test]
    fn neighbours_know_more_than_a_node_alone() {
        let graphs = load(&PlantedGraph { signal: 0.4, ..small() });
        let x = graphs.node_feature.as_ref().expect("features").value();
        let graph = one(&graphs);
        let mut mixed = vec![0.0; x.len()];
        for node in 0..6000_u32 {
            let senders = &graph.sender[graph.incoming(node)];
            for &sender in senders {
                for at in 0..16 {
                    mixed[node as usize * 16 + at] +=
                        x[sender as usize * 16 + at] / senders.len() as f32;
                }
            }
        }
        let (alone, together) = (accuracy(&graphs, x), accuracy(&graphs, &mixed));
        // A tenth of the classes is random, so the maximum is 92.5 %.
        assert!(alone + 0.05 < together && together < 0.94, "{alone} {together}");
    }

    #[test]
    fn options_that_make_no_graph_are_refused() {
        let error = |options: PlantedGraph| options.check().expect_err("refused").to_string();
        for (options, part) in [
            (PlantedGraph { n_feature: 0, ..small() }, "n_feature = 0"),
            (PlantedGraph { n_class: 1, ..small() }, "n_class = 1"),
            (
                PlantedGraph { n_community: 3, ..small() },
                "n_community = 3: use at least n_class = 4",
            ),
            (PlantedGraph { n_node: 20, ..small() }, "n_node = 20"),
            (PlantedGraph { n_edge: 5999, ..small() }, "n_edge = 5999"),
            (
                PlantedGraph { n_edge: 4_000_000_000, ..small() },
                "at most a quarter of all 17997000",
            ),
            (PlantedGraph { mixing: 0.0, ..small() }, "mixing = 0"),
            (PlantedGraph { label_noise: f64::NAN, ..small() }, "label_noise = NaN"),
            (PlantedGraph { degree_exponent: 2.0, ..small() }, "degree_exponent = 2"),
            (PlantedGraph { signal: f64::INFINITY, ..small() }, "signal = inf"),
            (PlantedGraph { train: 0.9, ..small() }, "without a node"),
        ] {
            let error = error(options);
            assert!(error.contains(part), "{error}");
        }
        let crowded = PlantedGraph {
            n_node: 1000,
            n_edge: 100_000,
            n_community: 100,
            mixing: 1e-9,
            ..small()
        };
        let error = crowded.load(&LoadContext::new()).expect_err("100 communities of 10");
        assert!(error.to_string().contains("too few pairs for that many edges"), "{error}");
    }

    #[test]
    fn the_registered_example_is_of_arxivs_size() {
        let registration = registry::find(Kind::Dataset, "planted-graph").expect("registered");
        let example: Box<dyn Dataset> =
            serde_json::from_value((registration.example)()).expect("an example");
        example.check().expect("good options");
        let graphs = load(&PlantedGraph { self_loops: true, ..PlantedGraph::default() });
        let graph = one(&graphs);
        assert_eq!((graph.n_node(), graph.sender.len()), (169_343, 2 * 1_166_243 + 169_343));
    }
}
