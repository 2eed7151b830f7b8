//! Layer norm, activation and dropout after a convolution, in one pass over the rows.

use std::rc::Rc;

use batchlab_core::ModelError;

use crate::backend::{RowsToNormalise, kernels};
use crate::dropout::Dropout;
use crate::matrix::engine;
use crate::{Activation, Backend, Buffer, Dense, Matrix, Pass, Segments};

/// Added to the variance of a row.
pub const EPSILON: f32 = 1e-5;

/// The operations of [`Pass::normalise`] on each row, in this order.
pub struct Normalise<'a, D: Backend> {
    /// Scale and offset of a layer norm (Ba et al. 2016, arXiv 1607.06450), `[1, width]` each: rows
    /// are normalised to mean 0 and variance 1, then scaled and offset. The variance is divided by
    /// the width, with [`EPSILON`] added.
    pub norm: Option<[&'a Matrix<D>; 2]>,
    /// Applied elementwise.
    pub activation: Activation,
    /// Dropout probability in training; kept numbers are scaled up to preserve the mean. Nothing is
    /// dropped in evaluation.
    pub dropout: f32,
    /// For a matrix with the rows of some nodes, which nodes these are, so that dropout is the same
    /// as with the rows of all nodes.
    pub node: Option<&'a Rc<Segments<D>>>,
}

impl<D: Backend> Pass<'_, D> {
    /// Layer norm, activation and dropout: `[n_row, width]` to the same.
    pub fn normalise(
        &mut self,
        x: &Matrix<D>,
        with: &Normalise<'_, D>,
    ) -> Result<Matrix<D>, ModelError> {
        let width = x.n_column();
        for parameter in with.norm.iter().flatten() {
            assert_eq!(parameter.shape(), [1, width], "one number per column");
        }
        let is_training = self.is_recording() && with.dropout > 0.0;
        let dropout = is_training.then(|| self.next_dropout(with.dropout));
        let activation = with.activation;
        let gradients_of_norm = with.norm.map(|norm| norm.map(Matrix::gradient));
        let norm = with.norm.map(|norm| norm.map(|matrix| matrix.tensor().clone()));
        let node = with.node.map(Rc::clone);
        if let Some(node) = &node {
            assert_eq!(node.n_item(), x.n_row(), "one node per row");
        }
        let values = x.tensor().clone();
        let rows =
            |norm| RowsToNormalise { x: &values, norm, activation, dropout, node: node.as_deref() };
        let tensors = norm.as_ref().map(|[scale, offset]| [scale, offset]);
        let [result, statistics] = self.device().normalise(&rows(tensors)).map_err(engine)?;
        let of_x = x.is_tracked().then(|| x.gradient());
        let of_norm = with.norm.is_some_and(|norm| norm.iter().any(|matrix| matrix.is_tracked()));
        Ok(self.record(result, of_x.is_some() || of_norm, move |device, mut dy| {
            let mut dnorm = match &gradients_of_norm {
                Some([scale, offset]) => [scale.to_be_added(device)?, offset.to_be_added(device)?],
                None => [device.zeros_buffer(0)?, device.zeros_buffer(0)?],
            };
            let mut dx = of_x.as_ref().map(|of_x| of_x.to_be_added(device)).transpose()?;
            let rows = RowsToNormalise {
                x: &values,
                norm: norm.as_ref().map(|[scale, offset]| [scale, offset]),
                activation,
                dropout,
                node: node.as_deref(),
            };
            device.normalise_backward(dx.as_mut(), &mut dnorm, &mut dy, &rows, &statistics)?;
            for (of_x, dx) in of_x.iter().zip(dx) {
                of_x.add(device, dx)?;
            }
            for (of, sum) in gradients_of_norm.iter().flatten().zip(dnorm) {
                of.add(device, sum)?;
            }
            Ok(())
        }))
    }

    /// The random numbers of the next matrix of this pass.
    fn next_dropout(&mut self, rate: f32) -> Dropout {
        let place = self.count_dropout();
        Dropout::new(rate, self.key(), place)
    }
}

kernels! {
    /// Kernels of layer norm, activation and dropout.
    pub trait NormaliseKernels;

    /// Layer norm, activation and dropout of each row; and the mean and the inverse standard
    /// deviation of each row, `[n_row, 2]`, or nothing without a norm.
    fn normalise(rows: &RowsToNormalise<'_, Self>) -> [Dense<Self>; 2];
    /// The gradients of `normalise`, with respect to the rows if needed, and to scale and offset.
    /// `dy` is overwritten.
    fn normalise_backward(
        dx: Option<&mut Buffer<Self>>, dnorm: &mut [Buffer<Self>; 2], dy: &mut Buffer<Self>,
        rows: &RowsToNormalise<'_, Self>, statistics: &Dense<Self>
    ) -> ();
}
