//! A batch on the device.

use std::cell::OnceCell;
use std::rc::Rc;

use batchlab_core::graphs::Level;
use batchlab_core::plan::Shape;
use batchlab_core::{BatchFields, ModelError, PaddedBatch};

use crate::backend::ALIGNMENT;
use crate::matrix::engine;
use crate::segments::sorted;
use crate::{Backend, DirectedEdges, Direction, Matrix, Segments};

/// A [`PaddedBatch`] on the device, as networks see it. Reading a field that the model does not name
/// among its needs is an error.
pub struct DeviceBatch<D: Backend> {
    shape: Shape,
    /// Edges that are not padding; they come first.
    n_real_edge: usize,
    level: Level,
    class: Option<Rc<Segments<D>>>,
    sender: Option<Rc<Segments<D>>>,
    receiver: Rc<Segments<D>>,
    /// Edges in the one and in the other direction, and in pairs, once they have been asked for.
    directed: [OnceCell<Rc<DirectedEdges<D>>>; 3],
    device: D,
    graph: Rc<Segments<D>>,
    node_feature: Option<Matrix<D>>,
    distance: Option<Matrix<D>>,
    displacement: Option<Matrix<D>>,
    edge_weight: Option<Matrix<D>>,
    outputs: Rc<Outputs<D>>,
    arena: D::Arena,
}

/// What is to be predicted, and which rows of the predictions are compared with it.
pub struct Outputs<D: Backend> {
    pub(crate) row: D::Words,
    pub(crate) target: D::Numbers,
    pub(crate) weight: D::Numbers,
    /// Rows on the host.
    pub(crate) row_on_host: Vec<u32>,
    pub(crate) weight_sum: f64,
}

impl<D: Backend> DeviceBatch<D> {
    /// Copies what a model needs to the device, into the memory of `previous` where that is not
    /// shared.
    ///
    /// `n_class` is the number of node classes that the model knows.
    ///
    /// # Errors
    /// A batch without a field that the model needs, or with a class that it does not know; a
    /// device without memory.
    pub fn upload(
        device: &D,
        previous: Option<Self>,
        batch: &PaddedBatch<'_>,
        needs: BatchFields,
        n_class: usize,
    ) -> Result<Self, ModelError> {
        let batch = Self::upload_ahead(device, previous, batch, needs, n_class)?;
        batch.begin_use()?;
        Ok(batch)
    }

    /// The same, while the device goes on with its work: [`DeviceBatch::begin_use`] must come
    /// before the batch is used.
    pub(crate) fn upload_ahead(
        device: &D,
        previous: Option<Self>,
        batch: &PaddedBatch<'_>,
        needs: BatchFields,
        n_class: usize,
    ) -> Result<Self, ModelError> {
        check(batch, needs, n_class)?;
        let [n_node, n_edge] = [batch.shape.n_node, batch.shape.n_edge].map(|n| n as usize);
        let (class, sender, receiver, graph, outputs, mut arena) = match previous {
            None => (None, None, None, None, None, D::Arena::default()),
            Some(p) => {
                (p.class, p.sender, Some(p.receiver), Some(p.graph), Some(p.outputs), p.arena)
            }
        };
        let reclaim = |segments| Segments::reclaim(device, segments);
        let [class, sender, receiver, graph] =
            [reclaim(class), reclaim(sender), reclaim(receiver), reclaim(graph)];
        let outputs = Outputs::reclaim(device, outputs);
        device.begin_upload(&mut arena, n_word(batch, needs, n_class)).map_err(engine)?;
        let arena_of_all = &mut arena;
        let mut put = |reclaimed, of: &[u32], offset: &[u32], order: Option<&[u32]>| {
            Segments::put(device, arena_of_all, reclaimed, of, offset, order).map_err(engine)
        };
        let class = if needs.node_class {
            let (order, offset) = sorted(batch.node_class, n_class);
            Some(put(class, batch.node_class, &offset, Some(&order))?)
        } else {
            None
        };
        let sender = if needs.sender_order {
            let order = Some(batch.sender_order);
            Some(put(sender, batch.sender, batch.sender_offset, order)?)
        } else {
            None
        };
        let receiver = put(receiver, batch.receiver, batch.receiver_offset, None)?;
        let graph = put(graph, batch.graph_of, batch.graph_offset, None)?;
        let mut matrix = |needed: bool, values: &[f32], shape| {
            let put = |()| device.put_matrix(&mut arena, values, shape).map_err(engine);
            let tensor = needed.then_some(()).map(put).transpose()?;
            Ok::<_, ModelError>(tensor.map(|tensor| Matrix::from_kernel(tensor, false)))
        };
        let node_feature =
            matrix(needs.node_feature, batch.node_feature, [n_node, batch.node_feature_width])?;
        let distance = matrix(needs.distance, batch.distance, [n_edge, 1])?;
        let displacement = matrix(needs.displacement, batch.displacement, [n_edge, 3])?;
        let edge_weight = matrix(needs.edge_weight, batch.edge_weight, [n_edge, 1])?;
        let outputs = Outputs::put(device, &mut arena, outputs, batch)?;
        device.finish_upload(&mut arena).map_err(engine)?;
        Ok(Self {
            shape: batch.shape,
            n_real_edge: batch.real.n_edge as usize,
            level: batch.level,
            class,
            sender,
            receiver,
            directed: [const { OnceCell::new() }; 3],
            device: device.clone(),
            graph,
            node_feature,
            distance,
            displacement,
            edge_weight,
            outputs,
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

    /// Size with padding.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Whether outputs are graphs or nodes.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Rows that predictions must have: one per graph, or one per node of one graph.
    #[must_use]
    pub fn n_prediction(&self) -> usize {
        match self.level {
            Level::Graphs => self.shape.n_graph as usize,
            Level::Nodes => self.shape.n_node as usize,
        }
    }

    /// Nodes by the node that receives each edge: edges are items, nodes are segments.
    #[must_use]
    pub fn receiver(&self) -> &Rc<Segments<D>> {
        &self.receiver
    }

    /// Edges by the node that sends them: edges are items, nodes are segments.
    pub fn sender(&self) -> Result<&Rc<Segments<D>>, ModelError> {
        named(self.sender.as_ref(), "sender_order")
    }

    /// The edges in one direction, divided among tasks.
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

    /// The edges from senders to receivers, opposite ones of the same length together.
    pub(crate) fn pairs(&self) -> Result<Rc<DirectedEdges<D>>, ModelError> {
        if let Some(edges) = self.directed[2].get() {
            return Ok(Rc::clone(edges));
        }
        let (sender, distance) = (self.sender()?, self.distance()?.tensor());
        let n_real = self.n_real_edge;
        let plan =
            self.device.pair_plan(sender, &self.receiver, distance, n_real).map_err(engine)?;
        let edges = match plan {
            None => self.edges(Direction::ToReceiver)?,
            Some(plan) => Rc::new(DirectedEdges {
                from: Rc::clone(sender),
                to: Rc::clone(&self.receiver),
                plan,
            }),
        };
        Ok(Rc::clone(self.directed[2].get_or_init(|| edges)))
    }

    /// Nodes by their graph: nodes are items, graphs are segments.
    #[must_use]
    pub fn graph(&self) -> &Rc<Segments<D>> {
        &self.graph
    }

    /// Nodes by their class: nodes are items, classes are segments.
    pub fn node_class(&self) -> Result<&Rc<Segments<D>>, ModelError> {
        named(self.class.as_ref(), "node_class")
    }

    /// Features of the nodes, `[n_node, width]`.
    pub fn node_feature(&self) -> Result<&Matrix<D>, ModelError> {
        named(self.node_feature.as_ref(), "node_feature")
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

    /// What is to be predicted.
    #[must_use]
    pub fn outputs(&self) -> &Rc<Outputs<D>> {
        &self.outputs
    }
}

impl<D: Backend> Outputs<D> {
    fn reclaim(device: &D, previous: Option<Rc<Self>>) -> Option<Self> {
        let mut outputs = Rc::try_unwrap(previous?).ok()?;
        device.release(&mut outputs.row);
        device.release_numbers(&mut outputs.target);
        device.release_numbers(&mut outputs.weight);
        Some(outputs)
    }

    fn put(
        device: &D,
        arena: &mut D::Arena,
        reclaimed: Option<Self>,
        batch: &PaddedBatch<'_>,
    ) -> Result<Rc<Self>, ModelError> {
        let mut outputs = reclaimed.unwrap_or_else(|| Self {
            row: D::Words::default(),
            target: D::Numbers::default(),
            weight: D::Numbers::default(),
            row_on_host: Vec::new(),
            weight_sum: 0.0,
        });
        device.put_words(arena, &mut outputs.row, batch.output_row).map_err(engine)?;
        device.put_numbers(arena, &mut outputs.target, batch.output_target).map_err(engine)?;
        device.put_numbers(arena, &mut outputs.weight, batch.output_weight).map_err(engine)?;
        outputs.row_on_host.clear();
        outputs.row_on_host.extend_from_slice(batch.output_row);
        outputs.weight_sum =
            batch.output_weight.iter().filter(|&&w| w > 0.0).map(|&w| f64::from(w)).sum();
        Ok(Rc::new(outputs))
    }

    /// Sum of the weights.
    #[must_use]
    pub fn weight_sum(&self) -> f64 {
        self.weight_sum
    }
}

fn named<'a, T>(field: Option<&'a T>, name: &str) -> Result<&'a T, ModelError> {
    field.ok_or_else(|| {
        ModelError::Batch(format!("the model uses {name} without naming it among its needs"))
    })
}

/// Words of 32 bits that a batch takes up on the device at most.
fn n_word(batch: &PaddedBatch<'_>, needs: BatchFields, n_class: usize) -> usize {
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
    ];
    of_some(needs.node_class, &class)
        + of_some(needs.sender_order, &sender)
        + of_some(needs.node_feature, &[batch.node_feature.len()])
        + of_some(needs.distance, &[batch.distance.len()])
        + of_some(needs.displacement, &[batch.displacement.len()])
        + of_some(needs.edge_weight, &[batch.edge_weight.len()])
        + of_some(true, &always)
}

fn check(batch: &PaddedBatch<'_>, needs: BatchFields, n_class: usize) -> Result<(), ModelError> {
    let [n_node, n_edge] = [batch.shape.n_node, batch.shape.n_edge].map(|n| n as usize);
    let fields = [
        ("node classes", needs.node_class, batch.node_class.len(), n_node),
        (
            "node features",
            needs.node_feature,
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
