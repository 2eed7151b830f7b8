//! Per-edge computations, and their aggregation at nodes.
//!
//! Values of the wrong shape are a bug in the model and cause a panic.

#![allow(clippy::missing_panics_doc, reason = "said once for all, above")]

pub(crate) mod program;

use std::rc::Rc;

use batchlab_core::ModelError;
use batchlab_core::model::Precision;

use crate::{
    Activation, Backend, DeviceBatch, DeviceMemory, GaussianBasis, Matrix, MessageResult, Segments,
};
use program::{EdgeLayer, Operation, Program, Step};

/// Which end of an edge receives its message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the sender to the receiver.
    #[default]
    ToReceiver,
    /// From the receiver to the sender, as PaiNN in the program of arXiv 2502.00944.
    ToSender,
}

/// The edges of a batch in one direction, partitioned into tasks.
pub struct DirectedEdges<D: DeviceMemory> {
    /// Source nodes of messages.
    pub(crate) from: Rc<Segments<D>>,
    /// Target nodes of messages.
    pub(crate) to: Rc<Segments<D>>,
    pub(crate) plan: D::EdgePlan,
}

/// A row of numbers per edge: a handle, valid for the [`Message`] that created it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeValue {
    pub(crate) step: usize,
    width: usize,
}

/// The computation done for every edge of a batch.
///
/// The methods only build the description; [`Pass::message`](crate::Pass::message) executes it, one
/// block of edges at a time, from the distances to the aggregation at nodes. Edge values stay in
/// the cache, and are written to memory only if the gradient needs them.
///
/// The continuous-filter convolution of SchNet (Schütt et al., NIPS 2017, section 4.3):
///
/// ```
/// # use batchlab_core::ModelError;
/// # use batchlab_tensor::{
/// #     Aggregate, Backend, DeviceBatch, Direction, GaussianBasis, Matrix, Message, Pass, Perceptron,
/// # };
/// fn convolution<D: Backend>(
///     pass: &mut Pass<'_, D>,
///     batch: &DeviceBatch<D>,
///     basis: &GaussianBasis,
///     filter: &Perceptron,
///     sent: &Matrix<D>,
/// ) -> Result<Matrix<D>, ModelError> {
///     let mut edge = Message::new(batch, Direction::ToReceiver)?;
///     let gaussians = edge.gaussians(batch.distance()?, basis);
///     let filter = filter.on_edges(pass, &mut edge, gaussians);
///     let sent = edge.from(sent);
///     let message = edge.product(filter, sent);
///     pass.message(edge, message, Aggregate::Mean)
/// }
/// ```
pub struct Message<D: DeviceMemory> {
    pub(crate) edges: Rc<DirectedEdges<D>>,
    pub(crate) steps: Vec<Step>,
    /// The inputs of each step besides earlier steps.
    pub(crate) operands: Vec<Operands<D>>,
    /// Precision of the products with weights: that of the pass.
    pub(crate) precision: Precision,
}

/// The matrices of a step: of nodes, of edges, or a layer's weight and bias.
pub(crate) struct Operands<D: DeviceMemory> {
    pub(crate) matrices: [Option<Matrix<D>>; 2],
    /// For a step of Gaussians.
    pub(crate) basis: Option<GaussianBasis>,
}

impl<D: Backend> Message<D> {
    /// An empty message for the edges of a batch.
    ///
    /// # Errors
    /// If `sender_order` is not among the model's needs, or the device is out of memory.
    pub fn new(batch: &DeviceBatch<D>, direction: Direction) -> Result<Self, ModelError> {
        let (edges, precision) = (batch.edges(direction)?, Precision::default());
        Ok(Self { edges, steps: Vec::new(), operands: Vec::new(), precision })
    }

    /// The structure that determines its kernels, independent of the matrices.
    pub(crate) fn program(&self, result: MessageResult) -> Program {
        Program::new(self.steps.clone(), result, self.precision)
    }

    /// The matrices of each step.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = [Option<&Matrix<D>>; 2]> {
        self.operands.iter().map(|operands| operands.matrices.each_ref().map(Option::as_ref))
    }

    /// Distances `[n_edge, 1]` as smooth one-hot vectors.
    ///
    /// As the input of a linear layer, only Gaussians above 1.3e-8 are computed if that saves at
    /// least half of them: every edge, including padding, gets a band with the same number of
    /// columns.
    pub fn gaussians(&mut self, distance: &Matrix<D>, basis: &GaussianBasis) -> EdgeValue {
        assert_eq!(distance.shape(), [self.n_edge(), 1], "one distance per edge");
        assert!(!distance.is_tracked(), "no gradient flows back to distances");
        let value = self.push(Operation::Gaussians, basis.n, false, [Some(distance), None]);
        self.operands[value.step].basis = Some(*basis);
        value
    }

    /// The rows of the messages' source nodes. `node` `[n_node, width]`.
    pub fn from(&mut self, node: &Matrix<D>) -> EdgeValue {
        assert_eq!(node.n_row(), self.edges.from.n_segment(), "one row per node");
        self.push(Operation::From, node.n_column(), node.is_tracked(), [Some(node), None])
    }

    /// The rows of the messages' target nodes. `node` `[n_node, width]`.
    pub fn to(&mut self, node: &Matrix<D>) -> EdgeValue {
        assert_eq!(node.n_row(), self.edges.to.n_segment(), "one row per node");
        self.push(Operation::To, node.n_column(), node.is_tracked(), [Some(node), None])
    }

    /// Rows of the edges `[n_edge, width]`, for example the state previously returned by
    /// [`Pass::message_and_edges`](crate::Pass::message_and_edges).
    pub fn stored(&mut self, edge: &Matrix<D>) -> EdgeValue {
        assert_eq!(edge.n_row(), self.n_edge(), "one row per edge");
        self.push(Operation::Stored, edge.n_column(), edge.is_tracked(), [Some(edge), None])
    }

    /// `activation(input weight + bias)`: `weight` `[n_in, n_out]`, `bias` `[1, n_out]`. Models use
    /// it through [`Linear::on_edges`](crate::Linear::on_edges).
    pub fn linear(
        &mut self,
        input: EdgeValue,
        weight: &Matrix<D>,
        bias: Option<&Matrix<D>>,
        activation: Activation,
    ) -> EdgeValue {
        assert_eq!(input.width, weight.n_row(), "as many columns as the layer has inputs");
        let [of_weight, of_bias] = [weight.is_tracked(), bias.is_some_and(Matrix::is_tracked)];
        let tracked = self.is_tracked(input) || of_weight || of_bias;
        let layer = EdgeLayer {
            input: input.step,
            n_in: weight.n_row(),
            bias: bias.is_some(),
            activation,
            of_weight,
            of_bias,
        };
        self.push(Operation::Linear(layer), weight.n_column(), tracked, [Some(weight), bias])
    }

    /// `activation` of the sum of values of the same width.
    pub fn sum(&mut self, terms: &[EdgeValue], activation: Activation) -> EdgeValue {
        assert!(!terms.is_empty(), "a sum of something");
        let width = terms[0].width;
        assert!(terms.iter().all(|term| term.width == width), "values of one width");
        let tracked = terms.iter().any(|&term| self.is_tracked(term));
        let terms = terms.iter().map(|term| term.step).collect();
        self.push(Operation::Sum { terms, activation }, width, tracked, [None; 2])
    }

    /// Elementwise product of two values of the same width.
    pub fn product(&mut self, a: EdgeValue, b: EdgeValue) -> EdgeValue {
        assert_eq!(a.width, b.width, "values of one width");
        let tracked = self.is_tracked(a) || self.is_tracked(b);
        self.push(Operation::Product([a.step, b.step]), a.width, tracked, [None; 2])
    }

    /// A value times a per-edge constant, such as a cutoff. `factor` `[n_edge, 1]`; it gets no
    /// gradient.
    pub fn scale(&mut self, value: EdgeValue, factor: &Matrix<D>) -> EdgeValue {
        assert_eq!(factor.shape(), [self.n_edge(), 1], "one factor per edge");
        assert!(!factor.is_tracked(), "the factor of an edge is a constant");
        let tracked = self.is_tracked(value);
        let operation = Operation::Scale { input: value.step };
        self.push(operation, value.width, tracked, [Some(factor), None])
    }

    /// The vectors of the messages' source nodes, concatenated: rows x, y and z of each node,
    /// `node` `[3 n_node, width]`.
    pub fn vectors_from(&mut self, node: &Matrix<D>) -> EdgeValue {
        assert_eq!(node.n_row(), 3 * self.edges.from.n_segment(), "three rows per node");
        let width = 3 * node.n_column();
        self.push(Operation::From, width, node.is_tracked(), [Some(node), None])
    }

    /// The message of PaiNN (Schütt et al. 2021, arXiv 2102.03150, equations 7 and 8): scalars,
    /// concatenated with the three components of vectors, `[w_1, w_2 u_x + w_3 v_x, w_2 u_y + w_3
    /// v_y, w_2 u_z + w_3 v_z]`.
    ///
    /// `value` holds the three parts of w, each as wide as a vector component; `vector` comes from
    /// [`Message::vectors_from`]; `direction` `[n_edge, 3]` holds u and gets no gradient.
    /// [`Pass::add_received`](crate::Pass::add_received) processes the aggregated result.
    pub fn equivariant(
        &mut self,
        value: EdgeValue,
        vector: EdgeValue,
        direction: &Matrix<D>,
    ) -> EdgeValue {
        assert_eq!(value.width, vector.width, "three parts, and three components");
        assert!(value.width.is_multiple_of(3), "three parts of the same width");
        assert_eq!(direction.shape(), [self.n_edge(), 3], "one direction per edge");
        assert!(!direction.is_tracked(), "the direction of an edge is a constant");
        let tracked = self.is_tracked(value) || self.is_tracked(vector);
        let operation = Operation::Equivariant { input: value.step, vector: vector.step };
        self.push(operation, value.width / 3 * 4, tracked, [Some(direction), None])
    }

    /// Number of edges of the batch, including padding.
    #[must_use]
    pub fn n_edge(&self) -> usize {
        self.edges.from.n_item()
    }

    fn is_tracked(&self, value: EdgeValue) -> bool {
        let step = self.steps.get(value.step).filter(|step| step.width == value.width);
        step.expect("a value of this message, not of another").tracked
    }

    fn push(
        &mut self,
        operation: Operation,
        width: usize,
        tracked: bool,
        matrices: [Option<&Matrix<D>>; 2],
    ) -> EdgeValue {
        self.steps.push(Step { operation, width, tracked });
        self.operands.push(Operands { matrices: matrices.map(Option::<&_>::cloned), basis: None });
        EdgeValue { step: self.steps.len() - 1, width }
    }
}

impl EdgeValue {
    /// Numbers per edge.
    #[must_use]
    pub fn width(self) -> usize {
        self.width
    }
}
