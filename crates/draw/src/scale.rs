//! Scales of a panel: tick labels, grid lines, columns.

use crate::axis::{Axis, tick_text};
use crate::svg::{Anchor, Svg};

impl Svg {
    /// Tick labels to the left of a panel with grid lines across it, at least `distance` pixels
    /// apart.
    pub fn left_scale(&mut self, axis: &Axis, left: f64, right: f64, distance: f64) {
        for tick in axis.ticks(distance) {
            let y = axis.pixel(tick);
            self.line((left, y), (right, y), "rule", 1.0);
            self.text(left - 6.0, y + 4.0, Anchor::End, "grey", &tick_text(tick));
        }
    }

    /// Tick labels below a panel, at least `distance` pixels apart, with their baseline at `y`.
    pub fn bottom_scale(&mut self, axis: &Axis, y: f64, distance: f64) {
        for tick in axis.ticks(distance) {
            self.text(axis.pixel(tick), y, Anchor::Middle, "grey", &tick_text(tick));
        }
    }
}

/// The centres of `n` columns between two pixels, and the width of each.
#[must_use]
pub fn columns(left: f64, right: f64, n: usize) -> (Vec<f64>, f64) {
    let width = (right - left) / n.max(1) as f64;
    ((0..n).map(|i| left + (i as f64 + 0.5) * width).collect(), width)
}
