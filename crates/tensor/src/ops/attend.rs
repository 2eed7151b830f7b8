//! Attention along edges (Veličković et al., ICLR 2018, arXiv 1710.10903).

use std::rc::Rc;

use batchlab_core::ModelError;

use crate::backend::{Attention, kernels};
use crate::matrix::engine;
use crate::{Backend, Buffer, Dense, Matrix, Pass, Segments};

impl<D: Backend> Pass<'_, D> {
    /// For every node, the attention-weighted sum of its senders' rows, per head: `y[i, h] = sum
    /// over e = (j -> i) of share[e, h] * x[j, h]`. The shares of a receiver's edges are the
    /// softmax of their scores, `LeakyReLU(scores[0][j, h] + scores[1][i, h])` with slope
    /// [`LEAKY_SLOPE`](crate::Activation::LEAKY_SLOPE).
    ///
    /// `x` `[n_from, n_head * width]`, grouped by head; `scores` `[n_from, n_head]` of senders and
    /// `[n_to, n_head]` of receivers; result `[n_to, n_head * width]`. Edges are in the order of
    /// `to`. The only edge-sized array in memory is that of the shares `[n_edge, n_head]`.
    pub fn attend(
        &mut self,
        x: &Matrix<D>,
        scores: [&Matrix<D>; 2],
        from: &Rc<Segments<D>>,
        to: &Rc<Segments<D>>,
    ) -> Result<Matrix<D>, ModelError> {
        let n_head = scores[0].n_column();
        assert!(n_head > 0 && x.n_column().is_multiple_of(n_head), "columns of whole heads");
        assert_eq!(scores[1].n_column(), n_head, "as many heads at both ends");
        assert_eq!(from.n_item(), to.n_item(), "every edge has two ends");
        assert_eq!([x.n_row(), scores[0].n_row()], [from.n_segment(); 2], "one row per sender");
        assert_eq!(scores[1].n_row(), to.n_segment(), "one row per receiver");
        assert!(to.order.is_none(), "edges in the order of their receivers");
        let [theirs, own] = scores.map(|scores| scores.tensor().clone());
        let values = x.tensor().clone();
        let attention = Attention { x: &values, scores: [&theirs, &own], from, to, n_head };
        let [result, share] = self.device().attend(&attention).map_err(engine)?;
        let tracked = [x, scores[0], scores[1]].iter().any(|matrix| matrix.is_tracked());
        let kept = result.clone();
        let (from, to) = (Rc::clone(from), Rc::clone(to));
        let of_x = x.gradient();
        let [of_theirs, of_own] = scores.map(Matrix::gradient);
        Ok(self.record(result, tracked, move |device, dy| {
            let mut dx = of_x.to_be_added(device)?;
            let mut dscores = [of_theirs.to_be_added(device)?, of_own.to_be_added(device)?];
            let attention =
                Attention { x: &values, scores: [&theirs, &own], from: &from, to: &to, n_head };
            device.attend_backward(&mut dx, &mut dscores, &dy, &attention, [&kept, &share])?;
            let [theirs, own] = dscores;
            of_x.add(device, dx)?;
            of_theirs.add(device, theirs)?;
            of_own.add(device, own)
        }))
    }

    /// The contribution of one end of an edge to the attention scores, `[n_row, n_head]`: the dot
    /// product of each head's columns of `x` `[n_row, n_head * width]` with that head's row of
    /// `weight` `[n_head, width]`.
    pub fn head_scores(
        &mut self,
        x: &Matrix<D>,
        weight: &Matrix<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let [n_head, width] = weight.shape();
        assert_eq!(x.n_column(), n_head * width, "columns of whole heads");
        let result = self.device().head_scores(x.tensor(), weight.tensor()).map_err(engine)?;
        let tracked = x.is_tracked() || weight.is_tracked();
        let (of_x, of_weight) = (x.gradient(), weight.gradient());
        let (x, weight) = (x.tensor().clone(), weight.tensor().clone());
        Ok(self.record(result, tracked, move |device, dy| {
            let [mut dx, mut dweight] = [of_x.to_be_added(device)?, of_weight.to_be_added(device)?];
            device.head_scores_backward(&mut dx, &mut dweight, &dy, &x, &weight)?;
            of_x.add(device, dx)?;
            of_weight.add(device, dweight)
        }))
    }

    /// The mean over the heads of each row: `[n_row, n_head * width]` to `[n_row, width]`.
    pub fn mean_of_heads(&mut self, x: &Matrix<D>, n_head: usize) -> Result<Matrix<D>, ModelError> {
        assert!(n_head > 0 && x.n_column().is_multiple_of(n_head), "columns of whole heads");
        let width = x.n_column() / n_head;
        let result = self.device().mean_of_heads(x.tensor(), n_head).map_err(engine)?;
        let of_x = x.gradient();
        Ok(self.record(result, x.is_tracked(), move |device, dy| {
            device.mean_of_heads_backward(&mut *of_x.sum(device)?, &dy, n_head, width)
        }))
    }
}

kernels! {
    /// Kernels of attention.
    pub trait AttentionKernels;

    /// The weighted sums `[n_to, n_head * width]`, and the share of each edge `[n_edge, n_head]`.
    fn attend(attention: &Attention<'_, Self>) -> [Dense<Self>; 2];
    /// The gradients of `attend`, given its results, with respect to rows and scores.
    fn attend_backward(
        dx: &mut Buffer<Self>, dscores: &mut [Buffer<Self>; 2], dy: &Buffer<Self>,
        attention: &Attention<'_, Self>, results: [&Dense<Self>; 2]
    ) -> ();
    /// Per-head dot products of `x` `[n_row, n_head * width]` with `weight` `[n_head, width]`,
    /// `[n_row, n_head]`.
    fn head_scores(x: &Dense<Self>, weight: &Dense<Self>) -> Dense<Self>;
    /// The gradients of `head_scores`.
    fn head_scores_backward(
        dx: &mut Buffer<Self>, dweight: &mut Buffer<Self>, dy: &Buffer<Self>, x: &Dense<Self>,
        weight: &Dense<Self>
    ) -> ();
    /// The mean over the heads of each row, `[n_row, width]`.
    fn mean_of_heads(x: &Dense<Self>, n_head: usize) -> Dense<Self>;
    /// The gradient of `mean_of_heads`.
    fn mean_of_heads_backward(
        dx: &mut Buffer<Self>, dy: &Buffer<Self>, n_head: usize, width: usize
    ) -> ();
}
