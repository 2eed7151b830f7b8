//! Compares plans with their collated batches, and with a slow implementation of collation.

use batchlab_core::graphs::{
    Edges, Graphs, ManyGraphs, NodeClass, OwnField, Per, StoredEdges, Target, Topology,
};
use batchlab_core::{BatchBuffer, BatchFields, BatchPlan, Level, PaddedBatch, collate};

use super::input::{for_all_with, ordinary};
use super::room::{plans, real, shape_fits};
use super::trial::brief;
use super::{Make, Outcome, Trial};

fn needs() -> BatchFields {
    BatchFields {
        node_class: true,
        distance: true,
        displacement: true,
        sender_order: true,
        own: ["charge", "force", "kind"].map(str::to_owned).to_vec(),
        ..BatchFields::default()
    }
}

pub(super) fn collated(make: Make<'_>) -> Outcome {
    for_all_with(make, ordinary(), 12, |trial, _| {
        let store = store(trial.sizes)?;
        // One buffer for all batches: nothing may remain of earlier ones.
        let mut buffer = BatchBuffer::new();
        for plan in plans(trial) {
            compare(trial, &store, &plan, &mut buffer)
                .map_err(|difference| format!("{difference}\nplan: {}", brief(&plan)))?;
        }
        Ok(())
    })
}

pub(crate) fn compare(
    trial: &Trial<'_>,
    store: &Graphs,
    plan: &BatchPlan,
    buffer: &mut BatchBuffer,
) -> Outcome {
    let graphs = trial.graphs();
    let is_known = |id: &u32| (*id as usize) < graphs.len();
    // A shape without room cannot be collated; this is reported by `shape` and `exactly_once`.
    if shape_fits(&graphs, plan).is_err() || !plan.members.iter().all(is_known) {
        return Ok(());
    }
    let size = real(&graphs, plan);
    if plan.real != size {
        return Err(format!(
            "the plan's real size is {:?}, but its members add up to {size:?}",
            plan.real
        ));
    }
    if plan.level != Level::Graphs {
        return Err("the plan's level is not Level::Graphs".into());
    }
    let weight = weights(plan)?;
    collate(store, plan, &needs(), buffer)
        .map_err(|error| format!("it cannot be collated: {error}"))?;
    let batch = buffer.batch();
    if batch.shape != plan.shape || batch.real != plan.real {
        return Err("the batch and its plan differ in size".into());
    }
    Expected::new(trial.sizes, plan, &weight).compare(&batch)
}

/// Output weights of the members: those of the plan, or 1.
fn weights(plan: &BatchPlan) -> Result<Vec<f32>, String> {
    let n = plan.members.len();
    if plan.output_weight.is_empty() {
        return Ok(vec![1.0; n]);
    }
    if plan.output_weight.len() != n {
        return Err(format!("{} weights for {n} graphs", plan.output_weight.len()));
    }
    if let Some(weight) = plan.output_weight.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
        return Err(format!("a graph has weight {weight}; use finite weights >= 0"));
    }
    Ok(plan.output_weight.clone())
}

/// Graphs whose values encode their origin: the graph, and the position within it.
fn store(sizes: &[[u32; 2]]) -> Result<Graphs, String> {
    let n_node: Vec<u32> = sizes.iter().map(|size| size[0]).collect();
    let n_edge: Vec<u32> = sizes.iter().map(|size| size[1]).collect();
    let mut ends = (Vec::new(), Vec::new());
    let (mut distance, mut displacement, mut class) = (Vec::new(), Vec::new(), Vec::new());
    for (graph, &[n_node, n_edge]) in sizes.iter().enumerate() {
        class.extend((0..n_node).map(|node| class_of(graph, node)));
        for edge in 0..n_edge {
            let (sender, receiver) = ends_of(n_node, edge);
            ends.0.push(sender);
            ends.1.push(receiver);
            distance.push(length_of(graph, edge));
            displacement.push(vector_of(graph, edge));
        }
    }
    let inconsistent = |error: batchlab_core::DatasetError| error.to_string();
    let edges = StoredEdges::new(&n_edge, &ends.0, &ends.1, &distance, &displacement);
    let many = ManyGraphs::new(&n_node, Edges::Stored(edges.map_err(inconsistent)?));
    let mut store = Graphs::new("conformance", Topology::Many(many.map_err(inconsistent)?))
        .map_err(inconsistent)?;
    store.node_class = Some(NodeClass { value: class, name: vec![String::new(); 7] });
    let value = (0..sizes.len()).map(|graph| f64::from(target_of(graph))).collect();
    store.target = Some(Target::regression("y", "eV", value));
    store.own = own(sizes, &StoredEdges::order(&n_edge, &ends.1));
    store.check().map_err(inconsistent)?;
    Ok(store)
}

/// Custom fields of each kind, whose values encode their origin too.
fn own(sizes: &[[u32; 2]], order: &[u32]) -> Vec<OwnField> {
    let (mut charge, mut force, mut kind) = (Vec::new(), Vec::new(), Vec::new());
    for (graph, &[n_node, n_edge]) in sizes.iter().enumerate() {
        charge.push(charge_of(graph));
        force.extend((0..n_node).flat_map(|node| vector_of(graph, node)));
        kind.extend((0..n_edge).map(|edge| kind_of(graph, edge)));
    }
    vec![
        OwnField::new("force", Per::Node, 3, &force),
        OwnField::new("kind", Per::Edge, 1, &kind).reordered(order),
        OwnField::new("charge", Per::Graph, 1, &charge),
    ]
}

fn charge_of(graph: usize) -> i64 {
    -5_000_000_000 - graph as i64
}

fn kind_of(graph: usize, edge: u32) -> u8 {
    ((graph as u32 + 3 * edge) % 250) as u8 + 1
}

fn class_of(graph: usize, node: u32) -> u32 {
    (graph as u32 + node) % 7
}

fn ends_of(n_node: u32, edge: u32) -> (u32, u32) {
    ((5 * edge + 1) % n_node, (7 * edge + 3) % n_node)
}

fn length_of(graph: usize, edge: u32) -> f32 {
    graph as f32 * 100.0 + edge as f32 + 0.5
}

fn vector_of(graph: usize, edge: u32) -> [f32; 3] {
    let length = length_of(graph, edge);
    [length, -length, 0.25 * length]
}

fn target_of(graph: usize) -> f32 {
    graph as f32 - 2.5
}

/// A batch built graph by graph and then padding, with growing vectors and no offsets.
#[derive(Default)]
struct Expected {
    n_node_of: Vec<u32>,
    n_edge_of: Vec<u32>,
    origin: Vec<u32>,
    output_target: Vec<f32>,
    output_weight: Vec<f32>,
    graph_of: Vec<u32>,
    node_class: Vec<u32>,
    sender: Vec<u32>,
    receiver: Vec<u32>,
    distance: Vec<f32>,
    displacement: Vec<f32>,
    charge: Vec<i64>,
    force: Vec<f32>,
    kind: Vec<u8>,
}

impl Expected {
    fn new(sizes: &[[u32; 2]], plan: &BatchPlan, weight: &[f32]) -> Self {
        let mut batch = Self::default();
        for (slot, (&id, &weight)) in plan.members.iter().zip(weight).enumerate() {
            batch.push(id as usize, slot as u32, sizes[id as usize], weight);
        }
        batch.pad(plan);
        batch
    }

    fn push(&mut self, graph: usize, slot: u32, [n_node, n_edge]: [u32; 2], weight: f32) {
        let first = self.graph_of.len() as u32;
        self.n_node_of.push(n_node);
        self.n_edge_of.push(n_edge);
        self.origin.push(graph as u32);
        self.output_target.push(target_of(graph));
        self.charge.push(charge_of(graph));
        self.output_weight.push(weight);
        for node in 0..n_node {
            self.graph_of.push(slot);
            self.node_class.push(class_of(graph, node));
            self.force.extend(vector_of(graph, node));
        }
        let mut edges: Vec<u32> = (0..n_edge).collect();
        edges.sort_by_key(|&edge| ends_of(n_node, edge).1);
        for edge in edges {
            let (sender, receiver) = ends_of(n_node, edge);
            self.sender.push(first + sender);
            self.receiver.push(first + receiver);
            self.distance.push(length_of(graph, edge));
            self.displacement.extend(vector_of(graph, edge));
            self.kind.push(kind_of(graph, edge));
        }
    }

    /// One padding graph takes all padding nodes and edges; other slots are empty.
    fn pad(&mut self, plan: &BatchPlan) {
        let [n_node, n_edge, n_graph, n_output] =
            [plan.shape.n_node, plan.shape.n_edge, plan.shape.n_graph, plan.shape.n_output]
                .map(|n| n as usize);
        let (real, first) = (self.origin.len(), self.graph_of.len() as u32);
        if real < n_graph {
            self.n_node_of.push(plan.shape.n_node - first);
            self.n_edge_of.push(plan.shape.n_edge - self.sender.len() as u32);
        }
        self.n_node_of.resize(n_graph, 0);
        self.n_edge_of.resize(n_graph, 0);
        self.origin.resize(n_graph, u32::MAX);
        self.output_target.resize(n_output, 0.0);
        self.output_weight.resize(n_output, 0.0);
        self.graph_of.resize(n_node, real as u32);
        self.node_class.resize(n_node, 0);
        self.sender.resize(n_edge, first);
        self.receiver.resize(n_edge, first);
        self.distance.resize(n_edge, 0.0);
        self.displacement.resize(3 * n_edge, 0.0);
        self.charge.resize(n_graph, 0);
        self.force.resize(3 * n_node, 0.0);
        self.kind.resize(n_edge, 0);
    }

    fn compare(&self, batch: &PaddedBatch<'_>) -> Outcome {
        equal("n_node_of", &self.n_node_of, batch.n_node_of)?;
        equal("n_edge_of", &self.n_edge_of, batch.n_edge_of)?;
        equal("origin", &self.origin, batch.origin)?;
        equal("output_target", &self.output_target, batch.output_target)?;
        equal("output_weight", &self.output_weight, batch.output_weight)?;
        equal("graph_of", &self.graph_of, batch.graph_of)?;
        equal("node_class", &self.node_class, batch.node_class)?;
        equal("sender", &self.sender, batch.sender)?;
        equal("receiver", &self.receiver, batch.receiver)?;
        equal("distance", &self.distance, batch.distance)?;
        equal("displacement", &self.displacement, batch.displacement)?;
        equal("charge", &self.charge, batch.own.get("charge").unwrap_or_default())?;
        equal("force", &self.force, batch.own.get("force").unwrap_or_default())?;
        equal("kind", &self.kind, batch.own.get("kind").unwrap_or_default())?;
        let mut by_sender: Vec<u32> = (0..self.sender.len() as u32).collect();
        by_sender.sort_by_key(|&edge| self.sender[edge as usize]);
        equal("sender_order", &by_sender, batch.sender_order)
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(name: &str, expected: &[T], found: &[T]) -> Outcome {
    if expected.len() != found.len() {
        return Err(format!("{name} has {} entries instead of {}", found.len(), expected.len()));
    }
    let differing = expected.iter().zip(found).position(|(expected, found)| expected != found);
    differing.map_or(Ok(()), |at| {
        Err(format!("{name}[{at}] is {:?} instead of {:?}", found[at], expected[at]))
    })
}
