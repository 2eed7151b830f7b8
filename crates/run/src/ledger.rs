//! The distinct padded shapes of a run.

use std::collections::HashMap;

use batchlab_core::Shape;

/// Beyond this number of distinct shapes, every shape counts as new. Without padding nearly every
/// batch has its own shape.
const MAX_REMEMBERED: usize = 1 << 20;

/// Numbers the distinct padded shapes in order of first appearance.
///
/// The number of shapes equals the number of compilations of an engine that compiles per shape
/// (nodes, edges and graphs), as counted in arXiv 2502.00944.
#[derive(Debug, Default)]
pub struct ShapeLedger {
    id: HashMap<Shape, i64>,
    n_shape: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Index of the shape, from 0.
    pub shape_id: i64,
    pub is_new: bool,
}

impl ShapeLedger {
    /// Looks up a shape, adding it if new.
    pub fn enter(&mut self, shape: Shape) -> Entry {
        if let Some(&shape_id) = self.id.get(&shape) {
            return Entry { shape_id, is_new: false };
        }
        let shape_id = self.n_shape;
        self.n_shape += 1;
        if self.id.len() < MAX_REMEMBERED {
            self.id.insert(shape, shape_id);
        }
        Entry { shape_id, is_new: true }
    }

    /// Restores a ledger from shapes in order of first appearance. `n_shape` exceeds their number
    /// only beyond `MAX_REMEMBERED`.
    #[must_use]
    pub fn restore(shapes: &[Shape], n_shape: i64) -> Self {
        let id = shapes.iter().zip(0..).map(|(&shape, shape_id)| (shape, shape_id)).collect();
        Self { id, n_shape }
    }

    /// The remembered shapes in order of first appearance.
    #[must_use]
    pub fn shapes(&self) -> Vec<Shape> {
        let mut shapes: Vec<(i64, Shape)> = self.id.iter().map(|(&s, &id)| (id, s)).collect();
        shapes.sort_unstable();
        shapes.into_iter().map(|(_, shape)| shape).collect()
    }

    #[must_use]
    pub fn n_shape(&self) -> i64 {
        self.n_shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_numbered_as_they_appear() {
        let shape = |n_node| Shape { n_node, ..Shape::default() };
        let mut ledger = ShapeLedger::default();
        let ids = [64, 128, 64, 192].map(|n| ledger.enter(shape(n)));
        assert_eq!(ids.map(|e| e.shape_id), [0, 1, 0, 2]);
        assert_eq!(ids.map(|e| e.is_new), [true, true, false, true]);
        assert_eq!(ledger.n_shape(), 3);

        let mut again = ShapeLedger::restore(&ledger.shapes(), ledger.n_shape());
        let ids = [192, 32, 128].map(|n| again.enter(shape(n)).shape_id);
        assert_eq!((ids, again.n_shape()), ([2, 3, 1], 4));
    }
}
