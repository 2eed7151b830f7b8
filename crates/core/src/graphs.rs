//! The columnar store of graphs, and what batchers see of it.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::DatasetError;
use crate::collate::Needs;
use crate::hash::hexadecimal;

/// Whether something works on whole graphs or on the nodes of one graph.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Level {
    /// Many graphs; a batch is a set of graphs.
    #[default]
    Graphs,
    /// One graph; a batch is a set of its nodes.
    Nodes,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Graphs => "many graphs",
            Self::Nodes => "one graph",
        })
    }
}

/// All graphs of a data set, as concatenated arrays.
#[derive(Debug, Clone)]
pub struct Graphs {
    /// Name of the data set, as the configuration gives it.
    pub dataset: String,
    /// How nodes and edges are arranged.
    pub topology: Topology,
    /// Class of each node, `[n_node]`.
    pub node_class: Option<NodeClass>,
    /// Features of each node, `[n_node, width]`.
    pub node_feature: Option<NodeFeature>,
    /// Position of each node in angstrom, `[n_node, 3]`.
    pub position: Option<Vec<[f32; 3]>>,
    /// What is to be predicted.
    pub target: Option<Target>,
    /// The division that the data set's authors published, where there is one; a run uses it unless
    /// its configuration asks for a random one.
    pub split: Option<FixedSplit>,
    /// How each graph is called in its source, for example the index in QM9; `[n_graph]`, or empty
    /// when that is its position.
    pub origin: Vec<u32>,
    /// Counts that a person should know, for example how many molecules were left out and why.
    pub notes: Vec<(String, u64)>,
}

/// Which members (graphs, or nodes of one graph) are for what, as published with the data.
///
/// No member is in two subsets, or in one of them twice; some may be in none. The order within a
/// subset is the order of an evaluation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FixedSplit {
    /// For training.
    pub train: Vec<u32>,
    /// For choices during training.
    pub validation: Vec<u32>,
    /// For the final judgement.
    pub test: Vec<u32>,
}

/// How nodes and edges are arranged.
#[derive(Debug, Clone)]
pub enum Topology {
    /// Many graphs.
    Many(ManyGraphs),
    /// One large graph.
    One(Arc<OneGraph>),
}

/// Many graphs, their nodes concatenated.
#[derive(Debug, Clone)]
pub struct ManyGraphs {
    node_offset: Vec<usize>,
    edges: Edges,
    /// For stored edges, where the run of each node starts, counted within its graph,
    /// `[2, n_node]`: among the edges as stored (by receiver), and in the order of the senders.
    start: Vec<u32>,
}

/// The edges of many graphs.
#[derive(Debug, Clone)]
pub enum Edges {
    /// Only the number of edges of each graph is known, `[n_graph]`: enough for planning.
    Counted(Vec<u32>),
    /// Every ordered pair of different nodes; implied, and written out only in the batch.
    FullyConnected,
    /// Edges as arrays.
    Stored(StoredEdges),
}

/// The edges of many graphs as concatenated arrays, sorted by receiver within each graph.
#[derive(Debug, Clone)]
pub struct StoredEdges {
    /// First edge of each graph, `[n_graph + 1]`.
    pub(crate) offset: Vec<usize>,
    /// Sending node, counted within its graph, `[n_edge]`.
    pub(crate) sender: Vec<u32>,
    /// Receiving node, counted within its graph, ascending in each graph, `[n_edge]`.
    pub(crate) receiver: Vec<u32>,
    /// The edges of each graph in the order of their senders, counted within the graph, `[n_edge]`.
    pub(crate) sender_order: Vec<u32>,
    /// Distance in angstrom, `[n_edge]`, or empty.
    pub(crate) distance: Vec<f32>,
    /// Position of the receiver minus position of the sender, periodic image included, in
    /// angstrom, `[n_edge, 3]`, or empty.
    pub(crate) displacement: Vec<[f32; 3]>,
}

/// One large graph in compressed rows, by receiver.
#[derive(Debug, Clone, PartialEq)]
pub struct OneGraph {
    /// First incoming edge of each node, `[n_node + 1]`.
    pub offset: Vec<usize>,
    /// Sending node of each edge, ascending for each receiver, `[n_edge]`.
    pub sender: Vec<u32>,
    /// Weight of each edge in the full graph, `[n_edge]`, or empty for 1.
    pub edge_weight: Vec<f32>,
}

/// Classes of nodes, for example elements.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeClass {
    /// Class of each node, below the number of names, `[n_node]`.
    pub value: Vec<u32>,
    /// Name of each class.
    pub name: Vec<String>,
}

/// Features of nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeFeature {
    /// Row-major, `[n_node, width]`.
    pub value: Vec<f32>,
    /// Features per node.
    pub width: usize,
}

/// What is to be predicted.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Name as the configuration gives it.
    pub name: String,
    /// A number or a class.
    pub kind: TargetKind,
    /// True values in the target's unit, or class numbers; one per graph, or one per node of one
    /// graph (negative: this node has none).
    pub value: Vec<f64>,
    /// What training sees: standardised values, or class numbers. Same length.
    pub training: Vec<f32>,
    /// How `training` comes from `value`.
    pub standardisation: Standardisation,
}

/// Whether a target is a number or a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetKind {
    /// A number with its unit.
    Regression {
        /// For example `eV`.
        unit: String,
    },
    /// One of several classes.
    Classes {
        /// Name of each class.
        name: Vec<String>,
    },
}

/// `training = (value - mean) / deviation`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standardisation {
    /// Mean over the training set, in the target's unit.
    pub mean: f64,
    /// Standard deviation over the training set (division by n), in the target's unit.
    pub deviation: f64,
}

impl Default for Standardisation {
    fn default() -> Self {
        Self { mean: 0.0, deviation: 1.0 }
    }
}

impl Target {
    /// A numeric target, not standardised yet.
    #[must_use]
    pub fn regression(name: &str, unit: &str, value: Vec<f64>) -> Self {
        Self::new(name, TargetKind::Regression { unit: unit.to_owned() }, value)
    }

    /// A class per graph or node.
    #[must_use]
    pub fn classes(name: &str, classes: Vec<String>, value: Vec<f64>) -> Self {
        Self::new(name, TargetKind::Classes { name: classes }, value)
    }

    fn new(name: &str, kind: TargetKind, value: Vec<f64>) -> Self {
        let training = value.iter().map(|&v| v as f32).collect();
        let standardisation = Standardisation::default();
        Self { name: name.to_owned(), kind, value, training, standardisation }
    }

    /// Standardises a numeric target by mean and deviation over `members`; classes stay as they
    /// are. A constant target keeps its scale.
    pub fn standardise(&mut self, members: &[u32]) {
        if matches!(self.kind, TargetKind::Classes { .. }) || members.is_empty() {
            return;
        }
        let n = members.len() as f64;
        let values = || members.iter().map(|&id| self.value[id as usize]);
        let mean = values().sum::<f64>() / n;
        let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        // Equal values differ from their mean by rounding: that is no scale to divide by.
        let is_constant = variance.sqrt() <= 1e-12 * mean.abs();
        let deviation = if is_constant { 1.0 } else { variance.sqrt() };
        self.standardisation = Standardisation { mean, deviation };
        self.training = self.value.iter().map(|v| ((v - mean) / deviation) as f32).collect();
    }
}

/// The largest graph whose n (n - 1) edges can be counted in 32 bits.
const MAX_CONNECTED: u32 = 65_536;

impl ManyGraphs {
    /// Graphs with `n_node[g]` nodes each.
    ///
    /// # Errors
    /// Edge arrays that belong to another number of graphs, or a graph without nodes.
    pub fn new(n_node: &[u32], edges: Edges) -> Result<Self, DatasetError> {
        if let Some(graph) = n_node.iter().position(|&n| n == 0) {
            return Err(DatasetError::Inconsistent(format!("graph {graph} has no nodes")));
        }
        let n_edge_list = match &edges {
            Edges::Counted(n_edge) => n_edge.len(),
            Edges::FullyConnected => n_node.len(),
            Edges::Stored(stored) => stored.offset.len() - 1,
        };
        if n_edge_list != n_node.len() {
            return Err(DatasetError::Inconsistent(format!(
                "edges of {n_edge_list} graphs, but nodes of {} graphs",
                n_node.len()
            )));
        }
        match &edges {
            Edges::Stored(stored) => stored.check_nodes(n_node)?,
            Edges::FullyConnected => {
                if let Some(graph) = n_node.iter().position(|&n| n > MAX_CONNECTED) {
                    return Err(DatasetError::Inconsistent(format!(
                        "graph {graph} has {} nodes, too many to connect all of them; store its edges",
                        n_node[graph]
                    )));
                }
            }
            Edges::Counted(_) => {}
        }
        let node_offset = offsets(n_node);
        let start = match &edges {
            Edges::Stored(stored) => stored.starts(&node_offset),
            Edges::Counted(_) | Edges::FullyConnected => Vec::new(),
        };
        Ok(Self { node_offset, edges, start })
    }

    /// Number of graphs.
    #[must_use]
    pub fn n_graph(&self) -> usize {
        self.node_offset.len() - 1
    }

    /// The edges.
    #[must_use]
    pub fn edges(&self) -> &Edges {
        &self.edges
    }

    /// Index of the first node of a graph.
    pub(crate) fn first_node(&self, graph: usize) -> usize {
        self.node_offset[graph]
    }

    /// For stored edges, where the runs of each node of a graph start: among the edges as stored
    /// (by receiver), and in the order of the senders.
    pub(crate) fn starts(&self, graph: usize) -> (&[u32], &[u32]) {
        let nodes = self.node_offset[graph]..self.node_offset[graph + 1];
        let (by_receiver, by_sender) = self.start.split_at(self.start.len() / 2);
        (&by_receiver[nodes.clone()], &by_sender[nodes])
    }

    /// Nodes and edges of a graph.
    ///
    /// # Panics
    /// If the graph does not exist.
    #[must_use]
    pub fn size(&self, graph: usize) -> GraphSize {
        let n_node = (self.node_offset[graph + 1] - self.node_offset[graph]) as u32;
        let n_edge = match &self.edges {
            Edges::Counted(n_edge) => n_edge[graph],
            Edges::FullyConnected => n_node * (n_node - 1),
            Edges::Stored(stored) => (stored.offset[graph + 1] - stored.offset[graph]) as u32,
        };
        GraphSize { id: graph as u32, n_node, n_edge }
    }
}

impl StoredEdges {
    /// Takes edges in any order and sorts each graph's by receiver, keeping the given order among
    /// the edges of one receiver.
    ///
    /// `n_edge` is per graph; `sender` and `receiver` count nodes within their graph; `distance`
    /// `[n_edge]` and `displacement` `[n_edge, 3]` in angstrom may be empty.
    ///
    /// # Errors
    /// Arrays of different lengths.
    pub fn new(
        n_edge: &[u32],
        sender: &[u32],
        receiver: &[u32],
        distance: &[f32],
        displacement: &[[f32; 3]],
    ) -> Result<Self, DatasetError> {
        let offset = offsets(n_edge);
        let total = offset[n_edge.len()];
        let lengths = [
            ("senders", sender.len()),
            ("receivers", receiver.len()),
            ("distances", if distance.is_empty() { total } else { distance.len() }),
            ("displacements", if displacement.is_empty() { total } else { displacement.len() }),
        ];
        if let Some((what, len)) = lengths.into_iter().find(|&(_, len)| len != total) {
            return Err(DatasetError::Inconsistent(format!("{len} {what} for {total} edges")));
        }
        let mut order: Vec<u32> = Vec::with_capacity(total);
        for bounds in offset.windows(2) {
            let mut edges: Vec<u32> = (bounds[0] as u32..bounds[1] as u32).collect();
            edges.sort_by_key(|&edge| receiver[edge as usize]);
            order.extend(edges);
        }
        let sorted_sender = gather(&order, sender);
        let mut sender_order = Vec::with_capacity(total);
        for bounds in offset.windows(2) {
            let of_graph = &sorted_sender[bounds[0]..bounds[1]];
            let mut edges: Vec<u32> = (0..of_graph.len() as u32).collect();
            edges.sort_by_key(|&edge| of_graph[edge as usize]);
            sender_order.extend(edges);
        }
        let pick_distance = if distance.is_empty() { &[][..] } else { &order };
        let pick_displacement = if displacement.is_empty() { &[][..] } else { &order };
        Ok(Self {
            receiver: gather(&order, receiver),
            distance: gather(pick_distance, distance),
            displacement: gather(pick_displacement, displacement),
            sender: sorted_sender,
            sender_order,
            offset,
        })
    }

    /// First edge of each node within its graph, by receiver and by sender. All ends exist.
    fn starts(&self, node_offset: &[usize]) -> Vec<u32> {
        let n_node = node_offset[node_offset.len() - 1];
        let mut start = vec![0; 2 * n_node];
        let (by_receiver, by_sender) = start.split_at_mut(n_node);
        for (nodes, edges) in node_offset.windows(2).zip(self.offset.windows(2)) {
            let (nodes, edges) = (nodes[0]..nodes[1], edges[0]..edges[1]);
            count_before(&mut by_receiver[nodes.clone()], &self.receiver[edges.clone()]);
            count_before(&mut by_sender[nodes], &self.sender[edges]);
        }
        start
    }

    fn check_nodes(&self, n_node: &[u32]) -> Result<(), DatasetError> {
        for (graph, (&n, bounds)) in n_node.iter().zip(self.offset.windows(2)).enumerate() {
            let ends = || {
                self.sender[bounds[0]..bounds[1]].iter().chain(&self.receiver[bounds[0]..bounds[1]])
            };
            if let Some(node) = ends().find(|&&node| node >= n) {
                return Err(DatasetError::Inconsistent(format!(
                    "an edge of graph {graph} ends at node {node}, but the graph has {n} nodes"
                )));
            }
        }
        Ok(())
    }
}

impl FixedSplit {
    fn check(&self, n_member: usize) -> Result<(), DatasetError> {
        let mut taken = vec![false; n_member];
        for &member in self.train.iter().chain(&self.validation).chain(&self.test) {
            let problem = match taken.get_mut(member as usize) {
                None => format!("names member {member}, but there are {n_member}"),
                Some(true) => format!("names member {member} twice"),
                Some(slot) => {
                    *slot = true;
                    continue;
                }
            };
            return Err(DatasetError::Inconsistent(format!("the split {problem}")));
        }
        Ok(())
    }
}

impl OneGraph {
    /// Number of nodes.
    #[must_use]
    pub fn n_node(&self) -> usize {
        self.offset.len() - 1
    }

    /// The edges that a node receives, as a range over [`OneGraph::sender`].
    ///
    /// # Panics
    /// If the node does not exist.
    #[must_use]
    pub fn incoming(&self, node: u32) -> std::ops::Range<usize> {
        self.offset[node as usize]..self.offset[node as usize + 1]
    }
}

impl Graphs {
    /// A store that knows its topology alone; the other fields are public and filled by the data
    /// set, then checked by [`Graphs::check`].
    ///
    /// # Errors
    /// No graph at all.
    pub fn new(dataset: &str, topology: Topology) -> Result<Self, DatasetError> {
        let graphs = Self {
            dataset: dataset.to_owned(),
            topology,
            node_class: None,
            node_feature: None,
            position: None,
            target: None,
            split: None,
            origin: Vec::new(),
            notes: Vec::new(),
        };
        if graphs.n_member() == 0 {
            return Err(DatasetError::Empty(format!("\"{dataset}\" holds no graph")));
        }
        Ok(graphs)
    }

    /// Whether this is many graphs or one.
    #[must_use]
    pub fn level(&self) -> Level {
        match self.topology {
            Topology::Many(_) => Level::Graphs,
            Topology::One(_) => Level::Nodes,
        }
    }

    /// How many things can be split into training, validation and test: graphs, or nodes.
    #[must_use]
    pub fn n_member(&self) -> usize {
        match &self.topology {
            Topology::Many(many) => many.n_graph(),
            Topology::One(one) => one.n_node(),
        }
    }

    /// Total number of nodes.
    #[must_use]
    pub fn n_node(&self) -> usize {
        match &self.topology {
            Topology::Many(many) => many.node_offset[many.n_graph()],
            Topology::One(one) => one.n_node(),
        }
    }

    /// The fields that [`collate`](crate::collate()) can deliver.
    #[must_use]
    pub fn fields(&self) -> Needs {
        let stored = match &self.topology {
            Topology::Many(ManyGraphs { edges: Edges::Stored(stored), .. }) => Some(stored),
            _ => None,
        };
        let implied = matches!(
            &self.topology,
            Topology::Many(ManyGraphs { edges: Edges::FullyConnected, .. })
        ) && self.position.is_some();
        Needs {
            node_class: self.node_class.is_some(),
            node_feature: self.node_feature.is_some(),
            distance: implied || stored.is_some_and(|s| s.distance.len() == s.sender.len()),
            displacement: implied || stored.is_some_and(|s| s.displacement.len() == s.sender.len()),
            edge_weight: matches!(self.topology, Topology::One(_)),
            sender_order: !matches!(
                &self.topology,
                Topology::Many(ManyGraphs { edges: Edges::Counted(_), .. })
            ),
        }
    }

    /// Checks that every array has the length that the topology asks for.
    ///
    /// # Errors
    /// [`DatasetError::Inconsistent`] with the array's name and both lengths.
    pub fn check(&self) -> Result<(), DatasetError> {
        let n_node = self.n_node();
        let lengths = [
            ("node classes", self.node_class.as_ref().map(|c| c.value.len()), n_node),
            (
                "node features",
                self.node_feature.as_ref().map(|f| f.value.len()),
                n_node * self.node_feature.as_ref().map_or(0, |f| f.width),
            ),
            ("positions", self.position.as_ref().map(Vec::len), n_node),
            ("targets", self.target.as_ref().map(|t| t.value.len()), self.n_member()),
            ("origins", (!self.origin.is_empty()).then_some(self.origin.len()), self.n_member()),
        ];
        for (what, got, expected) in lengths {
            if got.is_some_and(|got| got != expected) {
                let got = got.unwrap_or_default();
                return Err(DatasetError::Inconsistent(format!(
                    "{got} {what}, expected {expected}"
                )));
            }
        }
        if let Some(class) = &self.node_class
            && let Some(value) =
                class.value.iter().find(|&&value| value as usize >= class.name.len())
        {
            return Err(DatasetError::Inconsistent(format!("node class {value} has no name")));
        }
        self.split.as_ref().map_or(Ok(()), |split| split.check(self.n_member()))
    }

    /// What a batcher sees of a subset, in the order of `members` (graphs, or output nodes).
    ///
    /// # Panics
    /// If a member does not exist.
    #[must_use]
    pub fn view(&self, members: &[u32]) -> View {
        match &self.topology {
            Topology::Many(many) => {
                View::ManyGraphs(members.iter().map(|&id| many.size(id as usize)).collect())
            }
            Topology::One(one) => View::OneGraph(OneGraphView {
                graph: Arc::clone(one),
                class: self.target.as_ref().map_or_else(
                    || Arc::from([]),
                    |t| t.value.iter().map(|&v| class_number(v).unwrap_or(u32::MAX)).collect(),
                ),
                output: members.into(),
            }),
        }
    }

    /// SHA-256 over everything that training can see, as hexadecimal digits. The same data give
    /// the same hash, whichever file they came from (on little-endian machines, which all are that
    /// this runs on).
    #[must_use]
    pub fn content_hash(&self) -> String {
        let mut hasher = Sha256::new();
        let mut add = |name: &str, bytes: &[u8]| {
            hasher.update(name.as_bytes());
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        match &self.topology {
            Topology::Many(many) => {
                add("node offset", &offset_bytes(&many.node_offset));
                match &many.edges {
                    Edges::Counted(n_edge) => add("edges counted", bytemuck::cast_slice(n_edge)),
                    Edges::FullyConnected => add("edges fully connected", &[]),
                    Edges::Stored(stored) => {
                        add("edge offset", &offset_bytes(&stored.offset));
                        add("sender", bytemuck::cast_slice(&stored.sender));
                        add("receiver", bytemuck::cast_slice(&stored.receiver));
                        add("distance", bytemuck::cast_slice(&stored.distance));
                        add("displacement", bytemuck::cast_slice(&stored.displacement));
                    }
                }
            }
            Topology::One(one) => {
                add("offset", &offset_bytes(&one.offset));
                add("sender", bytemuck::cast_slice(&one.sender));
                add("edge weight", bytemuck::cast_slice(&one.edge_weight));
            }
        }
        if let Some(class) = &self.node_class {
            add("node class", bytemuck::cast_slice(&class.value));
            add("node class names", class.name.join("\0").as_bytes());
        }
        if let Some(feature) = &self.node_feature {
            add("node feature width", &offset_bytes(&[feature.width]));
            add("node feature", bytemuck::cast_slice(&feature.value));
        }
        if let Some(position) = &self.position {
            add("position", bytemuck::cast_slice(position));
        }
        if let Some(target) = &self.target {
            add("target", format!("{} {:?}", target.name, target.kind).as_bytes());
            add("target value", bytemuck::cast_slice(&target.value));
        }
        if let Some(split) = &self.split {
            add("train", bytemuck::cast_slice(&split.train));
            add("validation", bytemuck::cast_slice(&split.validation));
            add("test", bytemuck::cast_slice(&split.test));
        }
        hexadecimal(&hasher.finalize())
    }
}

/// One graph as a batcher sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphSize {
    /// Identifier in the store; this is what a plan names.
    pub id: u32,
    /// Nodes.
    pub n_node: u32,
    /// Directed edges.
    pub n_edge: u32,
}

/// What a batcher sees of one subset. Cloning is cheap.
#[derive(Debug, Clone)]
pub enum View {
    /// The sizes of many graphs, in a fixed order.
    ManyGraphs(Arc<[GraphSize]>),
    /// One graph, and which of its nodes are outputs.
    OneGraph(OneGraphView),
}

/// One graph and the nodes of a subset.
#[derive(Debug, Clone)]
pub struct OneGraphView {
    /// Structure of the whole graph.
    pub graph: Arc<OneGraph>,
    /// Class of every node, `[n_node]`, `u32::MAX` where there is none; empty without classes.
    pub class: Arc<[u32]>,
    /// Output nodes of this subset, in a fixed order.
    pub output: Arc<[u32]>,
}

impl View {
    /// Whether this is many graphs or one.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::ManyGraphs(_) => Level::Graphs,
            Self::OneGraph(_) => Level::Nodes,
        }
    }
}

/// Class numbers are kept as floats; a negative one means that the node has none.
fn class_number(value: f64) -> Option<u32> {
    #[allow(clippy::cast_sign_loss, reason = "checked to be non-negative")]
    (value >= 0.0).then_some(value as u32)
}

fn offset_bytes(offset: &[usize]) -> Vec<u8> {
    offset.iter().flat_map(|&value| (value as u64).to_le_bytes()).collect()
}

fn offsets(count: &[u32]) -> Vec<usize> {
    let mut offset = Vec::with_capacity(count.len() + 1);
    offset.push(0);
    let mut total = 0;
    for &n in count {
        total += n as usize;
        offset.push(total);
    }
    offset
}

/// For each node, how many of `ends` are nodes before it. `count` comes as zeros.
fn count_before(count: &mut [u32], ends: &[u32]) {
    for &end in ends {
        count[end as usize] += 1;
    }
    let mut before = 0;
    for slot in count {
        before += std::mem::replace(slot, before);
    }
}

fn gather<T: Copy>(order: &[u32], values: &[T]) -> Vec<T> {
    order.iter().map(|&i| values[i as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_edges_are_sorted_by_receiver_and_know_their_sender_order() {
        let stored = StoredEdges::new(
            &[3, 2],
            &[0, 1, 2, 1, 0],
            &[1, 0, 0, 0, 1],
            &[1., 2., 3., 4., 5.],
            &[],
        )
        .unwrap();
        assert_eq!(stored.receiver, [0, 0, 1, 0, 1]);
        assert_eq!(stored.sender, [1, 2, 0, 1, 0]);
        assert_eq!(stored.distance, [2., 3., 1., 4., 5.]);
        assert_eq!(stored.sender_order, [2, 0, 1, 1, 0]);
    }

    #[test]
    fn edges_to_nodes_that_do_not_exist_are_refused() {
        let stored = StoredEdges::new(&[1], &[0], &[7], &[], &[]).unwrap();
        let error = ManyGraphs::new(&[2], Edges::Stored(stored)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "inconsistent graphs: an edge of graph 0 ends at node 7, but the graph has 2 nodes"
        );
    }

    #[test]
    fn standardised_targets_have_mean_0_and_deviation_1_over_the_training_set() {
        let mut target = Target::regression("U0", "eV", vec![1.0, 3.0, 100.0]);
        target.standardise(&[0, 1]);
        assert_eq!(target.standardisation, Standardisation { mean: 2.0, deviation: 1.0 });
        assert_eq!(target.training, [-1.0, 1.0, 98.0]);
    }

    #[test]
    fn a_split_that_names_a_member_twice_is_refused() {
        let one = OneGraph { offset: vec![0; 4], sender: Vec::new(), edge_weight: Vec::new() };
        let mut graphs = Graphs::new("test", Topology::One(Arc::new(one))).unwrap();
        let unsplit = graphs.content_hash();
        let mut check = |train: &[u32], test: &[u32]| {
            let [train, test] = [train, test].map(<[u32]>::to_vec);
            graphs.split = Some(FixedSplit { train, validation: Vec::new(), test });
            graphs.check().map(|()| graphs.content_hash()).map_err(|error| error.to_string())
        };
        assert_ne!(check(&[2, 0], &[1]).unwrap(), unsplit);
        let error = check(&[2, 0], &[2]).unwrap_err();
        assert_eq!(error, "inconsistent graphs: the split names member 2 twice");
        let error = check(&[3], &[]).unwrap_err();
        assert_eq!(error, "inconsistent graphs: the split names member 3, but there are 3");
    }

    #[test]
    fn a_constant_target_keeps_its_scale() {
        for value in [0.0, 0.1, -0.2543] {
            let mut target = Target::regression("mu", "D", vec![value; 1601]);
            target.standardise(&(0..1601).collect::<Vec<_>>());
            assert!((target.standardisation.deviation - 1.0).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn the_hash_sees_every_value() {
        let graphs = |position: f32| {
            let many = ManyGraphs::new(&[1, 1], Edges::FullyConnected).unwrap();
            let mut graphs = Graphs::new("test", Topology::Many(many)).unwrap();
            graphs.position = Some(vec![[0.0; 3], [0.0, position, 0.0]]);
            graphs.content_hash()
        };
        assert_eq!(graphs(1.0), graphs(1.0));
        assert_ne!(graphs(1.0), graphs(1.1));
    }
}
