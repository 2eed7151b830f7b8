//! Sums of which one part is kept within limits.

use batchlab_core::ModelError;

use crate::matrix::engine;
use crate::{Backend, Matrix, Pass};

impl<D: Backend> Pass<'_, D> {
    /// `x + clip(change)`: values of `change` beyond `limit` count as `limit`, those below `-limit`
    /// as `-limit`, and no gradient flows through either. Both `[n_row, width]`.
    pub fn add_clipped(
        &mut self,
        x: &Matrix<D>,
        change: &Matrix<D>,
        limit: f32,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(x.shape(), change.shape(), "sum of two matrices");
        let result =
            self.device().add_clipped(x.tensor(), change.tensor(), limit).map_err(engine)?;
        let tracked = [x.is_tracked(), change.is_tracked()];
        let (of_x, of_change) = (x.gradient(), change.gradient());
        let change = change.tensor().clone();
        Ok(self.record(result, tracked.contains(&true), move |device, dy| {
            if tracked[1] {
                device.clip_backward(&mut *of_change.sum(device)?, &dy, &change, limit)?;
            }
            if tracked[0] { of_x.add(device, dy) } else { Ok(()) }
        }))
    }
}
