//! Rows by index.

use std::rc::Rc;

use batchlab_core::ModelError;

use crate::matrix::engine;
use crate::{Backend, Matrix, Pass, Segments};

impl<D: Backend> Pass<'_, D> {
    /// For each item the row of its segment: embeddings of node classes, features of an edge's
    /// sender. `[n_segment, width]` to `[n_item, width]`.
    pub fn gather(
        &mut self,
        x: &Matrix<D>,
        segments: &Rc<Segments<D>>,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(x.n_row(), segments.n_segment(), "one row per segment");
        let result = self.device().gather(x.tensor(), segments).map_err(engine)?;
        let (of_x, width) = (x.gradient(), x.n_column());
        let segments = Rc::clone(segments);
        Ok(self.record(result, x.is_tracked(), move |device, dy| {
            device.gather_backward(&mut *of_x.sum(device)?, &dy, &segments, width)
        }))
    }
}
