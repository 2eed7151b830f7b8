//! Lines and bars over batch sizes.

use batchlab_draw::{Anchor, Axis, Svg, columns};

use super::WIDTH;
use crate::figures::{Chart, Point};
use crate::number::short;

pub(super) const LEFT: f64 = 44.0;
pub(super) const RIGHT: f64 = 10.0;
pub(super) const TOP: f64 = 34.0;
pub(super) const BOTTOM: f64 = 200.0;
const HEIGHT: f64 = 228.0;
/// Pixels between two numbers on the vertical axis.
const TICK_DISTANCE: f64 = 27.0;

/// Frame with title, unit, ticks and grid.
pub(super) fn frame(title: &str, unit: &str, axis: &Axis) -> Svg {
    let mut svg = Svg::default();
    svg.text(4.0, 14.0, Anchor::Start, "ink bold", title);
    svg.text(4.0, 27.0, Anchor::Start, "grey small", &axis.label(unit));
    svg.left_scale(axis, LEFT, WIDTH - RIGHT, TICK_DISTANCE);
    svg
}

fn greatest(chart: &Chart) -> f64 {
    let points = chart.series.iter().flat_map(|series| series.points.iter().flatten());
    points.map(|point| point.high).filter(|high| high.is_finite()).fold(0.0, f64::max)
}

fn name_columns(svg: &mut Svg, chart: &Chart, middles: &[f64]) {
    for (x, name) in middles.iter().zip(&chart.x) {
        svg.text(*x, BOTTOM + 15.0, Anchor::Middle, "grey", name);
    }
    svg.text(WIDTH - RIGHT, BOTTOM + 26.0, Anchor::End, "grey small", "batch size B");
}

/// What stands under the pointer: `dynamic: 12.3 ms (11.9 to 12.8)`.
pub(super) fn hint(batcher: &str, point: &Point, unit: &str) -> String {
    let [value, low, high] = [point.value, point.low, point.high].map(short);
    let range = if low == high { String::new() } else { format!(" ({low} to {high})") };
    format!("{batcher}: {value} {unit}{range}")
}

pub(super) fn lines(chart: &Chart, title: &str, color: impl Fn(&str) -> usize) -> (Svg, f64) {
    let points = chart.series.iter().flat_map(|series| series.points.iter().flatten());
    let least = points.map(|point| point.low).fold(f64::INFINITY, f64::min);
    let axis = Axis::spread(least, greatest(chart), BOTTOM, TOP);
    let mut svg = frame(title, &chart.unit, &axis);
    let (middles, width) = columns(LEFT, WIDTH - RIGHT, chart.x.len());
    name_columns(&mut svg, chart, &middles);
    let n = chart.series.len() as f64;
    for (place, series) in chart.series.iter().enumerate() {
        let color = color(&series.batcher);
        // Shifted, so that equal values do not hide each other.
        let shift = (place as f64 - (n - 1.0) / 2.0) * (width / (n + 4.0)).min(7.0);
        let points = middles.iter().zip(&series.points);
        let points: Vec<_> = points.filter_map(|(x, point)| Some((x + shift, (*point)?))).collect();
        let pixels: Vec<_> = points.iter().map(|(x, p)| (*x, axis.pixel(p.value))).collect();
        svg.path(&pixels, color);
        for (x, point) in points {
            svg.titled(&hint(&series.batcher, &point, &chart.unit), |svg| {
                let class = format!("l{}", color % 8);
                svg.line((x, axis.pixel(point.low)), (x, axis.pixel(point.high)), &class, 1.5);
                svg.marker(x, axis.pixel(point.value), color);
            });
        }
    }
    (svg, HEIGHT)
}

/// Whether every bar has room for its number: in a panel where only some have one, the others would seem
/// to be 0.
fn has_room(chart: &Chart, bar: f64) -> bool {
    let mut points = chart.series.iter().flat_map(|series| series.points.iter().flatten());
    bar >= 17.0 && points.all(|point| short(point.value).chars().count() as f64 * 4.9 <= bar + 2.0)
}

pub(super) fn bars(chart: &Chart, title: &str, color: impl Fn(&str) -> usize) -> (Svg, f64) {
    let axis = Axis::from_zero(greatest(chart), BOTTOM, TOP + 6.0);
    let mut svg = frame(title, &chart.unit, &axis);
    let (middles, width) = columns(LEFT, WIDTH - RIGHT, chart.x.len());
    name_columns(&mut svg, chart, &middles);
    let n = chart.series.len() as f64;
    let bar = (width * 0.92 / n).min(46.0);
    let is_labelled = has_room(chart, bar);
    for (place, series) in chart.series.iter().enumerate() {
        let color = color(&series.batcher);
        for (middle, point) in middles.iter().zip(&series.points) {
            let Some(point) = point else { continue };
            let x = middle + (place as f64 - n / 2.0) * bar;
            let y = axis.pixel(point.value);
            svg.titled(&hint(&series.batcher, point, &chart.unit), |svg| {
                svg.rectangle((x + 0.5, y), (bar - 1.0, BOTTOM - y), color, 0.9);
            });
            let mut top = y;
            if point.high > point.low {
                let x = x + bar / 2.0;
                svg.line((x, axis.pixel(point.low)), (x, axis.pixel(point.high)), "axis", 1.2);
                top = axis.pixel(point.high);
            }
            if is_labelled {
                let text = short(point.value);
                svg.text(x + bar / 2.0, top - 3.0, Anchor::Middle, "ink tiny", &text);
            }
        }
    }
    svg.line((LEFT, BOTTOM), (WIDTH - RIGHT, BOTTOM), "axis", 1.0);
    (svg, HEIGHT)
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
