//! Line plots with a band for the spread over runs.

use batchlab_draw::{Anchor, Axis, Svg};

use super::WIDTH;
use super::frame::{BOTTOM, LEFT, RIGHT, TOP, frame};
use crate::figures::{Curve, Curves, Point};

const HEIGHT: f64 = 228.0;
/// Minimum pixels between two ticks on the horizontal axis.
const TICK_DISTANCE: f64 = 46.0;

pub(super) fn draw(curves: &Curves, title: &str, color: impl Fn(&str) -> usize) -> (Svg, f64) {
    let points = || curves.curves.iter().flat_map(|curve| &curve.points);
    let low = points().map(|(_, point)| point.low).fold(f64::INFINITY, f64::min);
    let high = points().map(|(_, point)| point.high).fold(0.0, f64::max);
    let last = points().map(|(step, _)| *step).fold(0.0, f64::max);
    let axis = if curves.is_linear {
        Axis::from_zero(high, BOTTOM, TOP)
    } else {
        Axis::spread(low, high, BOTTOM, TOP)
    };
    let mut svg = frame(title, &curves.unit, &axis);
    // Steps and blocks are whole numbers, seconds are not.
    let end = if curves.is_linear && last > 0.0 { last } else { last.max(1.0) };
    let (from, to) = (LEFT, WIDTH - RIGHT - 6.0);
    let first = if curves.is_log_x {
        points().map(|(step, _)| *step).min_by(f64::total_cmp)
    } else {
        first_time(curves).filter(|first| last > 20.0 * first)
    };
    let steps = match first {
        Some(first) => Axis::log(first, last, from, to),
        None => Axis::between(0.0, end, from, to),
    };
    svg.bottom_scale(&steps, BOTTOM + 15.0, TICK_DISTANCE);
    svg.text(WIDTH - RIGHT, BOTTOM + 26.0, Anchor::End, "grey small", &steps.label(curves.x));
    // A logarithmic axis has no place for 0.
    let shown = |curve: &Curve| -> Vec<(f64, Point)> {
        let is_shown = |(x, _): &&(f64, Point)| !steps.is_log() || *x > 0.0;
        curve.points.iter().filter(is_shown).copied().collect()
    };
    for curve in &curves.curves {
        let (color, points) = (color(&curve.batcher), shown(curve));
        let upper = points.iter().map(|(step, p)| (steps.pixel(*step), axis.pixel(p.high)));
        let lower = points.iter().rev().map(|(step, p)| (steps.pixel(*step), axis.pixel(p.low)));
        svg.area(&upper.chain(lower).collect::<Vec<_>>(), color);
    }
    for curve in &curves.curves {
        let (color, points) = (color(&curve.batcher), shown(curve));
        let line = points.iter().map(|(step, p)| (steps.pixel(*step), axis.pixel(p.value)));
        let line: Vec<_> = line.collect();
        svg.path(&line, color);
        if let Some((x, y)) = line.last() {
            svg.marker(*x, *y, color);
        }
    }
    (svg, HEIGHT)
}

/// The earliest time after 0. Where some strategies take seconds and others minutes, a linear axis
/// would only show the latter.
fn first_time(curves: &Curves) -> Option<f64> {
    let seconds = curves.curves.iter().filter(|_| curves.is_linear);
    let times = seconds.filter_map(|curve| curve.points.get(1)).map(|(seconds, _)| *seconds);
    times.filter(|seconds| *seconds > 0.0).min_by(f64::total_cmp)
}
