//! Gathering rows; sums, means, maxima and softmax over segments.

use std::rc::Rc;

use batchlab_core::ModelError;

use crate::backend::kernels;
use crate::matrix::engine;
use crate::{Aggregate, Backend, Buffer, Dense, Matrix, Pass, Segments};

impl<D: Backend> Pass<'_, D> {
    /// The row of each item's segment: embeddings of node classes, features of an edge's sender.
    /// `[n_segment, width]` to `[n_item, width]`.
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

    /// Sum of the rows of each segment: messages to nodes, nodes to graphs. `[n_item, width]` to
    /// `[n_segment, width]`.
    pub fn segment_sum(
        &mut self,
        x: &Matrix<D>,
        segments: &Rc<Segments<D>>,
    ) -> Result<Matrix<D>, ModelError> {
        self.segment(x, segments, Aggregate::Sum)
    }

    /// Mean of the rows of each segment, 0 where it is empty. `[n_item, width]` to
    /// `[n_segment, width]`.
    pub fn segment_mean(
        &mut self,
        x: &Matrix<D>,
        segments: &Rc<Segments<D>>,
    ) -> Result<Matrix<D>, ModelError> {
        self.segment(x, segments, Aggregate::Mean)
    }

    /// Sum or mean of the rows of each segment.
    pub fn segment(
        &mut self,
        x: &Matrix<D>,
        segments: &Rc<Segments<D>>,
        aggregate: Aggregate,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(x.n_row(), segments.n_item(), "one row per item");
        let result = self.device().segment(x.tensor(), segments, aggregate).map_err(engine)?;
        let (of_x, width) = (x.gradient(), x.n_column());
        let segments = Rc::clone(segments);
        Ok(self.record(result, x.is_tracked(), move |device, dy| {
            device.segment_backward(&mut *of_x.sum(device)?, &dy, &segments, aggregate, width)
        }))
    }

    /// The columnwise maximum of each segment's rows; 0 for an empty segment. `[n_item, width]` to
    /// `[n_segment, width]`. Rows that share the maximum share the gradient.
    pub fn segment_max(
        &mut self,
        x: &Matrix<D>,
        segments: &Rc<Segments<D>>,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(x.n_row(), segments.n_item(), "one row per item");
        let result = self.device().segment_max(x.tensor(), segments).map_err(engine)?;
        let (input, kept, segments) = (x.tensor().clone(), result.clone(), Rc::clone(segments));
        let of_x = x.gradient();
        Ok(self.record(result, x.is_tracked(), move |device, dy| {
            let mut dx = of_x.sum(device)?;
            device.segment_max_backward(&mut dx, &dy, &input, &kept, &segments)
        }))
    }

    /// The columnwise softmax over each segment: `e^x` over its sum in the segment, the weights of
    /// attention. `[n_item, width]` to the same.
    pub fn segment_softmax(
        &mut self,
        x: &Matrix<D>,
        segments: &Rc<Segments<D>>,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(x.n_row(), segments.n_item(), "one row per item");
        let result = self.device().segment_softmax(x.tensor(), segments).map_err(engine)?;
        let (of_x, kept, segments) = (x.gradient(), result.clone(), Rc::clone(segments));
        Ok(self.record(result, x.is_tracked(), move |device, dy| {
            let mut dx = of_x.sum(device)?;
            device.segment_softmax_backward(&mut dx, &dy, &kept, &segments)
        }))
    }
}

kernels! {
    /// Kernels that gather rows and reduce segments.
    pub trait SegmentKernels;

    /// Row `segments.of[i]` of `x` for each item i, `[n_item, width]`.
    fn gather(x: &Dense<Self>, segments: &Segments<Self>) -> Dense<Self>;
    /// The transpose of `gather`.
    fn gather_backward(
        dx: &mut Buffer<Self>, dy: &Buffer<Self>, segments: &Segments<Self>, width: usize
    ) -> ();
    /// Sum or mean of the rows of `x` over each segment, `[n_segment, width]`.
    fn segment(x: &Dense<Self>, segments: &Segments<Self>, aggregate: Aggregate) -> Dense<Self>;
    /// The transpose of `segment`.
    fn segment_backward(
        dx: &mut Buffer<Self>, dy: &Buffer<Self>, segments: &Segments<Self>, aggregate: Aggregate,
        width: usize
    ) -> ();
    /// The columnwise maximum over each segment, `[n_segment, width]`; 0 without items.
    fn segment_max(x: &Dense<Self>, segments: &Segments<Self>) -> Dense<Self>;
    /// The gradient of `segment_max`, shared by items with equal maxima.
    fn segment_max_backward(
        dx: &mut Buffer<Self>, dy: &Buffer<Self>, x: &Dense<Self>, largest: &Dense<Self>,
        segments: &Segments<Self>
    ) -> ();
    /// The columnwise share of each item in the sum of e^x over its segment, `[n_item, width]`.
    fn segment_softmax(x: &Dense<Self>, segments: &Segments<Self>) -> Dense<Self>;
    /// The gradient of `segment_softmax`.
    fn segment_softmax_backward(
        dx: &mut Buffer<Self>, dy: &Buffer<Self>, output: &Dense<Self>, segments: &Segments<Self>
    ) -> ();
}
