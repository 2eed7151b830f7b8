//! Updates of the scalars and vectors of a node in PaiNN, by received messages and by its own
//! features (Schütt et al. 2021, arXiv 2102.03150, figure 2, message block and update block).
//!
//! In the update block a linear layer mixes the vectors of each node into two sets, `mixed` `[3
//! n_node, 2 width]` with rows x, y and z of each node: the first half of the columns is called l,
//! the second r. All operations here are equivariant under rotation of all vectors.

use batchlab_core::ModelError;

use crate::backend::kernels;
use crate::gradient::Gradient;
use crate::matrix::engine;
use crate::{Backend, Buffer, Dense, Matrix, Pass};

impl<D: Backend> Pass<'_, D> {
    /// The scalars, concatenated with the lengths of the mixed vectors r: `[s, sqrt(r_x^2 + r_y^2 +
    /// r_z^2 + epsilon)]`. `s` `[n_node, width]`, result `[n_node, 2 width]`.
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
            let mut ds = tracked[0].then(|| of_s.sum(device)).transpose()?;
            let mut dmixed = tracked[1].then(|| of_mixed.sum(device)).transpose()?;
            let [ds, dmixed] = [ds.as_deref_mut(), dmixed.as_deref_mut()];
            device.norms_beside_backward(ds, dmixed, &dy, &mixed, &kept)
        }))
    }

    /// Scalars and vectors of nodes, updated by messages from
    /// [`Message::equivariant`](crate::Message::equivariant): `state + clip(received)`, where the
    /// scalars come first. Changes are clipped to between `-limit` and `limit`, and no gradient
    /// flows through clipped ones. `state` `[n_node, width]` and `[3 n_node, width]`, like the
    /// results; `received` `[n_node, 4 width]`.
    pub fn add_received(
        &mut self,
        state: [&Matrix<D>; 2],
        received: &Matrix<D>,
        limit: f32,
    ) -> Result<[Matrix<D>; 2], ModelError> {
        let width = check_state(state);
        assert_eq!(received.shape(), [state[0].n_row(), 4 * width], "scalars and vectors");
        let before = state.map(Matrix::tensor);
        let results =
            self.device().add_received(before, received.tensor(), limit).map_err(engine)?;
        let wanted = received.is_tracked();
        let of_state = gradients_of(state);
        let (of_received, received) = (received.gradient(), received.tensor().clone());
        let tracked = wanted || of_state.iter().any(Option::is_some);
        Ok(self.record_pair(results, tracked, move |device, dy| {
            if wanted {
                let dreceived = &mut *of_received.sum(device)?;
                device.add_received_backward(dreceived, dy.each_ref(), &received, limit)?;
            }
            add_to_state(device, &of_state, dy)
        }))
    }

    /// Scalars and vectors of nodes, updated by their own features: `s + clip(g_1 + g_3 (l_x r_x +
    /// l_y r_y + l_z r_z))` and `v + clip(g_2 l)`, where `gates` `[n_node, 3 width]` holds the
    /// three gates g, concatenated. `state` and `limit` are as in [`Pass::add_received`].
    pub fn equivariant_update(
        &mut self,
        state: [&Matrix<D>; 2],
        gates: &Matrix<D>,
        mixed: &Matrix<D>,
        limit: f32,
    ) -> Result<[Matrix<D>; 2], ModelError> {
        let (n_node, width) = (gates.n_row(), check_state(state));
        assert_eq!(state[0].n_row(), n_node, "gates for each node");
        assert_eq!(mixed.shape(), [3 * n_node, 2 * width], "two sets of vectors");
        assert_eq!(gates.n_column(), 3 * width, "three gates per node");
        let before = state.map(Matrix::tensor);
        let results = self
            .device()
            .equivariant_update(before, gates.tensor(), mixed.tensor(), limit)
            .map_err(engine)?;
        let wanted = [gates.is_tracked(), mixed.is_tracked()];
        let of_state = gradients_of(state);
        let (of_gates, of_mixed) = (gates.gradient(), mixed.gradient());
        let (gates, mixed) = (gates.tensor().clone(), mixed.tensor().clone());
        let tracked = wanted.contains(&true) || of_state.iter().any(Option::is_some);
        Ok(self.record_pair(results, tracked, move |device, dy| {
            let mut dgates = wanted[0].then(|| of_gates.sum(device)).transpose()?;
            let mut dmixed = wanted[1].then(|| of_mixed.sum(device)).transpose()?;
            device.equivariant_update_backward(
                dgates.as_deref_mut(),
                dmixed.as_deref_mut(),
                dy.each_ref(),
                &gates,
                &mixed,
                limit,
            )?;
            drop((dgates, dmixed));
            add_to_state(device, &of_state, dy)
        }))
    }
}

/// The width of scalars `[n_node, width]` and vectors `[3 n_node, width]`.
fn check_state<D: Backend>([scalars, vectors]: [&Matrix<D>; 2]) -> usize {
    let [n_node, width] = scalars.shape();
    assert_eq!(vectors.shape(), [3 * n_node, width], "three rows of a vector per node");
    width
}

/// The needed gradients.
fn gradients_of<D: Backend>(state: [&Matrix<D>; 2]) -> [Option<Gradient<D>>; 2] {
    state.map(|matrix| matrix.is_tracked().then(|| matrix.gradient()))
}

/// A sum passes its gradient on unchanged.
fn add_to_state<D: Backend>(
    device: &D,
    state: &[Option<Gradient<D>>; 2],
    dy: [Buffer<D>; 2],
) -> Result<(), D::Err> {
    for (gradient, dy) in state.iter().zip(dy) {
        if let Some(gradient) = gradient {
            gradient.add(device, dy)?;
        }
    }
    Ok(())
}

kernels! {
    /// Kernels of scalars and vectors of nodes.
    pub trait EquivariantKernels;

    /// Scalars `[n_node, width]`, concatenated with the lengths of the second vectors of `mixed`
    /// `[3 n_node, 2 width]`.
    fn norms_beside(s: &Dense<Self>, mixed: &Dense<Self>, epsilon: f32) -> Dense<Self>;
    /// The needed gradients of `norms_beside`.
    fn norms_beside_backward(
        ds: Option<&mut Buffer<Self>>, dmixed: Option<&mut Buffer<Self>>, dy: &Buffer<Self>,
        mixed: &Dense<Self>, output: &Dense<Self>
    ) -> ();
    /// Scalars `[n_node, width]` and vectors `[3 n_node, width]` plus `received` `[n_node, 4
    /// width]`, the latter clipped to between `-limit` and `limit`.
    fn add_received(
        state: [&Dense<Self>; 2], received: &Dense<Self>, limit: f32
    ) -> [Dense<Self>; 2];
    /// The gradient of `add_received` with respect to the received messages.
    fn add_received_backward(
        dreceived: &mut Buffer<Self>, dy: [&Buffer<Self>; 2], received: &Dense<Self>, limit: f32
    ) -> ();
    /// The same scalars and vectors plus their change by `gates` `[n_node, 3 width]` and `mixed`
    /// `[3 n_node, 2 width]`, clipped to between `-limit` and `limit`.
    fn equivariant_update(
        state: [&Dense<Self>; 2], gates: &Dense<Self>, mixed: &Dense<Self>, limit: f32
    ) -> [Dense<Self>; 2];
    /// The needed gradients of `equivariant_update`.
    fn equivariant_update_backward(
        dgates: Option<&mut Buffer<Self>>, dmixed: Option<&mut Buffer<Self>>,
        dy: [&Buffer<Self>; 2], gates: &Dense<Self>, mixed: &Dense<Self>, limit: f32
    ) -> ();
}
