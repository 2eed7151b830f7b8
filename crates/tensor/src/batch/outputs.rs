//! The prediction targets, and the edges that lead there.

use std::rc::Rc;

use batchlab_core::{ModelError, PaddedBatch};

use crate::backend::ALIGNMENT;
use crate::matrix::engine;
use crate::segments::sorted;
use crate::{Backend, DeviceMemory, Matrix, Pass, Segments};

/// The prediction targets, and the rows of predictions to compare with them.
pub struct Outputs<D: DeviceMemory> {
    pub(crate) row: D::Words,
    pub(crate) target: D::Numbers,
    pub(crate) weight: D::Numbers,
    /// The sum of the weights as bits, low word first.
    #[allow(dead_code, reason = "a GPU reads it")]
    pub(crate) weight_sum_on_device: D::Words,
    /// Rows on the host.
    pub(crate) row_on_host: Vec<u32>,
    pub(crate) weight_sum: f64,
}

impl<D: DeviceMemory> Outputs<D> {
    pub(super) fn put(
        device: &D,
        arena: &mut D::Arena,
        batch: &PaddedBatch<'_>,
        only_outputs: bool,
    ) -> Result<Rc<Self>, D::Err> {
        let row_on_host: Vec<u32> = if only_outputs {
            (0..batch.output_row.len() as u32).collect()
        } else {
            batch.output_row.to_vec()
        };
        let counted = batch.output_weight.iter().filter(|&&weight| weight > 0.0);
        let weight_sum: f64 = counted.map(|&weight| f64::from(weight)).sum();
        let bits = weight_sum.to_bits();
        Ok(Rc::new(Self {
            row: device.put_words(arena, &row_on_host)?,
            target: device.put_numbers(arena, batch.output_target)?,
            weight: device.put_numbers(arena, batch.output_weight)?,
            weight_sum_on_device: device.put_words(arena, &[bits as u32, (bits >> 32) as u32])?,
            row_on_host,
            weight_sum,
        }))
    }

    /// Sum of the weights.
    #[must_use]
    pub fn weight_sum(&self) -> f64 {
        self.weight_sum
    }
}

/// The incoming edges of outputs: all that the last convolution needs, if only outputs are compared
/// with anything.
pub(crate) struct OutputEdges<D: Backend> {
    /// Senders of the edges: edges are items, nodes are segments.
    pub from: Rc<Segments<D>>,
    /// Receiving outputs of the edges: edges are items, outputs are segments.
    pub to: Rc<Segments<D>>,
    /// Nodes of the outputs: outputs are items, nodes are segments.
    pub node: Rc<Segments<D>>,
    /// Weight of each edge, `[n_edge, 1]`, if requested by the model.
    pub weight: Option<Matrix<D>>,
}

/// The edges of one convolution.
pub struct NodeEdges<'a, D: Backend> {
    /// Edges by sender.
    pub from: &'a Rc<Segments<D>>,
    /// Edges by receiving node or output.
    pub to: &'a Rc<Segments<D>>,
    /// Weight of each edge, if requested by the model.
    pub weight: Option<&'a Matrix<D>>,
    /// The node of each output, if outputs are the receivers.
    pub node: Option<&'a Rc<Segments<D>>>,
}

impl<D: Backend> NodeEdges<'_, D> {
    /// The rows of the receivers, `[n_to, width]`, from those of all nodes.
    pub fn receivers(
        &self,
        pass: &mut Pass<'_, D>,
        x: &Matrix<D>,
    ) -> Result<Matrix<D>, ModelError> {
        self.node.map_or_else(|| Ok(x.clone()), |node| pass.gather(x, node))
    }
}

/// [`OutputEdges`] on the host.
pub(super) struct ReceivedEdges {
    sender: Vec<u32>,
    output: Vec<u32>,
    offset: Vec<u32>,
    node: Vec<u32>,
    weight: Option<Vec<f32>>,
    n_node: usize,
}

impl ReceivedEdges {
    /// All padding edges belong to one node. The first padding output receives them, if its node is
    /// padding; other padding outputs receive nothing.
    pub(super) fn of(batch: &PaddedBatch<'_>, weighted: bool) -> Self {
        let [n_real, n_real_node] = [batch.real.n_output as usize, batch.real.n_node as usize];
        let n_output = batch.output_row.len();
        let mut edges = Self {
            sender: Vec::new(),
            output: Vec::new(),
            offset: Vec::with_capacity(n_output + 1),
            node: batch.output_row.to_vec(),
            weight: weighted.then(Vec::new),
            n_node: batch.shape.n_node as usize,
        };
        edges.offset.push(0);
        for (output, &node) in batch.output_row.iter().enumerate() {
            let node = node as usize;
            if output < n_real || (output == n_real && node >= n_real_node) {
                let own =
                    batch.receiver_offset[node] as usize..batch.receiver_offset[node + 1] as usize;
                edges.output.extend(own.clone().map(|_| output as u32));
                edges.sender.extend_from_slice(&batch.sender[own.clone()]);
                if let Some(weight) = &mut edges.weight {
                    weight.extend_from_slice(&batch.edge_weight[own]);
                }
            }
            edges.offset.push(edges.sender.len() as u32);
        }
        edges
    }

    /// Number of words on the device.
    pub(super) fn n_word(&self) -> usize {
        let arrays = [
            // Ends, order by sender, weights.
            4 * self.sender.len().next_multiple_of(ALIGNMENT),
            2 * (self.n_node + 1).next_multiple_of(ALIGNMENT),
            self.offset.len().next_multiple_of(ALIGNMENT),
            2 * self.node.len().next_multiple_of(ALIGNMENT),
        ];
        arrays.iter().sum()
    }

    pub(super) fn put<D: Backend>(
        &self,
        device: &D,
        arena: &mut D::Arena,
    ) -> Result<OutputEdges<D>, ModelError> {
        let mut put = |of: &[u32], offset: &[u32], order: Option<&[u32]>| {
            Segments::put(device, arena, of, offset, order).map_err(engine)
        };
        let (order, offset) = sorted(&self.sender, self.n_node);
        let from = put(&self.sender, &offset, Some(&order))?;
        let to = put(&self.output, &self.offset, None)?;
        let (order, offset) = sorted(&self.node, self.n_node);
        let node = put(&self.node, &offset, Some(&order))?;
        let matrix = |weight: &Vec<f32>| {
            let tensor =
                device.put_matrix(arena, None, weight, [weight.len(), 1]).map_err(engine)?;
            Ok::<_, ModelError>(Matrix::from_kernel(tensor, false))
        };
        let weight = self.weight.as_ref().map(matrix).transpose()?;
        Ok(OutputEdges { from, to, node, weight })
    }
}
