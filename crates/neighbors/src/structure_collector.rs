//! From the structures of a data set to columnar storage.

use batchlab_core::graphs::{ManyGraphs, NodeClass, Topology};
use batchlab_core::{BatchFields, DatasetError, EdgeRule, Graphs, MemoryBudget};

use crate::{EdgeCollector, NeighborError};

/// Bytes per structure and per atom while collecting, including target and ID: twice the final
/// size, as columns grow.
const GRAPH_BYTES: u64 = 128;
const NODE_BYTES: u64 = 40;

/// Connects one structure after the other, numbers the classes of their atoms, and produces
/// [`Graphs`] without targets.
///
/// ```
/// use batchlab_core::{EdgeRule, MemoryBudget};
/// use batchlab_neighbors::StructureCollector;
///
/// let mut collector = StructureCollector::new(EdgeRule::Nearest(2.try_into()?), &MemoryBudget::default());
/// let cube = [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]];
/// collector.push(&[55, 17], &[[0.0; 3], [2.0; 3]], Some(&cube))?;
/// collector.push(&[17], &[[1.0; 3]], Some(&cube))?;
/// let graphs = collector.finish("salts", |z| format!("Z{z}"))?;
/// assert_eq!((graphs.n_member(), graphs.n_node()), (2, 3));
/// // Classes are numbered in the order in which they appear.
/// assert_eq!(graphs.node_class.map(|class| class.value), Some(vec![0, 1, 1]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct StructureCollector {
    rule: EdgeRule,
    memory: MemoryBudget,
    edges: EdgeCollector,
    n_node: Vec<u32>,
    /// `[n_node]`
    class: Vec<u32>,
    /// The value that each class stands for, in order of appearance.
    known: Vec<u8>,
    position: Vec<[f32; 3]>,
}

impl StructureCollector {
    /// The available batch fields of the finished data set, the same for every rule: distances of
    /// implicit edges are computed in the batch, those of stored ones when they are created.
    #[must_use]
    pub fn fields() -> BatchFields {
        BatchFields {
            node_class: true,
            distance: true,
            displacement: true,
            sender_order: true,
            ..BatchFields::default()
        }
    }

    /// `memory` is the budget of the data set
    /// ([`LoadContext::memory`](batchlab_core::LoadContext::memory)).
    #[must_use]
    pub fn new(rule: EdgeRule, memory: &MemoryBudget) -> Self {
        let edges = EdgeCollector::new(rule, memory);
        let memory = memory.clone();
        let (n_node, class, known, position) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { rule, memory, edges, n_node, class, known, position }
    }

    /// Connects the next structure; `class` (atomic numbers, as a rule) and `positions` in angstrom
    /// are `[n_node]`, rows of `cell` its vectors in angstrom.
    ///
    /// # Errors
    /// As for [`connect`](crate::connect). The structure is then not stored.
    pub fn push(
        &mut self,
        class: &[u8],
        positions: &[[f64; 3]],
        cell: Option<&[[f64; 3]; 3]>,
    ) -> Result<(), NeighborError> {
        let n_byte = GRAPH_BYTES + NODE_BYTES * positions.len() as u64;
        self.memory.take(n_byte, "the structures")?;
        self.edges.push(positions, cell)?;
        self.n_node.push(positions.len() as u32);
        self.position.extend(positions.iter().map(|position| position.map(|x| x as f32)));
        for &class in class {
            let at = self.known.iter().position(|&known| known == class).unwrap_or_else(|| {
                self.known.push(class);
                self.known.len() - 1
            });
            self.class.push(at as u32);
        }
        Ok(())
    }

    #[must_use]
    pub fn n_graph(&self) -> usize {
        self.n_node.len()
    }

    /// The data set: classes named by `name`, positions and edges. With a radius, notes say how
    /// many structures have no edges, or an isolated atom.
    ///
    /// # Errors
    /// If there are no structures, or not a single edge.
    pub fn finish(
        self,
        dataset: &str,
        name: impl Fn(u8) -> String,
    ) -> Result<Graphs, DatasetError> {
        let without = [
            ("graphs without edges".to_owned(), self.edges.n_without_edges()),
            ("graphs with an atom without edges".to_owned(), self.edges.n_with_lone_atom()),
        ];
        let many = ManyGraphs::new(&self.n_node, self.edges.finish()?)?;
        let mut graphs = Graphs::new(dataset, Topology::Many(many))?;
        let names = self.known.into_iter().map(name).collect();
        graphs.node_class = Some(NodeClass { value: self.class, name: names });
        graphs.position = Some(self.position);
        if matches!(self.rule, EdgeRule::Radius(_)) {
            graphs.notes.extend(without);
        }
        Ok(graphs)
    }
}
