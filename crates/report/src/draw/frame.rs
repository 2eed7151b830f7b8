//! The frame of a panel: title, unit, ticks and grid.

use batchlab_draw::{Anchor, Axis, Svg};

use super::WIDTH;

pub(super) const LEFT: f64 = 44.0;
pub(super) const RIGHT: f64 = 10.0;
pub(super) const TOP: f64 = 34.0;
pub(super) const BOTTOM: f64 = 200.0;
/// Minimum pixels between two ticks on the vertical axis.
const TICK_DISTANCE: f64 = 27.0;

pub(super) fn frame(title: &str, unit: &str, axis: &Axis) -> Svg {
    let mut svg = Svg::default();
    svg.text(4.0, 14.0, Anchor::Start, "ink bold", title);
    svg.text(4.0, 27.0, Anchor::Start, "grey small", &axis.label(unit));
    svg.left_scale(axis, LEFT, WIDTH - RIGHT, TICK_DISTANCE);
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithmic_axes_are_named() {
        let unit =
            |axis: &Axis| frame("title", "ms", axis).body().contains(">ms, logarithmic axis<");
        assert!(unit(&Axis::log(1.0, 100.0, BOTTOM, TOP)));
        assert!(!unit(&Axis::from_zero(100.0, BOTTOM, TOP)));
    }
}
