//! A batch with partly altered content.

use std::ops::Range;

use aligned_vec::{AVec, ConstAlign};
use batchlab_core::{PaddedBatch, random};

use super::fixture::N_CLASS;

/// A writable copy of a batch. Its views have the same layout in the copied arena, so that an
/// engine that uploads the whole arena sees the same as one that reads fields.
pub(super) struct Altered<'a> {
    of: PaddedBatch<'a>,
    words: AVec<u32, ConstAlign<64>>,
}

impl<'a> Altered<'a> {
    pub(super) fn new(of: &PaddedBatch<'a>) -> Self {
        Self { of: *of, words: AVec::from_slice(64, of.words) }
    }

    pub(super) fn floats(&mut self, field: impl Fn(&PaddedBatch<'a>) -> &'a [f32]) -> &mut [f32] {
        let place = place(self.of.words, field(&self.of));
        bytemuck::cast_slice_mut(&mut self.words[place])
    }

    pub(super) fn classes(&mut self) -> &mut [u32] {
        let place = place(self.of.words, self.of.node_class);
        &mut self.words[place]
    }

    pub(super) fn batch(&self) -> PaddedBatch<'_> {
        let of = &self.of;
        let words = |field: &[u32]| &self.words[place(of.words, field)];
        let floats =
            |field: &[f32]| bytemuck::cast_slice::<u32, f32>(&self.words[place(of.words, field)]);
        PaddedBatch {
            level: of.level,
            shape: of.shape,
            real: of.real,
            node_feature_width: of.node_feature_width,
            words: &self.words,
            own: of.own,
            n_node_of: words(of.n_node_of),
            n_edge_of: words(of.n_edge_of),
            graph_offset: words(of.graph_offset),
            origin: words(of.origin),
            output_row: words(of.output_row),
            output_target: floats(of.output_target),
            output_weight: floats(of.output_weight),
            graph_of: words(of.graph_of),
            node_class: words(of.node_class),
            node_feature: floats(of.node_feature),
            feature_offset: words(of.feature_offset),
            feature_column: words(of.feature_column),
            feature_value: floats(of.feature_value),
            sender: words(of.sender),
            receiver: words(of.receiver),
            receiver_offset: words(of.receiver_offset),
            sender_order: words(of.sender_order),
            sender_offset: words(of.sender_offset),
            distance: floats(of.distance),
            displacement: floats(of.displacement),
            edge_weight: floats(of.edge_weight),
        }
    }
}

/// Range of a field in the arena.
fn place<T>(words: &[u32], field: &[T]) -> Range<usize> {
    let start = (field.as_ptr().addr() - words.as_ptr().addr()) / size_of::<u32>();
    start..start + field.len()
}

/// Changes to the padding.
impl Altered<'_> {
    /// Sets all values of the padding nodes.
    pub(super) fn fill_nodes(mut self, value: f32) -> Self {
        let n_real = self.of.real.n_node as usize * self.of.node_feature_width;
        behind(self.floats(|b| b.node_feature), n_real).fill(value);
        self
    }

    /// Sets all values of the padding edges.
    pub(super) fn fill_edges(mut self, value: f32) -> Self {
        let n_real = self.of.real.n_edge as usize;
        behind(self.floats(|b| b.distance), n_real).fill(value);
        behind(self.floats(|b| b.displacement), 3 * n_real).fill(value);
        behind(self.floats(|b| b.edge_weight), n_real).fill(value);
        self
    }

    /// Random classes, and features of order 10.
    pub(super) fn garble_nodes(mut self) -> Self {
        let n_real = self.of.real.n_node as usize;
        let width = self.of.node_feature_width;
        let mut unit = numbers("nodes");
        for class in behind(self.classes(), n_real) {
            #[allow(clippy::cast_sign_loss, reason = "no class is negative")]
            let drawn = (unit() * N_CLASS as f32) as u32;
            *class = drawn;
        }
        for feature in behind(self.floats(|b| b.node_feature), n_real * width) {
            *feature = 20.0 * unit() - 10.0;
        }
        self
    }

    /// Edges in random directions, up to `longest` angstrom long, with displacements that match
    /// their distances.
    pub(super) fn garble_edges(mut self, longest: f32) -> Self {
        let n_real = self.of.real.n_edge as usize;
        let mut unit = numbers("edges");
        for weight in behind(self.floats(|b| b.edge_weight), n_real) {
            *weight = 20.0 * unit() - 10.0;
        }
        let lengths = (n_real..self.of.shape.n_edge as usize).map(|_| longest * unit());
        let lengths: Vec<f32> = lengths.collect();
        let distances = behind(self.floats(|b| b.distance), n_real);
        for (distance, &length) in distances.iter_mut().zip(&lengths) {
            *distance = length;
        }
        let displacements = behind(self.floats(|b| b.displacement), 3 * n_real);
        for (row, &length) in displacements.chunks_exact_mut(3).zip(&lengths) {
            let vector = [unit() - 0.5, unit() - 0.5, unit() - 0.49];
            let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.copy_from_slice(&vector.map(|x| x / norm * length));
        }
        self
    }
}

/// Numbers between 0 and 1, the same in every run.
fn numbers(purpose: &str) -> impl FnMut() -> f32 {
    let mut rng = random::stream(5, purpose, 0);
    move || random::below(&mut rng, 1 << 24) as f32 / (1 << 24) as f32
}

/// The part of a field after its real part; may be empty.
fn behind<T>(values: &mut [T], n_real: usize) -> &mut [T] {
    let n_real = n_real.min(values.len());
    &mut values[n_real..]
}
