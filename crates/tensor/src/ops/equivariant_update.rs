//! What a node of PaiNN makes of its own scalars and vectors (Schütt et al. 2021, arXiv
//! 2102.03150, figure 2, update block).
//!
//! A linear layer mixes the vectors of each node into two sets, `mixed` `[3 n_node, 2 width]` with
//! rows x, y and z of each node: the first half of the columns is called l, the second r. Neither
//! operation here changes when all vectors are turned.

use batchlab_core::ModelError;

use crate::matrix::engine;
use crate::{Backend, Matrix, Pass};

impl<D: Backend> Pass<'_, D> {
    /// The scalars and, beside them, the lengths of the mixed vectors r:
    /// `[s, sqrt(r_x^2 + r_y^2 + r_z^2 + epsilon)]`. `s` `[n_node, width]`, result
    /// `[n_node, 2 width]`.
    pub fn norms_beside(
        &mut self,
        s: &Matrix<D>,
        mixed: &Matrix<D>,
        epsilon: f32,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(mixed.shape(), [3 * s.n_row(), 2 * s.n_column()], "two sets of vectors");
        let result =
            self.device().norms_beside(s.tensor(), mixed.tensor(), epsilon).map_err(engine)?;
        let tracked = [s.is_tracked(), mixed.is_tracked()];
        let (of_s, of_mixed) = (s.gradient(), mixed.gradient());
        let (mixed, kept) = (mixed.tensor().clone(), result.clone());
        Ok(self.record(result, tracked.contains(&true), move |device, dy| {
            if tracked[0] {
                let mut ds = of_s.sum(device)?;
                device.norms_beside_backward(Some(&mut ds), None, &dy, &mixed, &kept)?;
            }
            if tracked[1] {
                let mut dmixed = of_mixed.sum(device)?;
                device.norms_beside_backward(None, Some(&mut dmixed), &dy, &mixed, &kept)?;
            }
            Ok(())
        }))
    }

    /// The changes of scalars and vectors, `g_1 + g_3 (l_x r_x + l_y r_y + l_z r_z)` and `g_2 l`,
    /// where `gates` `[n_node, 3 width]` holds the three gates g side by side. Results
    /// `[n_node, width]` and `[3 n_node, width]`.
    pub fn equivariant_update(
        &mut self,
        gates: &Matrix<D>,
        mixed: &Matrix<D>,
    ) -> Result<[Matrix<D>; 2], ModelError> {
        let width = mixed.n_column() / 2;
        assert_eq!(mixed.shape(), [3 * gates.n_row(), 2 * width], "two sets of vectors");
        assert_eq!(gates.n_column(), 3 * width, "three gates per node");
        let results =
            self.device().equivariant_update(gates.tensor(), mixed.tensor()).map_err(engine)?;
        let tracked = [gates.is_tracked(), mixed.is_tracked()];
        let (of_gates, of_mixed) = (gates.gradient(), mixed.gradient());
        let (gates, mixed) = (gates.tensor().clone(), mixed.tensor().clone());
        Ok(self.record_pair(results, tracked.contains(&true), move |device, dy| {
            let dy = dy.each_ref();
            if tracked[0] {
                let mut dgates = of_gates.sum(device)?;
                device.equivariant_update_backward(Some(&mut dgates), None, dy, &gates, &mixed)?;
            }
            if tracked[1] {
                let mut dmixed = of_mixed.sum(device)?;
                device.equivariant_update_backward(None, Some(&mut dmixed), dy, &gates, &mixed)?;
            }
            Ok(())
        }))
    }
}
