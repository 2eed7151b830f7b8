//! The message of PaiNN (Schütt et al. 2021, arXiv 2102.03150, figure 2, message block).

use std::rc::Rc;

use batchlab_core::ModelError;

use crate::matrix::engine;
use crate::{Backend, Buffer, Dense, EdgeGeometry, Matrix, Pass, Segments};

/// What equivariant messages are made of.
pub struct EquivariantMessage<'a, D: Backend> {
    /// `[n_edge, 3 width]`.
    pub filter: &'a Dense<D>,
    /// Multiplied with the filter, `[n_edge, 1]`.
    pub cutoff: &'a Dense<D>,
    /// `[n_node, 3 width]`.
    pub x: &'a Dense<D>,
    /// Rows x, y and z of each node, `[3 n_node, width]`.
    pub v: &'a Dense<D>,
    /// `[n_edge, 3]`.
    pub direction: &'a Dense<D>,
    /// Where features are taken.
    pub from: &'a Segments<D>,
    /// Where messages are summed.
    pub to: &'a Segments<D>,
}

/// Where gradients of equivariant messages are added, each if it is wanted.
pub struct EquivariantMessageGradients<'a, D: Backend> {
    /// Of the filter, `[n_edge, 3 width]`.
    pub filter: Option<&'a mut Buffer<D>>,
    /// Of x, `[n_node, 3 width]`.
    pub x: Option<&'a mut Buffer<D>>,
    /// Of v, `[3 n_node, width]`.
    pub v: Option<&'a mut Buffer<D>>,
}

impl<D: Backend> Pass<'_, D> {
    /// Sends scalars and vectors along the edges and sums what arrives.
    ///
    /// With `w = cutoff filter * x[j]` in three parts of `width` columns, node i receives from its
    /// edges j -> i the scalars `sum w_1` and the vectors `sum w_2 direction + w_3 v[j]`. `filter`
    /// `[n_edge, 3 width]`, `x` `[n_node, 3 width]`, `v` `[3 n_node, width]` with rows x, y and z of
    /// each node; results `[n_node, width]` and `[3 n_node, width]`. Messages are never written to
    /// memory.
    ///
    /// # Errors
    /// A device that fails.
    pub fn equivariant_message(
        &mut self,
        filter: &Matrix<D>,
        x: &Matrix<D>,
        v: &Matrix<D>,
        geometry: &EdgeGeometry<D>,
        from: &Rc<Segments<D>>,
        to: &Rc<Segments<D>>,
    ) -> Result<[Matrix<D>; 2], ModelError> {
        let (n_edge, n_node, width) = (from.n_item(), from.n_segment(), v.n_column());
        assert_eq!([to.n_item(), to.n_segment()], [n_edge, n_node], "two ends of the same edges");
        assert_eq!(filter.shape(), [n_edge, 3 * width], "three filters per edge");
        assert_eq!(x.shape(), [n_node, 3 * width], "three features per node");
        assert_eq!(v.n_row(), 3 * n_node, "three components per node");
        assert_eq!(geometry.direction.shape(), [n_edge, 3], "one direction per edge");
        let tracked = [filter, x, v].map(Matrix::is_tracked);
        let [filter, x, v] = [filter, x, v].map(|matrix| matrix.tensor().clone());
        let [cutoff, direction] =
            [&geometry.cutoff, &geometry.direction].map(|matrix| matrix.tensor().clone());
        let (from, to) = (Rc::clone(from), Rc::clone(to));

        let message = EquivariantMessage {
            filter: &filter,
            cutoff: &cutoff,
            x: &x,
            v: &v,
            direction: &direction,
            from: &from,
            to: &to,
        };
        let results = self.device().equivariant_message(&message).map_err(engine)?;
        Ok(self.record_pair(results, tracked.contains(&true), move |device, gradients, dy| {
            let message = EquivariantMessage {
                filter: &filter,
                cutoff: &cutoff,
                x: &x,
                v: &v,
                direction: &direction,
                from: &from,
                to: &to,
            };
            // The gradients are taken out, because they are written at once.
            let inputs = [&filter, &x, &v];
            let mut taken = [None, None, None];
            for ((input, tracked), taken) in inputs.into_iter().zip(tracked).zip(&mut taken) {
                if tracked {
                    let gradient = gradients.get_or_alloc_mut(input)?;
                    *taken = Some(std::mem::replace(gradient, device.zeros_buffer(0)?));
                }
            }
            let [of_filter, of_x, of_v] = &mut taken;
            let wanted = EquivariantMessageGradients {
                filter: of_filter.as_mut(),
                x: of_x.as_mut(),
                v: of_v.as_mut(),
            };
            device.equivariant_message_backward(wanted, dy, &message)?;
            for (input, taken) in inputs.into_iter().zip(taken) {
                if let Some(taken) = taken {
                    *gradients.get_or_alloc_mut(input)? = taken;
                }
            }
            Ok(())
        }))
    }
}
