//! Sums and means over segments.

use std::rc::Rc;

use batchlab_core::ModelError;

use crate::matrix::engine;
use crate::{Aggregate, Backend, Matrix, Pass, Segments};

impl<D: Backend> Pass<'_, D> {
    /// Sum of the rows of each segment: messages to nodes, nodes to graphs. `[n_item, width]` to
    /// `[n_segment, width]`.
    ///
    /// # Errors
    /// A device that fails.
    pub fn segment_sum(
        &mut self,
        x: &Matrix<D>,
        segments: &Rc<Segments<D>>,
    ) -> Result<Matrix<D>, ModelError> {
        self.segment(x, segments, Aggregate::Sum)
    }

    /// Mean of the rows of each segment, 0 where it is empty. `[n_item, width]` to
    /// `[n_segment, width]`.
    ///
    /// # Errors
    /// A device that fails.
    pub fn segment_mean(
        &mut self,
        x: &Matrix<D>,
        segments: &Rc<Segments<D>>,
    ) -> Result<Matrix<D>, ModelError> {
        self.segment(x, segments, Aggregate::Mean)
    }

    /// Sum or mean of the rows of each segment.
    ///
    /// # Errors
    /// A device that fails.
    pub fn segment(
        &mut self,
        x: &Matrix<D>,
        segments: &Rc<Segments<D>>,
        aggregate: Aggregate,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(x.n_row(), segments.n_item(), "one row per item");
        let result = self.device().segment(x.tensor(), segments, aggregate).map_err(engine)?;
        let (of_x, width) = (x.tensor().ghost(), x.n_column());
        let segments = Rc::clone(segments);
        Ok(self.record(result, x.is_tracked(), move |device, gradients, dy| {
            let dx = gradients.get_or_alloc_mut(&of_x)?;
            device.segment_backward(dx, dy, &segments, aggregate, width)
        }))
    }
}
