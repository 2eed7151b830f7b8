//! Accuracy against time, as a picture.

use batchlab_draw::{Anchor, Axis, Svg};

use super::{Entry, frontier};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 38.0;
const BOTTOM: f64 = 258.0;
/// Position of the names, and their spacing.
const NAMES: f64 = 312.0;
const LINE: f64 = 15.0;
const TEXT: f64 = 11.0;

/// Numbered markers for the combinations, with a legend below; a line joins the Pareto frontier.
pub(crate) fn picture(title: &str, entries: &[Entry]) -> String {
    let points: Vec<(&Entry, f64, f64, bool)> = entries
        .iter()
        .zip(frontier(entries))
        .filter_map(|(entry, is_best)| {
            let record = entry.evaluation.record.as_ref()?;
            let shown = record.accuracy.map(|accuracy| 100.0 * accuracy).or(record.rmse)?;
            Some((entry, 1e3 * entry.seconds(), shown, is_best))
        })
        .collect();
    let is_classes = points
        .iter()
        .any(|(e, ..)| e.evaluation.record.as_ref().is_some_and(|r| r.accuracy.is_some()));
    let range = |of: fn(&(&Entry, f64, f64, bool)) -> f64| {
        let low = points.iter().map(of).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
        (low, high)
    };
    let mut svg = Svg::default();
    svg.text(4.0, 14.0, Anchor::Start, "ink bold", title);
    let unit = if is_classes { "accuracy, %" } else { "RMSE" };
    svg.text(4.0, 28.0, Anchor::Start, "grey small", unit);
    if !points.is_empty() {
        let (least, most) = range(|point| point.2);
        let room = ((most - least) * 0.08).max(0.1);
        let vertical = Axis::between(least - room, most + room, BOTTOM, TOP);
        let (first, last) = range(|point| point.1);
        let horizontal = Axis::log(first / 1.1, last * 1.1, LEFT, WIDTH - RIGHT);
        svg.left_scale(&vertical, LEFT, WIDTH - RIGHT, 27.0);
        svg.bottom_scale(&horizontal, BOTTOM + 15.0, 46.0);
        let label = "ms for all outputs, preparation included, logarithmic axis";
        svg.text(WIDTH - RIGHT, BOTTOM + 30.0, Anchor::End, "grey small", label);
        let pixel =
            |point: &(&Entry, f64, f64, bool)| (horizontal.pixel(point.1), vertical.pixel(point.2));
        let mut best: Vec<(f64, f64)> = points.iter().filter(|p| p.3).map(pixel).collect();
        best.sort_by(|a, b| a.0.total_cmp(&b.0));
        svg.path(&best, 0);
        for (place, point) in points.iter().enumerate() {
            let ((x, y), number) = (pixel(point), (place + 1).to_string());
            svg.marker(x, y, usize::from(!point.3));
            svg.text(x + 6.0, y - 5.0, Anchor::Start, "ink small", &number);
            let line = NAMES + place as f64 * LINE;
            svg.text(LEFT, line, Anchor::End, "ink small", &number);
            svg.text(LEFT + 8.0, line, Anchor::Start, "grey small", &point.0.name);
        }
    }
    svg.into_picture(WIDTH, NAMES + points.len() as f64 * LINE, TEXT)
}
