//! The nodes and edges of one batch while they are being chosen.

use crate::contract::graphs::OneGraph;
use crate::contract::plan::{BatchPlan, EdgeSelection, ListedEdges, Shape};

/// Marks nodes that are not chosen.
const ABSENT: u32 = u32::MAX;

/// The choice for one batch, as node ids of the graph. Rows, order and counts are derived
/// afterwards, in the same way for all strategies.
pub struct ChosenNodes {
    /// For each node of the graph, `[n_node]`: `ABSENT` or another value; finally the row.
    row: Vec<u32>,
    nodes: Vec<u32>,
    listed: ListedEdges,
    /// Scratch: listed edges sorted by receiver.
    order: Vec<u32>,
}

impl ChosenNodes {
    pub(super) fn new(n_node: usize) -> Self {
        Self {
            row: vec![ABSENT; n_node],
            nodes: Vec::new(),
            listed: ListedEdges::default(),
            order: Vec::new(),
        }
    }

    /// Adds a node; returns `false` if it was already present.
    ///
    /// # Panics
    /// If the node does not exist.
    pub fn add(&mut self, node: u32) -> bool {
        let slot = &mut self.row[node as usize];
        let is_new = *slot == ABSENT;
        if is_new {
            *slot = 0;
            self.nodes.push(node);
        }
        is_new
    }

    /// Whether a node has been chosen.
    ///
    /// # Panics
    /// If the node does not exist.
    #[must_use]
    pub fn contains(&self, node: u32) -> bool {
        self.row[node as usize] != ABSENT
    }

    /// The nodes chosen so far: the outputs, then the others in the order in which they were added.
    #[must_use]
    pub fn nodes(&self) -> &[u32] {
        &self.nodes
    }

    /// Lists an edge and adds its ends. Only for contexts whose edges are
    /// [`EdgeSelection::Listed`]; ignored otherwise.
    ///
    /// # Panics
    /// If one of the nodes does not exist.
    pub fn list_edge(&mut self, sender: u32, receiver: u32, weight: f32) {
        self.add(sender);
        self.add(receiver);
        self.listed.sender.push(sender);
        self.listed.receiver.push(receiver);
        self.listed.weight.push(weight);
    }

    pub(super) fn start(&mut self, output: &[u32]) {
        for &node in output {
            self.add(node);
        }
    }

    /// Writes everything except the padded shape to `plan`, whose edge selection must be set, and
    /// resets the choice.
    pub(super) fn finish(&mut self, graph: &OneGraph, output: &[u32], plan: &mut BatchPlan) {
        self.nodes.sort_unstable();
        for (row, &node) in self.nodes.iter().enumerate() {
            self.row[node as usize] = row as u32;
        }
        plan.members.extend_from_slice(&self.nodes);
        plan.output_row.extend(output.iter().map(|&node| self.row[node as usize]));
        let n_edge = match plan.edges {
            EdgeSelection::Listed => self.write_listed(&mut plan.listed),
            _ => self.count_induced(graph),
        };
        plan.real = Shape {
            n_node: self.nodes.len() as u32,
            n_edge: n_edge as u32,
            n_graph: 1,
            n_output: output.len() as u32,
        };
        for node in self.nodes.drain(..) {
            self.row[node as usize] = ABSENT;
        }
        self.listed.sender.clear();
        self.listed.receiver.clear();
        self.listed.weight.clear();
    }

    /// Appends the choice around one output to `plan`, with the edges between its nodes, and resets
    /// the choice. The nodes get new rows even if they are already in the plan.
    pub(super) fn finish_copy(&mut self, graph: &OneGraph, output: u32, plan: &mut BatchPlan) {
        let first = plan.members.len() as u32;
        self.nodes.sort_unstable();
        for (row, &node) in (first..).zip(&self.nodes) {
            self.row[node as usize] = row;
        }
        for (row, &node) in (first..).zip(&self.nodes) {
            for edge in graph.incoming(node) {
                let sender = self.row[graph.sender[edge] as usize];
                if sender != ABSENT {
                    plan.listed.sender.push(sender);
                    plan.listed.receiver.push(row);
                    plan.listed.weight.push(graph.edge_weight.get(edge).copied().unwrap_or(1.0));
                }
            }
        }
        plan.members.extend_from_slice(&self.nodes);
        plan.output_row.push(self.row[output as usize]);
        plan.real = Shape {
            n_node: plan.members.len() as u32,
            n_edge: plan.listed.sender.len() as u32,
            n_graph: 1,
            n_output: plan.output_row.len() as u32,
        };
        for node in self.nodes.drain(..) {
            self.row[node as usize] = ABSENT;
        }
    }

    fn count_induced(&self, graph: &OneGraph) -> usize {
        if self.nodes.len() == graph.n_node() {
            return graph.sender.len();
        }
        let is_member = |&&sender: &&u32| self.row[sender as usize] != ABSENT;
        let incoming = |&node: &u32| graph.sender[graph.incoming(node)].iter();
        self.nodes.iter().map(|node| incoming(node).filter(is_member).count()).sum()
    }

    /// Writes the edges by row, sorted by receiver and sender.
    fn write_listed(&mut self, to: &mut ListedEdges) -> usize {
        let Self { row, listed, order, .. } = self;
        order.clear();
        order.extend(0..listed.sender.len() as u32);
        // Rows ascend with nodes, so sorting by nodes sorts by rows; duplicate edges stay in
        // insertion order.
        order.sort_unstable_by_key(|&edge| {
            (listed.receiver[edge as usize], listed.sender[edge as usize], edge)
        });
        let row_of = |node: u32| row[node as usize];
        to.sender.extend(order.iter().map(|&edge| row_of(listed.sender[edge as usize])));
        to.receiver.extend(order.iter().map(|&edge| row_of(listed.receiver[edge as usize])));
        to.weight.extend(order.iter().map(|&edge| listed.weight[edge as usize]));
        order.len()
    }
}
