//! The kit's graphs: of different sizes, without symmetry, one with a hub, some nodes without
//! edges.

use std::sync::Arc;

use batchlab_core::graphs::{
    Edges, Graphs, Level, ManyGraphs, NodeClass, NodeFeature, OneGraph, StoredEdges, Target,
    Topology,
};
use batchlab_core::plan::{BatchPlan, EdgeSelection, Shape};
use batchlab_core::{BatchBuffer, BatchFields, View, collate, random};

pub(super) const N_CLASS: usize = 4;
pub(super) const FEATURE_WIDTH: usize = 5;
pub(super) const N_OUTPUT_CLASS: usize = 3;

/// Nodes and edges of the ordinary graphs. The second has a single one-way edge, in the third one
/// node receives nearly all edges, the fourth is fully connected like a molecule.
const SIZES: [[u32; 2]; 5] = [[6, 20], [2, 1], [70, 90], [9, 72], [17, 100]];
const HUB: usize = 2;
const COMPLETE: usize = 3;

/// Minimum distance between two nodes, like atoms, in angstrom.
const LEAST_DISTANCE: f64 = 0.9;
/// Volume per node, in cubic angstrom.
const VOLUME: f64 = 9.0;

#[derive(Debug, Clone)]
pub(super) struct Molecule {
    class: Vec<u32>,
    /// Row-major, `[n_node, FEATURE_WIDTH]`.
    feature: Vec<f32>,
    /// In angstrom.
    position: Vec<[f64; 3]>,
    /// Sender and receiver.
    edge: Vec<[u32; 2]>,
    /// The output node, if outputs are nodes.
    output: u32,
}

/// The graphs of a check.
#[derive(Debug)]
pub(super) struct Store {
    molecules: Vec<Molecule>,
    targets: Targets,
    level: Level,
}

/// The graphs used by most checks.
pub(super) fn ordinary() -> Vec<Molecule> {
    (0..SIZES.len()).map(draw).collect()
}

/// A graph of one node, without edges.
pub(super) fn single(class: u32) -> Molecule {
    Molecule {
        class: vec![class],
        feature: (0..FEATURE_WIDTH).map(|k| 0.3 * k as f32 - 0.5).collect(),
        position: vec![[0.0; 3]],
        edge: Vec::new(),
        output: 0,
    }
}

fn draw(graph: usize) -> Molecule {
    let [n_node, n_edge] = SIZES[graph].map(|n| n as usize);
    let mut rng = random::stream(11, "molecule", graph as u64);
    let mut below = |n: usize| random::below(&mut rng, n as u64) as usize;
    let class = (0..n_node).map(|_| below(N_CLASS) as u32).collect();
    let feature = (0..n_node * FEATURE_WIDTH).map(|_| below(1000) as f32 / 500.0 - 1.0).collect();

    let side = (VOLUME * n_node as f64).cbrt();
    let mut position: Vec<[f64; 3]> = Vec::new();
    while position.len() < n_node {
        let place = [(); 3].map(|()| side * below(1 << 20) as f64 / f64::from(1 << 20));
        if position.iter().all(|other| length(&difference(&place, other)) > LEAST_DISTANCE) {
            position.push(place);
        }
    }
    let mut edge = Vec::new();
    if graph == COMPLETE {
        edge.extend((0..n_node).flat_map(|a| (0..n_node).map(move |b| [a, b])));
        edge.retain(|[a, b]| a != b);
    }
    if graph == HUB {
        // Every fifth node has no edge to the hub.
        edge.extend((1..n_node).filter(|node| node % 5 != 0).map(|node| [node, 0]));
    }
    while edge.len() < n_edge {
        let ends = [below(n_node), below(n_node)];
        if ends[0] != ends[1] && !edge.contains(&ends) {
            edge.push(ends);
        }
    }
    let edge = edge.into_iter().map(|ends| ends.map(|end| end as u32)).collect();
    Molecule { class, feature, position, edge, output: 0 }
}

fn difference(a: &[f64; 3], b: &[f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn length(v: &[f64; 3]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

impl Molecule {
    /// The same graph with its nodes renumbered and its edges reordered.
    pub(super) fn relabelled(&self, seed: u64) -> Self {
        let n_node = self.class.len();
        // `order[new]` is the old number, `name[old]` the new one.
        let order = random::permutation(seed, "nodes", 0, n_node);
        let mut name = vec![0_u32; n_node];
        for (new, &old) in (0..).zip(&order) {
            name[old as usize] = new;
        }
        let rows = order.iter().map(|&old| old as usize);
        let edges = random::permutation(seed, "edges", 0, self.edge.len());
        Self {
            class: rows.clone().map(|old| self.class[old]).collect(),
            feature: rows
                .clone()
                .flat_map(|old| &self.feature[old * FEATURE_WIDTH..(old + 1) * FEATURE_WIDTH])
                .copied()
                .collect(),
            position: rows.map(|old| self.position[old]).collect(),
            edge: edges
                .iter()
                .map(|&edge| self.edge[edge as usize].map(|end| name[end as usize]))
                .collect(),
            output: name[self.output as usize],
        }
    }

    /// The same graph, rotated about all axes and translated.
    pub(super) fn moved(&self, angles: [f64; 3], by: [f64; 3]) -> Self {
        let turn = |[x, y, z]: [f64; 3]| {
            let (sin, cos) = angles[0].sin_cos();
            let [x, y] = [cos * x - sin * y, sin * x + cos * y];
            let (sin, cos) = angles[1].sin_cos();
            let [y, z] = [cos * y - sin * z, sin * y + cos * z];
            let (sin, cos) = angles[2].sin_cos();
            let [z, x] = [cos * z - sin * x, sin * z + cos * x];
            [x + by[0], y + by[1], z + by[2]]
        };
        Self { position: self.position.iter().copied().map(turn).collect(), ..self.clone() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Targets {
    /// Numbers between -2 and 2.
    Numbers,
    /// [`N_OUTPUT_CLASS`] classes.
    Classes,
}

impl Store {
    pub(super) fn new(molecules: &[Molecule], targets: Targets, level: Level) -> Self {
        Self { molecules: molecules.to_vec(), targets, level }
    }

    pub(super) fn n_member(&self) -> usize {
        self.molecules.len()
    }

    fn target(&self, members: &[u32]) -> Vec<f64> {
        let number = |&k: &u32| match self.targets {
            Targets::Numbers => (k as usize * 7 % 5) as f64 - 1.9,
            Targets::Classes => (k as usize % N_OUTPUT_CLASS) as f64,
        };
        members.iter().map(number).collect()
    }
}

fn target(targets: Targets, value: Vec<f64>) -> Target {
    match targets {
        Targets::Numbers => Target::regression("number", None, value),
        Targets::Classes => {
            let names = (0..N_OUTPUT_CLASS).map(|k| k.to_string()).collect();
            Target::classes("class", names, value)
        }
    }
}

/// Members as disconnected parts of one graph, each with one output. Edge weights decrease with
/// length.
fn one_graph(store: &Store, members: &[u32]) -> (Graphs, Vec<u32>) {
    let molecules: Vec<&Molecule> =
        members.iter().map(|&member| &store.molecules[member as usize]).collect();
    let (mut edges, mut output, mut value) = (Vec::new(), Vec::new(), Vec::new());
    let mut first = 0;
    for (molecule, number) in molecules.iter().zip(store.target(members)) {
        for &[sender, receiver] in &molecule.edge {
            let [a, b] = [receiver, sender].map(|node| &molecule.position[node as usize]);
            let weight = 1.0 / (1.0 + length(&difference(a, b)));
            edges.push((first + receiver, first + sender, weight as f32));
        }
        output.push(first + molecule.output);
        let mut own =
            vec![if store.targets == Targets::Classes { -1.0 } else { 0.0 }; molecule.class.len()];
        own[molecule.output as usize] = number;
        value.extend(own);
        first += molecule.class.len() as u32;
    }
    edges.sort_by_key(|&(receiver, sender, _)| (receiver, sender));
    let offset = (0..=first).map(|node| edges.partition_point(|edge| edge.0 < node)).collect();
    let one = OneGraph {
        offset,
        sender: edges.iter().map(|edge| edge.1).collect(),
        edge_weight: edges.iter().map(|edge| edge.2).collect(),
    };
    let mut graphs =
        Graphs::new("the kit's", Topology::One(Arc::new(one))).expect("there are nodes");
    fill_nodes(&mut graphs, &molecules);
    graphs.target = Some(target(store.targets, value));
    graphs.check().expect("the kit's graph is sound");
    (graphs, output)
}

fn fill_nodes(graphs: &mut Graphs, molecules: &[&Molecule]) {
    let value = molecules.iter().flat_map(|m| m.class.clone()).collect();
    graphs.node_class =
        Some(NodeClass { value, name: (0..N_CLASS).map(|k| k.to_string()).collect() });
    let value = molecules.iter().flat_map(|m| m.feature.clone()).collect();
    graphs.node_feature = Some(NodeFeature::Dense { value, width: FEATURE_WIDTH });
}

fn many_graphs(store: &Store) -> Graphs {
    let molecules = &store.molecules;
    let n_node: Vec<u32> = molecules.iter().map(|m| m.class.len() as u32).collect();
    let n_edge: Vec<u32> = molecules.iter().map(|m| m.edge.len() as u32).collect();
    let ends = |which: usize| -> Vec<u32> {
        molecules.iter().flat_map(|m| &m.edge).map(|ends| ends[which]).collect()
    };
    let vectors = molecules.iter().flat_map(|m| {
        let position = |node: u32| &m.position[node as usize];
        m.edge
            .iter()
            .map(move |&[sender, receiver]| difference(position(receiver), position(sender)))
    });
    let distance: Vec<f32> = vectors.clone().map(|v| length(&v) as f32).collect();
    let displacement: Vec<[f32; 3]> = vectors.map(|v| v.map(|x| x as f32)).collect();
    let stored = StoredEdges::new(&n_edge, &ends(0), &ends(1), &distance, &displacement)
        .expect("edges of equal lengths");
    let many = ManyGraphs::new(&n_node, Edges::Stored(stored)).expect("edges between nodes");
    let mut graphs = Graphs::new("the kit's", Topology::Many(many)).expect("there are graphs");

    fill_nodes(&mut graphs, &molecules.iter().collect::<Vec<_>>());
    let members: Vec<u32> = (0..molecules.len() as u32).collect();
    graphs.target = Some(target(store.targets, store.target(&members)));
    graphs.check().expect("the kit's graphs are sound");
    graphs
}

/// No padding.
pub(super) const NONE: Shape = Shape { n_node: 0, n_edge: 0, n_graph: 0, n_output: 0 };
/// A little padding: less than a vector register, more graphs than the padding nodes need.
pub(super) const SOME: Shape = Shape { n_node: 5, n_edge: 37, n_graph: 2, n_output: 2 };
/// Padding as most of the batch, with all padding edges on one node.
pub(super) const MUCH: Shape = Shape { n_node: 50, n_edge: 2500, n_graph: 1, n_output: 1 };

/// These members in sequence, followed by padding.
pub(super) fn collated(
    store: &Store,
    needs: &BatchFields,
    members: &[u32],
    weights: &[f32],
    padding: Shape,
) -> BatchBuffer {
    let mut plan = BatchPlan::default();
    plan.clear(store.level);
    let graphs = match store.level {
        Level::Graphs => {
            let graphs = many_graphs(store);
            let View::ManyGraphs(sizes) = graphs.view(members) else {
                unreachable!("these are many")
            };
            for &size in sizes.iter() {
                plan.push_graph(size);
            }
            graphs
        }
        Level::Nodes => {
            let (graphs, output) = one_graph(store, members);
            let Topology::One(one) = &graphs.topology else { unreachable!("this is one") };
            let (n_node, n_edge) = (one.n_node() as u32, one.sender.len() as u32);
            plan.members = (0..n_node).collect();
            plan.edges = EdgeSelection::Induced;
            plan.real = Shape { n_node, n_edge, n_graph: 1, n_output: output.len() as u32 };
            plan.output_row = output;
            graphs
        }
    };
    plan.output_weight = weights.to_vec();
    plan.shape = Shape {
        n_node: plan.real.n_node + padding.n_node,
        n_edge: plan.real.n_edge + padding.n_edge,
        n_graph: plan.real.n_graph + padding.n_graph,
        n_output: plan.real.n_output + padding.n_output,
    };
    let mut buffer = BatchBuffer::new();
    collate(&graphs, &plan, needs, &mut buffer).expect("the kit's graphs have what models need");
    buffer
}
