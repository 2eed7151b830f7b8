//! Sums along edges: the product of a sparse matrix with a dense one.

use std::rc::Rc;

use batchlab_core::ModelError;

use crate::backend::kernels;
use crate::matrix::engine;
use crate::{Aggregate, Backend, Buffer, Dense, Matrix, Pass, Segments};

impl<D: Backend> Pass<'_, D> {
    /// Sends every node's row along its edges, times the edge weight, and sums or averages at the
    /// receivers: `y[i] = sum over e = (j -> i) of weight[e] * x[j]`.
    ///
    /// `x` `[n_from, width]`, `weight` `[n_edge, 1]` or none for 1, result `[n_to, width]`. Rows go
    /// from one end of an edge to the other, usually from `batch.sender()` to `batch.receiver()`.
    /// The per-edge rows are never written to memory, neither here nor for the gradient, which goes
    /// along the edges in the opposite direction. Weights are constants: they get no gradient.
    pub fn propagate(
        &mut self,
        x: &Matrix<D>,
        weight: Option<&Matrix<D>>,
        from: &Rc<Segments<D>>,
        to: &Rc<Segments<D>>,
        aggregate: Aggregate,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(from.n_item(), to.n_item(), "every edge has two ends");
        assert_eq!(x.n_row(), from.n_segment(), "one row per node");
        if let Some(weight) = weight {
            assert_eq!(weight.shape(), [from.n_item(), 1], "one weight per edge");
            assert!(!weight.is_tracked(), "weights of edges are constants");
        }
        let weight = weight.map(|weight| weight.tensor().clone());
        let (device, values) = (self.device(), x.tensor());
        let result =
            device.propagate(values, weight.as_ref(), from, to, aggregate).map_err(engine)?;
        let (of_x, width) = (x.gradient(), x.n_column());
        let (from, to) = (Rc::clone(from), Rc::clone(to));
        Ok(self.record(result, x.is_tracked(), move |device, mut dy| {
            let dx = &mut *of_x.sum(device)?;
            device.propagate_backward(dx, &mut dy, weight.as_ref(), &from, &to, aggregate, width)
        }))
    }
}

kernels! {
    /// Kernels of sums along edges.
    pub trait PropagateKernels;

    /// Sum or mean over the items e of each segment of `to` of `weight[e] * x[from.of[e]]`, `[n_to,
    /// width]`; `weight` `[n_item, 1]` or none for 1.
    fn propagate(
        x: &Dense<Self>, weight: Option<&Dense<Self>>, from: &Segments<Self>, to: &Segments<Self>,
        aggregate: Aggregate
    ) -> Dense<Self>;
    /// The transpose of `propagate`. `dy` is overwritten.
    fn propagate_backward(
        dx: &mut Buffer<Self>, dy: &mut Buffer<Self>, weight: Option<&Dense<Self>>,
        from: &Segments<Self>, to: &Segments<Self>, aggregate: Aggregate, width: usize
    ) -> ();
}
