//! Kernels for the processor: dfdx's `Cpu` as a [`Backend`].
//!
//! Work is cut into chunks whose size depends on the arrays alone, and sums over chunks run in
//! their order, so that results do not depend on the number of threads. Sums over all rows are cut
//! at places counted from the first, so that padding behind the real rows, whose gradients are
//! zeros, changes no bit. Most kernels are loops over rows that the compiler turns into vector
//! instructions ([`wide`]); those of messages, which take most of the time, use explicit vectors
//! ([`simd`]).

mod activation;
mod attention;
mod block;
mod dot;
mod elementwise;
mod extremum;
mod gaussian;
mod geometry;
mod heads;
mod linear;
mod loss;
mod math;
pub(crate) mod memory;
mod message;
mod node_state;
mod normalise;
mod out;
mod product;
mod propagate;
mod rows;
mod scratch;
mod segment;
mod simd;
mod softplus;
mod team;
mod tile;
pub(crate) mod wide;

use std::convert::Infallible;
use std::ops::Range;

use batchlab_core::ModelError;
use batchlab_core::model::Loss;
use dfdx::prelude::*;

use self::out::Out;
use crate::backend::{
    Attention, LinearLayer, LinearOutput, MessageOutput, MessageResult, RowsToNormalise,
};
use crate::raw;
use crate::{Activation, Adam, Aggregate, Backend, GaussianBasis, Message, Outputs};

type Result<T> = std::result::Result<T, <Cpu as HasErr>::Err>;
type Dense = crate::Dense<Cpu>;
type Buffer = crate::Buffer<Cpu>;
type Segments = crate::Segments<Cpu>;

fn slice(tensor: &Dense) -> &[f32] {
    raw::slice(tensor).expect("every matrix is checked to be contiguous when it is made")
}

/// A new matrix, which `kernel` writes.
fn filled(
    device: &Cpu,
    [n_row, n_column]: [usize; 2],
    kernel: impl for<'o> FnOnce(Out<'o>) -> &'o mut [f32],
) -> Result<Dense> {
    device.try_tensor_from_vec(out::new(n_row * n_column, kernel), (n_row, n_column))
}

/// The same for a kernel that adds to zeros, or needs numbers to begin with.
fn filled_from_zeros(
    device: &Cpu,
    shape: [usize; 2],
    kernel: impl FnOnce(&mut [f32]),
) -> Result<Dense> {
    filled(device, shape, |out| {
        let out = out.values();
        kernel(out);
        out
    })
}

/// Adds to a gradient of `n` numbers, as zeros where it is empty.
fn add_to_zeros(gradient: &mut Vec<f32>, n: usize, kernel: impl FnOnce(&mut [f32])) {
    out::add(gradient, n, |out| {
        let out = out.values();
        kernel(out);
        out
    });
}

impl Backend for Cpu {
    type Words = Vec<u32>;
    type Numbers = Vec<f32>;
    type Arena = ();
    type EdgePlan = message::EdgePlan;
    type Kept = message::Kept;
    type PendingLoss = f64;
    type Recording = Infallible;
    type RecordingMemory = ();

    fn zero_matrix(&self, [n_row, n_column]: [usize; 2]) -> Result<Dense> {
        self.try_zeros_like(&(n_row, n_column))
    }

    fn record(
        &self,
        (): &mut (),
        _: &mut dyn FnMut() -> std::result::Result<(), ModelError>,
    ) -> std::result::Result<Infallible, ModelError> {
        Err(ModelError::Engine("a processor records no work".into()))
    }

    fn start(&self, recording: &Infallible) -> Result<()> {
        match *recording {}
    }

    fn new_gradient(&self, _: usize) -> Result<Buffer> {
        self.zeros_buffer(0)
    }

    fn begin_upload(&self, (): &mut (), _: usize) -> Result<()> {
        Ok(())
    }

    fn put_words(&self, (): &mut (), host: &[u32]) -> Result<Vec<u32>> {
        Ok(host.to_vec())
    }

    fn put_numbers(&self, (): &mut (), host: &[f32]) -> Result<Vec<f32>> {
        Ok(host.to_vec())
    }

    fn put_matrix(
        &self,
        (): &mut (),
        _: Option<Dense>,
        host: &[f32],
        shape: [usize; 2],
    ) -> Result<Dense> {
        self.try_tensor_from_vec(host.to_vec(), (shape[0], shape[1]))
    }

    fn finish_upload(&self, (): &mut ()) -> Result<()> {
        Ok(())
    }

    fn begin_use(&self, (): &()) -> Result<()> {
        memory::ask_for_large_pages();
        team::wake();
        Ok(())
    }

    fn end_use(&self, (): &()) -> Result<()> {
        Ok(())
    }

    fn write(&self, buffer: &mut Buffer, host: &[f32]) -> Result<()> {
        buffer.clear();
        buffer.extend_from_slice(host);
        Ok(())
    }

    fn read(&self, buffer: &Buffer) -> Result<Vec<f32>> {
        Ok(buffer.to_vec())
    }

    fn is_contiguous(tensor: &Dense) -> bool {
        raw::slice(tensor).is_some()
    }

    fn wait(&self) -> Result<()> {
        Ok(())
    }

    fn arithmetic() -> &'static str {
        wide::vectors().name()
    }

    fn take_peak_bytes(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn gather(&self, x: &Dense, segments: &Segments) -> Result<Dense> {
        let width = x.shape().1;
        filled(self, [segments.n_item, width], |out| {
            segment::gather(out, slice(x), &segments.of, width)
        })
    }

    fn gather_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        segments: &Segments,
        width: usize,
    ) -> Result<()> {
        add_to_zeros(dx, segments.n_segment * width, |dx| {
            segment::sum(dx, dy, &segments.offset, segments.order.as_deref(), width);
        });
        Ok(())
    }

    fn segment(&self, x: &Dense, segments: &Segments, aggregate: Aggregate) -> Result<Dense> {
        let width = x.shape().1;
        filled_from_zeros(self, [segments.n_segment, width], |out| {
            segment::sum(out, slice(x), &segments.offset, segments.order.as_deref(), width);
            segment::scale(out, &segments.offset, aggregate, width);
        })
    }

    fn segment_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        segments: &Segments,
        aggregate: Aggregate,
        width: usize,
    ) -> Result<()> {
        let mut scaled = dy.to_vec();
        segment::scale(&mut scaled, &segments.offset, aggregate, width);
        out::add(dx, segments.n_item * width, |dx| {
            segment::gather_add(dx, &scaled, &segments.of, width)
        });
        Ok(())
    }

    fn segment_max(&self, x: &Dense, segments: &Segments) -> Result<Dense> {
        let width = x.shape().1;
        filled_from_zeros(self, [segments.n_segment, width], |out| {
            extremum::largest(out, slice(x), items(segments), width);
        })
    }

    fn segment_max_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        x: &Dense,
        largest: &Dense,
        segments: &Segments,
    ) -> Result<()> {
        let (x, largest, width) = (slice(x), slice(largest), x.shape().1);
        add_to_zeros(dx, x.len(), |dx| {
            extremum::add_to_largest(dx, dy, [x, largest], items(segments), width);
        });
        Ok(())
    }

    fn segment_softmax(&self, x: &Dense, segments: &Segments) -> Result<Dense> {
        let &(n_item, width) = x.shape();
        filled_from_zeros(self, [n_item, width], |out| {
            extremum::softmax(out, slice(x), items(segments), width);
        })
    }

    fn segment_softmax_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        output: &Dense,
        segments: &Segments,
    ) -> Result<()> {
        let (output, width) = (slice(output), output.shape().1);
        add_to_zeros(dx, output.len(), |dx| {
            extremum::add_to_softmax(dx, dy, output, items(segments), width);
        });
        Ok(())
    }

    fn edge_plan_bytes(plan: &Self::EdgePlan) -> u64 {
        plan.n_byte()
    }

    fn edge_plan(&self, from: &Segments, to: &Segments, n_real: usize) -> Result<Self::EdgePlan> {
        let order = to.order.as_deref();
        Ok(message::EdgePlan::new(&from.of, &to.of, order, from.n_segment, n_real))
    }

    fn message(
        &self,
        message: &Message<Self>,
        result: MessageResult,
        keep: bool,
    ) -> Result<MessageOutput<Self>> {
        let edges = &message.edges;
        let plan = message::Plan::new(message, result, keep);
        let [n_node, width] = [edges.to.n_segment, message.steps[result.message].width];
        let edge_shape = result.edge.map(|step| [edges.from.n_item, message.steps[step].width]);
        let mut received = out::zeros(n_node * width);
        let mut edge = out::zeros(edge_shape.map_or(0, |[n, width]| n * width));
        let kept = message::forward(&plan, &edges.plan, &mut received, &mut edge);
        segment::scale(&mut received, &edges.to.offset, result.aggregate, width);
        let received = self.try_tensor_from_vec(received, (n_node, width))?;
        let edge = edge_shape.map(|[n, width]| self.try_tensor_from_vec(edge, (n, width)));
        Ok((received, edge.transpose()?, keep.then_some(kept)))
    }

    fn message_backward(
        &self,
        gradients: &mut [Option<Buffer>],
        dy: &mut Buffer,
        dedge: Option<&Buffer>,
        message: &Message<Self>,
        result: MessageResult,
        kept: Self::Kept,
    ) -> Result<()> {
        let edges = &message.edges;
        let width = message.steps[result.message].width;
        segment::scale(dy, &edges.to.offset, result.aggregate, width);
        let mut rest = gradients.iter_mut().map(|gradient| gradient.as_deref_mut());
        let mut own = |matrix: Option<&crate::Matrix<_>>| {
            let (matrix, gradient) = (matrix?, rest.next().flatten()?);
            add_to_zeros(gradient, matrix.n_row() * matrix.n_column(), |_| ());
            Some(gradient.as_mut_slice())
        };
        let by_step = message.matrices().map(|matrices| matrices.map(&mut own)).collect();
        let incoming = message::Incoming { received: dy, edge: dedge.map(|edge| edge.as_slice()) };
        let plan = message::Plan::new(message, result, true);
        message::backward(&plan, &edges.plan, incoming, kept, by_step);
        Ok(())
    }

    fn propagate(
        &self,
        x: &Dense,
        weight: Option<&Dense>,
        from: &Segments,
        to: &Segments,
        aggregate: Aggregate,
    ) -> Result<Dense> {
        let width = x.shape().1;
        filled_from_zeros(self, [to.n_segment, width], |out| {
            let factors = factors(slice(x), weight, width);
            propagate::add_products(out, ends(to, from), factors);
            segment::scale(out, &to.offset, aggregate, width);
        })
    }

    fn propagate_backward(
        &self,
        dx: &mut Buffer,
        dy: &mut Buffer,
        weight: Option<&Dense>,
        from: &Segments,
        to: &Segments,
        aggregate: Aggregate,
        width: usize,
    ) -> Result<()> {
        segment::scale(dy, &to.offset, aggregate, width);
        add_to_zeros(dx, from.n_segment * width, |dx| {
            propagate::add_products(dx, ends(from, to), factors(dy, weight, width));
        });
        Ok(())
    }

    fn attend(&self, attention: &Attention<'_, Self>) -> Result<[Dense; 2]> {
        let (from, to) = (attention.from, attention.to);
        let mut share = vec![0.0; from.n_item * attention.n_head];
        let out = filled_from_zeros(self, [to.n_segment, attention.x.shape().1], |out| {
            attention::forward(out, &mut share, &plain_attention(attention));
        })?;
        Ok([out, self.try_tensor_from_vec(share, (from.n_item, attention.n_head))?])
    }

    fn attend_backward(
        &self,
        dx: &mut Buffer,
        dscores: &mut [Buffer; 2],
        dy: &Buffer,
        attention: &Attention<'_, Self>,
        results: [&Dense; 2],
    ) -> Result<()> {
        let [sender_score, receiver_score] = dscores;
        for (gradient, of) in [
            (&mut *dx, attention.x),
            (&mut *sender_score, attention.scores[0]),
            (&mut *receiver_score, attention.scores[1]),
        ] {
            add_to_zeros(gradient, slice(of).len(), |_| ());
        }
        let mut gradients = attention::Gradients { x: dx, sender_score, receiver_score };
        let from = attention.from;
        let by_sender = attention::BySender { offset: &from.offset, order: from.order.as_deref() };
        let plain = plain_attention(attention);
        attention::backward(&mut gradients, dy, results.map(slice), &plain, by_sender);
        Ok(())
    }

    fn head_scores(&self, x: &Dense, weight: &Dense) -> Result<Dense> {
        let n_head = weight.shape().0;
        filled_from_zeros(self, [x.shape().0, n_head], |out| {
            dot::head_scores(out, slice(x), slice(weight), n_head);
        })
    }

    fn head_scores_backward(
        &self,
        dx: &mut Buffer,
        dweight: &mut Buffer,
        dy: &Buffer,
        x: &Dense,
        weight: &Dense,
    ) -> Result<()> {
        let n_head = weight.shape().0;
        let (x, weight) = (slice(x), slice(weight));
        add_to_zeros(dweight, weight.len(), |dweight| {
            add_to_zeros(dx, x.len(), |dx| {
                dot::head_scores_backward(dx, dweight, dy, x, weight, n_head);
            });
        });
        Ok(())
    }

    fn mean_of_heads(&self, x: &Dense, n_head: usize) -> Result<Dense> {
        let width = x.shape().1 / n_head;
        filled_from_zeros(self, [x.shape().0, width], |out| {
            heads::mean(out, slice(x), n_head, width);
        })
    }

    fn mean_of_heads_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        n_head: usize,
        width: usize,
    ) -> Result<()> {
        add_to_zeros(dx, dy.len() * n_head, |dx| heads::mean_backward(dx, dy, n_head, width));
        Ok(())
    }

    fn normalise(&self, rows: &RowsToNormalise<'_, Self>) -> Result<[Dense; 2]> {
        let &(n_row, width) = rows.x.shape();
        let n_statistics = if rows.norm.is_some() { 2 * n_row } else { 0 };
        let mut statistics = vec![0.0; n_statistics];
        let out = filled_from_zeros(self, [n_row, width], |out| {
            normalise::forward(out, &mut statistics, &plain_rows(rows));
        })?;
        Ok([out, self.try_tensor_from_vec(statistics, (n_statistics / 2, 2))?])
    }

    fn normalise_backward(
        &self,
        dx: Option<&mut Buffer>,
        dnorm: &mut [Buffer; 2],
        dy: &mut Buffer,
        rows: &RowsToNormalise<'_, Self>,
        statistics: &Dense,
    ) -> Result<()> {
        let norm = rows.norm.is_some().then(|| {
            dnorm.each_mut().map(|gradient| {
                add_to_zeros(gradient, rows.x.shape().1, |_| ());
                gradient.as_mut_slice()
            })
        });
        normalise::backward(norm, dy, slice(statistics), &plain_rows(rows));
        dx.map_or(Ok(()), |dx| self.accumulate(dx, dy))
    }

    fn add_row(&self, x: &Dense, row: &Dense) -> Result<Dense> {
        filled_from_zeros(self, [x.shape().0, x.shape().1], |out| {
            heads::add_row(out, slice(x), slice(row));
        })
    }

    fn add_row_backward(&self, drow: &mut Buffer, dy: &Buffer) -> Result<()> {
        let width = drow.len();
        dy.chunks_exact(width.max(1)).for_each(|row| elementwise::add_to(drow, row));
        Ok(())
    }

    fn linear(&self, layer: &LinearLayer<'_, Self>, keep_sum: bool) -> Result<LinearOutput<Self>> {
        let shape = (layer.input.shape().0, layer.weight.shape().1);
        if !keep_sum {
            let output = linear::forward(shape.0, &plain(layer));
            return Ok((self.try_tensor_from_vec(output, shape)?, None));
        }
        let [output, sum] = linear::forward_with_sum(shape.0, &plain(layer));
        let sum = self.try_tensor_from_vec(sum, shape)?;
        Ok((self.try_tensor_from_vec(output, shape)?, Some(sum)))
    }

    fn linear_backward(
        &self,
        dx: Option<&mut Buffer>,
        dweight: &mut Buffer,
        dbias: Option<&mut Buffer>,
        dy: &mut Buffer,
        layer: &LinearLayer<'_, Self>,
        output: &Dense,
        sum: Option<&Dense>,
    ) -> Result<()> {
        let gradients = linear::Gradients {
            input: dx.map(|dx| &mut **dx),
            weight: dweight,
            bias: dbias.map(|dbias| &mut **dbias),
        };
        linear::backward(gradients, dy, &plain(layer), sum.map_or(slice(output), slice));
        Ok(())
    }

    fn add(&self, a: &Dense, b: &Dense) -> Result<Dense> {
        filled(self, [a.shape().0, a.shape().1], |out| elementwise::add(out, slice(a), slice(b)))
    }

    fn multiply(&self, a: &Dense, b: &Dense) -> Result<Dense> {
        filled(self, [a.shape().0, a.shape().1], |out| {
            elementwise::accumulate_product(out, slice(a), slice(b))
        })
    }

    fn accumulate(&self, da: &mut Buffer, dy: &Buffer) -> Result<()> {
        // Nothing was added to what is without length.
        if !dy.is_empty() {
            out::add(da, dy.len(), |da| elementwise::accumulate(da, dy));
        }
        Ok(())
    }

    fn accumulate_product(&self, da: &mut Buffer, dy: &Buffer, b: &Dense) -> Result<()> {
        out::add(da, dy.len(), |da| elementwise::accumulate_product(da, dy, slice(b)));
        Ok(())
    }

    fn scale_rows(&self, x: &Dense, factor: &Dense) -> Result<Dense> {
        let &(n_row, width) = x.shape();
        filled(self, [n_row, width], |out| {
            elementwise::accumulate_scaled_rows(out, slice(x), slice(factor), width)
        })
    }

    fn scale_rows_backward(
        &self,
        dx: Option<&mut Buffer>,
        dfactor: Option<&mut Buffer>,
        dy: &Buffer,
        x: &Dense,
        factor: &Dense,
    ) -> Result<()> {
        let width = x.shape().1;
        if let Some(dx) = dx {
            out::add(dx, dy.len(), |dx| {
                elementwise::accumulate_scaled_rows(dx, dy, slice(factor), width)
            });
        }
        if let Some(dfactor) = dfactor {
            add_to_zeros(dfactor, slice(factor).len(), |dfactor| {
                elementwise::accumulate_dots(dfactor, dy, slice(x), width);
            });
        }
        Ok(())
    }

    fn block(
        &self,
        x: &Dense,
        rows: &Range<usize>,
        columns: &Range<usize>,
        shape: [usize; 2],
    ) -> Result<Dense> {
        filled(self, shape, |out| block::copy(out, slice(x), x.shape().1, rows.start, columns))
    }

    fn block_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        n_column: usize,
        rows: &Range<usize>,
        columns: &Range<usize>,
    ) -> Result<()> {
        block::add(dx, dy, n_column, rows, columns);
        Ok(())
    }

    fn edge_geometry(&self, displacement: &Dense, epsilon: f32) -> Result<[Dense; 2]> {
        let n_edge = displacement.shape().0;
        let d = slice(displacement);
        let distance = filled(self, [n_edge, 1], |out| geometry::distances(out, d, epsilon))?;
        let direction = filled(self, [n_edge, 3], |out| geometry::directions(out, d, epsilon))?;
        Ok([distance, direction])
    }

    fn cosine_cutoff(&self, distance: &Dense, cutoff: f32) -> Result<Dense> {
        filled(self, [distance.shape().0, 1], |out| {
            geometry::cosine_cutoff(out, slice(distance), cutoff)
        })
    }

    fn norms_beside(&self, s: &Dense, mixed: &Dense, epsilon: f32) -> Result<Dense> {
        let &(n_node, width) = s.shape();
        filled(self, [n_node, 2 * width], |out| {
            node_state::norms_beside(out, slice(s), slice(mixed), epsilon, width)
        })
    }

    fn norms_beside_backward(
        &self,
        ds: Option<&mut Buffer>,
        dmixed: Option<&mut Buffer>,
        dy: &Buffer,
        mixed: &Dense,
        output: &Dense,
    ) -> Result<()> {
        let width = mixed.shape().1 / 2;
        if let Some(ds) = ds {
            out::add(ds, dy.len() / 2, |ds| node_state::add_first_columns(ds, dy, width));
        }
        if let Some(dmixed) = dmixed {
            let (mixed, output) = (slice(mixed), slice(output));
            out::add(dmixed, mixed.len(), |dmixed| {
                node_state::add_norm_gradient(dmixed, dy, mixed, output, width)
            });
        }
        Ok(())
    }

    fn add_received(&self, state: [&Dense; 2], received: &Dense, limit: f32) -> Result<[Dense; 2]> {
        let &(n_node, width) = state[0].shape();
        let [s, v] = node_state::add_received(state.map(slice), slice(received), limit, width);
        Ok([
            self.try_tensor_from_vec(s, (n_node, width))?,
            self.try_tensor_from_vec(v, (3 * n_node, width))?,
        ])
    }

    fn add_received_backward(
        &self,
        dreceived: &mut Buffer,
        dy: [&Buffer; 2],
        received: &Dense,
        limit: f32,
    ) -> Result<()> {
        let (received, width) = (slice(received), received.shape().1 / 4);
        out::add(dreceived, received.len(), |dreceived| {
            node_state::add_received_gradient(
                dreceived,
                dy.map(|dy| dy.as_slice()),
                received,
                limit,
                width,
            )
        });
        Ok(())
    }

    fn equivariant_update(
        &self,
        state: [&Dense; 2],
        gates: &Dense,
        mixed: &Dense,
        limit: f32,
    ) -> Result<[Dense; 2]> {
        let &(n_node, width) = state[0].shape();
        let update = node_state::Update { gates: slice(gates), mixed: slice(mixed), limit, width };
        let [s, v] = node_state::update(state.map(slice), update);
        Ok([
            self.try_tensor_from_vec(s, (n_node, width))?,
            self.try_tensor_from_vec(v, (3 * n_node, width))?,
        ])
    }

    fn equivariant_update_backward(
        &self,
        dgates: Option<&mut Buffer>,
        dmixed: Option<&mut Buffer>,
        dy: [&Buffer; 2],
        gates: &Dense,
        mixed: &Dense,
        limit: f32,
    ) -> Result<()> {
        let width = mixed.shape().1 / 2;
        let update = node_state::Update { gates: slice(gates), mixed: slice(mixed), limit, width };
        let gradients = [dgates.map(|dgates| &mut **dgates), dmixed.map(|dmixed| &mut **dmixed)];
        node_state::update_backward(gradients, dy.map(|dy| dy.as_slice()), update);
        Ok(())
    }

    fn gaussians(&self, distance: &Dense, basis: &GaussianBasis) -> Result<Dense> {
        filled(self, [distance.shape().0, basis.n], |out| {
            gaussian::expand(out, slice(distance), basis)
        })
    }

    fn loss(
        &self,
        loss: Loss,
        prediction: &Dense,
        outputs: &Outputs<Self>,
    ) -> Result<(f64, Buffer)> {
        let mut unit = self.zeros_buffer(prediction.shape().0 * prediction.shape().1)?;
        let sum = loss::evaluate(loss, slice(prediction), prediction.shape().1, outputs, &mut unit);
        Ok((sum, unit))
    }

    fn read_loss(&self, sum: &f64) -> Result<f64> {
        Ok(*sum)
    }

    fn accumulate_scaled(&self, dx: &mut Buffer, scale: &Buffer, unit: &Buffer) -> Result<()> {
        let scale = scale[0];
        add_to_zeros(dx, unit.len(), |dx| {
            for (dx, unit) in dx.iter_mut().zip(unit.iter()) {
                *dx += scale * unit;
            }
        });
        Ok(())
    }

    fn adam(
        &self,
        step: Adam,
        decay: &[f32],
        parameters: &[&Dense],
        gradients: &[Buffer],
        moments: &mut [[Buffer; 2]],
    ) -> Result<Vec<Dense>> {
        let each = parameters.iter().zip(decay).zip(gradients).zip(moments);
        each.map(|(((parameter, &decay), gradient), [first, second])| {
            let value = elementwise::adam(step, decay, slice(parameter), gradient, first, second);
            self.try_tensor_from_vec(value, *parameter.shape())
        })
        .collect()
    }
}

/// Edges by the node that sums over them.
fn ends<'a>(own: &'a Segments, other: &'a Segments) -> propagate::Edges<'a> {
    propagate::Edges { offset: &own.offset, order: own.order.as_deref(), other_end: &other.of }
}

fn factors<'a>(x: &'a [f32], weight: Option<&'a Dense>, width: usize) -> propagate::Factors<'a> {
    propagate::Factors { x, weight: weight.map(slice), n_head: 1, width }
}

fn plain_attention<'a>(attention: &Attention<'a, Cpu>) -> attention::Attention<'a> {
    let Attention { x, scores, from, to, n_head } = *attention;
    attention::Attention {
        x: slice(x),
        sender_score: slice(scores[0]),
        receiver_score: slice(scores[1]),
        sender: &from.of,
        receiver: &to.of,
        offset: &to.offset,
        n_head,
        width: x.shape().1 / n_head,
        slope: Activation::LEAKY_SLOPE,
    }
}

fn plain_rows<'a>(rows: &RowsToNormalise<'a, Cpu>) -> normalise::Rows<'a> {
    normalise::Rows {
        x: slice(rows.x),
        width: rows.x.shape().1,
        norm: rows.norm.map(|norm| norm.map(slice)),
        activation: rows.activation,
        dropout: rows.dropout,
        row: rows.node.map(|node| node.of.as_slice()),
    }
}

fn items(segments: &Segments) -> extremum::Items<'_> {
    extremum::Items { of: &segments.of, offset: &segments.offset, order: segments.order.as_deref() }
}

fn plain<'a>(layer: &LinearLayer<'a, Cpu>) -> linear::Layer<'a> {
    linear::Layer {
        input: slice(layer.input),
        weight: slice(layer.weight),
        bias: layer.bias.map(slice),
        n_in: layer.weight.shape().0,
        n_out: layer.weight.shape().1,
        activation: layer.activation,
    }
}
