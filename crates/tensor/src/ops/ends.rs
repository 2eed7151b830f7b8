//! What an edge gets from the nodes at its ends.

use std::rc::Rc;

use batchlab_core::ModelError;

use crate::matrix::engine;
use crate::{Backend, Matrix, Pass, Segments};

impl<D: Backend> Pass<'_, D> {
    /// To each edge adds what its two ends give it: `y[j -> i] = edge[j -> i] + a[j] + b[i]`.
    ///
    /// `edge` `[n_edge, width]`, `a` and `b` `[n_node, width]`, result `[n_edge, width]`; `a` is
    /// taken at the end `from`, `b` at the end `to`. With the [rows](Pass::rows) of one weight this
    /// is a linear layer on `[h_j; h_i; e]` that multiplies nodes once per node.
    ///
    /// # Errors
    /// A device that fails.
    pub fn add_ends(
        &mut self,
        edge: &Matrix<D>,
        a: &Matrix<D>,
        from: &Rc<Segments<D>>,
        b: &Matrix<D>,
        to: &Rc<Segments<D>>,
    ) -> Result<Matrix<D>, ModelError> {
        let width = edge.n_column();
        assert_eq!([from.n_item(), to.n_item()], [edge.n_row(); 2], "every edge has two ends");
        assert_eq!(a.shape(), [from.n_segment(), width], "one row per node");
        assert_eq!(b.shape(), [to.n_segment(), width], "one row per node");
        let result = self
            .device()
            .add_ends(edge.tensor(), a.tensor(), from, b.tensor(), to)
            .map_err(engine)?;
        let tracked = [edge, a, b].map(Matrix::is_tracked);
        let [of_edge, of_a, of_b] = [edge, a, b].map(|matrix| matrix.tensor().ghost());
        let (from, to) = (Rc::clone(from), Rc::clone(to));
        Ok(self.record(result, tracked.contains(&true), move |device, gradients, dy| {
            if tracked[0] {
                device.accumulate(gradients.get_or_alloc_mut(&of_edge)?, dy)?;
            }
            if tracked[1] {
                device.gather_backward(gradients.get_or_alloc_mut(&of_a)?, dy, &from, width)?;
            }
            if tracked[2] {
                device.gather_backward(gradients.get_or_alloc_mut(&of_b)?, dy, &to, width)?;
            }
            Ok(())
        }))
    }
}
