//! A batch on the device.

mod features;
mod outputs;

use std::cell::OnceCell;
use std::rc::Rc;

use batchlab_core::graphs::Level;
use batchlab_core::plan::Shape;
use batchlab_core::{BatchFields, ModelError, PaddedBatch};

use crate::backend::ALIGNMENT;
use crate::matrix::engine;
use crate::segments::sorted;
use crate::{Backend, DirectedEdges, Direction, Matrix, Segments};

pub use features::{Features, SparseFeatures};
use outputs::OutputEdges;
pub use outputs::{NodeEdges, Outputs};

/// A [`PaddedBatch`] on the device, as seen by networks. Reading a field that is not among the
/// model's needs is an error.
pub struct DeviceBatch<D: Backend> {
    shape: Shape,
    /// Number of real edges, which come before padding.
    n_real_edge: usize,
    level: Level,
    class: Option<Rc<Segments<D>>>,
    sender: Option<Rc<Segments<D>>>,
    receiver: Rc<Segments<D>>,
    /// Edges for each direction, created on demand.
    directed: [OnceCell<Rc<DirectedEdges<D>>>; 2],
    device: D,
    graph: Rc<Segments<D>>,
    features: Option<Features<D>>,
    distance: Option<Matrix<D>>,
    displacement: Option<Matrix<D>>,
    edge_weight: Option<Matrix<D>>,
    outputs: Rc<Outputs<D>>,
    /// For networks that only predict outputs.
    output_edges: Option<OutputEdges<D>>,
    /// Size of the arrays in bytes.
    n_byte: u64,
    arena: D::Arena,
}

/// A network's requirements for its batches.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) fields: BatchFields,
    /// Number of node classes known to the model.
    pub(crate) n_class: usize,
    /// Whether it only predicts outputs.
    pub(crate) only_outputs: bool,
}

/// See [`DeviceBatch::layout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Layout {
    arena: u64,
    matrices: [u64; 4],
    shape: [u32; 4],
    n_output: usize,
}

impl<D: Backend> DeviceBatch<D> {
    /// Copies what a model needs to the device, reusing the memory of `previous` unless it is
    /// shared.
    ///
    /// `n_class` is the number of node classes known to the model.
    ///
    /// # Errors
    /// If the batch lacks a field that the model needs or has an unknown class, or the device is
    /// out of memory.
    pub fn upload(
        device: &D,
        previous: Option<Self>,
        batch: &PaddedBatch<'_>,
        needs: &BatchFields,
        n_class: usize,
    ) -> Result<Self, ModelError> {
        let wanted = Wanted { fields: needs.clone(), n_class, only_outputs: false };
        let batch = Self::upload_ahead(device, previous, batch, &wanted)?;
        batch.begin_use()?;
        Ok(batch)
    }

    /// The same, while the device continues its work: [`DeviceBatch::begin_use`] must be called
    /// before the batch is used.
    pub(crate) fn upload_ahead(
        device: &D,
        previous: Option<Self>,
        batch: &PaddedBatch<'_>,
        wanted: &Wanted,
    ) -> Result<Self, ModelError> {
        let &Wanted { fields: ref needs, n_class, only_outputs } = wanted;
        check(batch, needs, n_class)?;
        let n_edge = batch.shape.n_edge as usize;
        // Reuse the previous batch's arena, and matrices of the same shape.
        let (mut arena, features, [distance, displacement, edge_weight]) = match previous {
            None => (D::Arena::default(), None, [None, None, None]),
            Some(p) => (p.arena, p.features, [p.distance, p.displacement, p.edge_weight]),
        };
        let of_outputs = only_outputs.then(|| outputs::ReceivedEdges::of(batch, needs.edge_weight));
        let n_word = n_word(batch, needs, n_class)
            + of_outputs.as_ref().map_or(0, outputs::ReceivedEdges::n_word);
        device.begin_upload(&mut arena, n_word).map_err(engine)?;
        let arena_of_all = &mut arena;
        let mut put = |of: &[u32], offset: &[u32], order: Option<&[u32]>| {
            Segments::put(device, arena_of_all, of, offset, order).map_err(engine)
        };
        let class = if needs.node_class {
            let (order, offset) = sorted(batch.node_class, n_class);
            Some(put(batch.node_class, &offset, Some(&order))?)
        } else {
            None
        };
        let sender = needs
            .sender_order
            .then(|| put(batch.sender, batch.sender_offset, Some(batch.sender_order)))
            .transpose()?;
        let receiver = put(batch.receiver, batch.receiver_offset, None)?;
        let graph = put(batch.graph_of, batch.graph_offset, None)?;
        let put_features = || Features::put(device, &mut arena, features, batch);
        let features = needs.node_feature.then(put_features).transpose()?;
        let mut matrix = |needed: bool, reclaimed: Option<Matrix<D>>, values: &[f32], shape| {
            if !needed {
                return Ok(None);
            }
            let reclaimed = reclaimed.map(Matrix::into_tensor);
            let tensor = device.put_matrix(&mut arena, reclaimed, values, shape).map_err(engine)?;
            Ok::<_, ModelError>(Some(Matrix::from_kernel(tensor, false)))
        };
        let distance = matrix(needs.distance, distance, batch.distance, [n_edge, 1])?;
        let displacement =
            matrix(needs.displacement, displacement, batch.displacement, [n_edge, 3])?;
        let edge_weight = matrix(needs.edge_weight, edge_weight, batch.edge_weight, [n_edge, 1])?;
        let output_edges = of_outputs.map(|edges| edges.put(device, &mut arena)).transpose()?;
        let outputs = Outputs::put(device, &mut arena, batch, only_outputs).map_err(engine)?;
        device.finish_upload(&mut arena).map_err(engine)?;
        Ok(Self {
            shape: batch.shape,
            n_real_edge: batch.real.n_edge as usize,
            level: batch.level,
            class,
            sender,
            receiver,
            directed: [const { OnceCell::new() }; 2],
            device: device.clone(),
            graph,
            features,
            distance,
            displacement,
            edge_weight,
            outputs,
            output_edges,
            n_byte: 4 * n_word as u64,
            arena,
        })
    }

    /// Makes later work wait until the batch has arrived.
    pub(crate) fn begin_use(&self) -> Result<(), ModelError> {
        self.device.begin_use(&self.arena).map_err(engine)
    }

    /// Declares that no work uses the batch before the next `begin_use`.
    pub(crate) fn end_use(&self) -> Result<(), ModelError> {
        self.device.end_use(&self.arena).map_err(engine)
    }

    /// Device addresses and sizes of its arrays: work recorded on a batch can be launched on
    /// another one with the same layout. `None` if array lengths do not follow from the shape.
    pub(crate) fn layout(&self) -> Option<Layout> {
        let features = self.features.as_ref().map_or(Some(0), Features::address)?;
        let [distance, displacement, edge_weight] =
            [&self.distance, &self.displacement, &self.edge_weight]
                .map(|matrix| matrix.as_ref().map_or(0, |matrix| D::address(matrix.tensor())));
        let Shape { n_node, n_edge, n_graph, n_output } = self.shape;
        self.output_edges.is_none().then(|| Layout {
            arena: D::address_of_arena(&self.arena),
            matrices: [features, distance, displacement, edge_weight],
            shape: [n_node, n_edge, n_graph, n_output],
            n_output: self.outputs.row_on_host.len(),
        })
    }

    /// Size including padding.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Whether outputs are graphs or nodes.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Number of rows of predictions: one per graph, or one per node of a single graph, or one per
    /// output if the network [only predicts outputs](crate::Network::only_outputs).
    #[must_use]
    pub fn n_prediction(&self) -> usize {
        if self.output_edges.is_some() {
            return self.shape.n_output as usize;
        }
        match self.level {
            Level::Graphs => self.shape.n_graph as usize,
            Level::Nodes => self.shape.n_node as usize,
        }
    }

    /// Receivers of the edges: edges are items, nodes are segments.
    #[must_use]
    pub fn receiver(&self) -> &Rc<Segments<D>> {
        &self.receiver
    }

    /// Senders of the edges: edges are items, nodes are segments.
    pub fn sender(&self) -> Result<&Rc<Segments<D>>, ModelError> {
        named(self.sender.as_ref(), "sender_order")
    }

    /// The edges in one direction, partitioned into tasks.
    pub(crate) fn edges(&self, direction: Direction) -> Result<Rc<DirectedEdges<D>>, ModelError> {
        let [from, to] = match direction {
            Direction::ToReceiver => [self.sender()?, &self.receiver],
            Direction::ToSender => [&self.receiver, self.sender()?],
        };
        let cell = &self.directed[direction as usize];
        if let Some(edges) = cell.get() {
            return Ok(Rc::clone(edges));
        }
        let plan = self.device.edge_plan(from, to, self.n_real_edge).map_err(engine)?;
        let edges = Rc::new(DirectedEdges { from: Rc::clone(from), to: Rc::clone(to), plan });
        Ok(Rc::clone(cell.get_or_init(|| edges)))
    }

    /// Graphs of the nodes: nodes are items, graphs are segments.
    #[must_use]
    pub fn graph(&self) -> &Rc<Segments<D>> {
        &self.graph
    }

    /// Classes of the nodes: nodes are items, classes are segments.
    pub fn node_class(&self) -> Result<&Rc<Segments<D>>, ModelError> {
        named(self.class.as_ref(), "node_class")
    }

    /// Node features, `[n_node, width]`.
    ///
    /// # Errors
    /// Also for sparse features, which are passed to models that request `sparse_feature`;
    /// [`DeviceBatch::features`] handles both.
    pub fn node_feature(&self) -> Result<&Matrix<D>, ModelError> {
        match self.features()? {
            Features::Dense(matrix) => Ok(matrix),
            Features::Sparse(_) => Err(ModelError::Batch(
                "the model asks for compressed rows of features, but uses a whole matrix".into(),
            )),
        }
    }

    /// Node features, dense or sparse.
    pub fn features(&self) -> Result<&Features<D>, ModelError> {
        named(self.features.as_ref(), "node_feature")
    }

    /// The edges of a convolution on nodes: all of them or, in the last convolution of a network
    /// that [only predicts outputs](crate::Network::only_outputs), the incoming edges of outputs.
    ///
    /// # Errors
    /// If the batch has no `sender_order`.
    pub fn node_edges(&self, is_last: bool) -> Result<NodeEdges<'_, D>, ModelError> {
        if let Some(edges) = self.output_edges.as_ref().filter(|_| is_last) {
            let OutputEdges { from, to, node, weight } = edges;
            return Ok(NodeEdges { from, to, weight: weight.as_ref(), node: Some(node) });
        }
        let (from, to, weight) = (self.sender()?, &self.receiver, self.edge_weight.as_ref());
        Ok(NodeEdges { from, to, weight, node: None })
    }

    /// Bytes of its arrays on the device, including the partitions of its edges requested so far.
    pub(crate) fn n_byte(&self) -> u64 {
        let plans = self.directed.iter().filter_map(OnceCell::get);
        self.n_byte + plans.map(|edges| D::edge_plan_bytes(&edges.plan)).sum::<u64>()
    }

    /// Lengths of the edges in angstrom, `[n_edge, 1]`; 0 for padding.
    pub fn distance(&self) -> Result<&Matrix<D>, ModelError> {
        named(self.distance.as_ref(), "distance")
    }

    /// Receiver minus sender in angstrom, `[n_edge, 3]`; 0 for padding.
    pub fn displacement(&self) -> Result<&Matrix<D>, ModelError> {
        named(self.displacement.as_ref(), "displacement")
    }

    /// Weights of the edges, `[n_edge, 1]`; 0 for padding.
    pub fn edge_weight(&self) -> Result<&Matrix<D>, ModelError> {
        named(self.edge_weight.as_ref(), "edge_weight")
    }

    /// The prediction targets.
    #[must_use]
    pub fn outputs(&self) -> &Rc<Outputs<D>> {
        &self.outputs
    }
}

fn named<'a, T>(field: Option<&'a T>, name: &str) -> Result<&'a T, ModelError> {
    field.ok_or_else(|| {
        ModelError::Batch(format!("the model uses {name} without naming it among its needs"))
    })
}

/// Upper bound on the number of 32-bit words of a batch on the device.
fn n_word(batch: &PaddedBatch<'_>, needs: &BatchFields, n_class: usize) -> usize {
    let class = [batch.node_class.len(), n_class + 1, batch.node_class.len()];
    let sender = [batch.sender.len(), batch.sender_offset.len(), batch.sender_order.len()];
    let of_some = |needed: bool, lengths: &[usize]| {
        lengths.iter().filter(|_| needed).map(|n| n.next_multiple_of(ALIGNMENT)).sum::<usize>()
    };
    let always = [
        batch.receiver.len(),
        batch.receiver_offset.len(),
        batch.graph_of.len(),
        batch.graph_offset.len(),
        batch.output_row.len(),
        batch.output_target.len(),
        batch.output_weight.len(),
        2, // the sum of the weights
    ];
    of_some(needs.node_class, &class)
        + of_some(needs.sender_order, &sender)
        + of_some(needs.node_feature, &features::lengths(batch))
        + of_some(needs.distance, &[batch.distance.len()])
        + of_some(needs.displacement, &[batch.displacement.len()])
        + of_some(needs.edge_weight, &[batch.edge_weight.len()])
        + of_some(true, &always)
}

fn check(batch: &PaddedBatch<'_>, needs: &BatchFields, n_class: usize) -> Result<(), ModelError> {
    let [n_node, n_edge] = [batch.shape.n_node, batch.shape.n_edge].map(|n| n as usize);
    let fields = [
        ("node classes", needs.node_class, batch.node_class.len(), n_node),
        (
            "node features",
            needs.node_feature && !features::are_sparse(batch),
            batch.node_feature.len(),
            n_node * batch.node_feature_width,
        ),
        ("distances", needs.distance, batch.distance.len(), n_edge),
        ("displacements", needs.displacement, batch.displacement.len(), 3 * n_edge),
        ("edge weights", needs.edge_weight, batch.edge_weight.len(), n_edge),
        ("sender order", needs.sender_order, batch.sender_order.len(), n_edge),
    ];
    for (what, needed, got, expected) in fields {
        if needed && got != expected {
            return Err(ModelError::Batch(format!(
                "the batch has {got} {what}, but the model needs {expected}; collate it with the \
                 model's needs"
            )));
        }
    }
    if needs.node_feature && features::are_sparse(batch) {
        features::check(batch)?;
    }
    if needs.node_class
        && let Some(class) = batch.node_class.iter().find(|&&class| class as usize >= n_class)
    {
        return Err(ModelError::Batch(format!(
            "the batch has a node of class {class}, but the model knows {n_class} classes, \
             counted from 0"
        )));
    }
    Ok(())
}
