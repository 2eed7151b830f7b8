//! The continuous-filter convolution of SchNet (Schütt et al., NIPS 2017, equation 2).

use std::rc::Rc;

use batchlab_core::ModelError;

use crate::matrix::engine;
use crate::{Aggregate, Backend, Matrix, Pass, Segments};

impl<D: Backend> Pass<'_, D> {
    /// Sends every node's features along its edges, multiplied by the edge's filter, and sums or
    /// averages what arrives: `y[i] = sum over j -> i of filter[j -> i] * x[j]`.
    ///
    /// `filter` `[n_edge, width]`, `x` `[n_node, width]`, result `[n_node, width]`. Features go
    /// from the one end of an edge to the other, mostly from `batch.sender()` to
    /// `batch.receiver()`. The messages are never written to memory.
    pub fn convolve(
        &mut self,
        filter: &Matrix<D>,
        x: &Matrix<D>,
        from: &Rc<Segments<D>>,
        to: &Rc<Segments<D>>,
        aggregate: Aggregate,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(filter.shape(), [from.n_item(), x.n_column()], "one filter per edge");
        assert_eq!(from.n_item(), to.n_item(), "every edge has two ends");
        assert_eq!(x.n_row(), from.n_segment(), "one row per node");
        let result = self
            .device()
            .convolve(filter.tensor(), x.tensor(), from, to, aggregate)
            .map_err(engine)?;
        let (from, to) = (Rc::clone(from), Rc::clone(to));
        let tracked = [filter.is_tracked(), x.is_tracked()];
        let (filter, x) = (filter.tensor().clone(), x.tensor().clone());
        Ok(self.record(result, tracked.contains(&true), move |device, gradients, dy| {
            // One gradient is taken out while the other is borrowed.
            let mut dfilter = device.zeros_buffer(0)?;
            if tracked[0] {
                std::mem::swap(gradients.get_or_alloc_mut(&filter)?, &mut dfilter);
            }
            let dx = if tracked[1] { Some(gradients.get_or_alloc_mut(&x)?) } else { None };
            device.convolve_backward(
                tracked[0].then_some(&mut dfilter),
                dx,
                dy,
                &filter,
                &x,
                &from,
                &to,
                aggregate,
            )?;
            if tracked[0] {
                *gradients.get_or_alloc_mut(&filter)? = dfilter;
            }
            Ok(())
        }))
    }
}
