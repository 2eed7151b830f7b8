//! What is computed for every edge, and what arrives at the nodes.
//!
//! Values of the wrong shape are a bug of the model and panic.

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
    /// From the receiver to the sender, as the program of arXiv 2502.00944 runs PaiNN.
    ToSender,
}

/// The edges of a batch in one direction, divided among tasks.
pub struct DirectedEdges<D: DeviceMemory> {
    /// Nodes that messages come from.
    pub(crate) from: Rc<Segments<D>>,
    /// Nodes that messages go to.
    pub(crate) to: Rc<Segments<D>>,
    pub(crate) plan: D::EdgePlan,
}

/// A value that every edge has: a row of numbers. A handle of the [`Message`] that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeValue {
    pub(crate) step: usize,
    width: usize,
}

/// What is computed for every edge of a batch.
///
/// The methods only note what is to be done; [`Pass::message`](crate::Pass::message) does it, a block of edges at a time,
/// from the distances to what the nodes receive. Values of edges stay in the cache, and are written
/// to memory only where the gradient needs them.
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
    /// What each step reads besides earlier steps.
    pub(crate) operands: Vec<Operands<D>>,
    /// Of the products with weights: that of the pass which computes it.
    pub(crate) precision: Precision,
}

/// The matrices of a step: of nodes, of edges, or a layer's weight and bias.
pub(crate) struct Operands<D: DeviceMemory> {
    pub(crate) matrices: [Option<Matrix<D>>; 2],
    /// Of a step of Gaussians.
    pub(crate) basis: Option<GaussianBasis>,
}

impl<D: Backend> Message<D> {
    /// Nothing yet, for the edges of a batch.
    ///
    /// # Errors
    /// The model does not name `sender_order` among its needs; a device without memory.
    pub fn new(batch: &DeviceBatch<D>, direction: Direction) -> Result<Self, ModelError> {
        let (edges, precision) = (batch.edges(direction)?, Precision::default());
        Ok(Self { edges, steps: Vec::new(), operands: Vec::new(), precision })
    }

    /// What its kernels depend on, whatever the matrices.
    pub(crate) fn program(&self, result: MessageResult) -> Program {
        Program::new(self.steps.clone(), result, self.precision)
    }

    /// The matrices of each step.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = [Option<&Matrix<D>>; 2]> {
        self.operands.iter().map(|operands| operands.matrices.each_ref().map(Option::as_ref))
    }

    /// Distances `[n_edge, 1]` as smooth one-hot vectors.
    ///
    /// As the input of a linear layer, only Gaussians above 1.3e-8 are computed where that saves at
    /// least half of them: every edge, padding too, gets a band of the same number of columns.
    pub fn gaussians(&mut self, distance: &Matrix<D>, basis: &GaussianBasis) -> EdgeValue {
        assert_eq!(distance.shape(), [self.n_edge(), 1], "one distance per edge");
        assert!(!distance.is_tracked(), "no gradient flows back to distances");
        let value = self.push(Operation::Gaussians, basis.n, false, [Some(distance), None]);
        self.operands[value.step].basis = Some(*basis);
        value
    }

    /// The rows of the nodes that the messages come from. `node` `[n_node, width]`.
    pub fn from(&mut self, node: &Matrix<D>) -> EdgeValue {
        assert_eq!(node.n_row(), self.edges.from.n_segment(), "one row per node");
        self.push(Operation::From, node.n_column(), node.is_tracked(), [Some(node), None])
    }

    /// The rows of the nodes that the messages go to. `node` `[n_node, width]`.
    pub fn to(&mut self, node: &Matrix<D>) -> EdgeValue {
        assert_eq!(node.n_row(), self.edges.to.n_segment(), "one row per node");
        self.push(Operation::To, node.n_column(), node.is_tracked(), [Some(node), None])
    }

    /// Rows of the edges `[n_edge, width]`, for example the state that
    /// [`Pass::message_and_edges`](crate::Pass::message_and_edges) has given before.
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

    /// A value times a constant of the edge, such as a cutoff. `factor` `[n_edge, 1]`; it gets no
    /// gradient.
    pub fn scale(&mut self, value: EdgeValue, factor: &Matrix<D>) -> EdgeValue {
        assert_eq!(factor.shape(), [self.n_edge(), 1], "one factor per edge");
        assert!(!factor.is_tracked(), "the factor of an edge is a constant");
        let tracked = self.is_tracked(value);
        let operation = Operation::Scale { input: value.step };
        self.push(operation, value.width, tracked, [Some(factor), None])
    }

    /// The vectors of the nodes that the messages come from: rows x, y and z of each node,
    /// `node` `[3 n_node, width]`, side by side.
    pub fn vectors_from(&mut self, node: &Matrix<D>) -> EdgeValue {
        assert_eq!(node.n_row(), 3 * self.edges.from.n_segment(), "three rows per node");
        let width = 3 * node.n_column();
        self.push(Operation::From, width, node.is_tracked(), [Some(node), None])
    }

    /// The message of PaiNN (Schütt et al. 2021, arXiv 2102.03150, equations 7 and 8): scalars
    /// and, beside them, the three components of vectors,
    /// `[w_1, w_2 u_x + w_3 v_x, w_2 u_y + w_3 v_y, w_2 u_z + w_3 v_z]`.
    ///
    /// `value` holds the three parts of w, each of the width of the vectors' components;
    /// `vector` comes from [`Message::vectors_from`]; `direction` `[n_edge, 3]` holds u and gets no
    /// gradient. [`Pass::add_received`](crate::Pass::add_received) takes up what the nodes receive.
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

    /// Edges of the batch, with padding.
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
