//! A line for each strategy: its factor, and the interval of it.

use batchlab_draw::{Anchor, Axis, N_COLOR, Svg, tick_text};

use super::WIDTH;
use crate::figures::Forest;

const LEFT: f64 = 118.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 38.0;
const ROW: f64 = 24.0;
/// Pixels between two numbers on the horizontal axis.
const TICK_DISTANCE: f64 = 44.0;
/// A picture of differences of less than this would magnify noise.
const LEAST_RANGE: f64 = 1.05;

pub(super) fn draw(forest: &Forest, title: &str, color: impl Fn(&str) -> usize) -> (Svg, f64) {
    let ends = forest.rows.iter().map(|row| row.interval.map_or(row.value, |(_, high)| high));
    let most = ends.filter(|end| end.is_finite()).fold(LEAST_RANGE, f64::max);
    let axis = Axis::between(1.0, 1.0 + 1.04 * (most - 1.0), LEFT, WIDTH - RIGHT);
    let bottom = TOP + forest.rows.len() as f64 * ROW;
    let mut svg = Svg::default();
    svg.text(4.0, 14.0, Anchor::Start, "ink bold", title);
    svg.text(4.0, 27.0, Anchor::Start, "grey small", &forest.unit);
    let margin = axis.pixel(1.0 + forest.margin);
    svg.band((LEFT, TOP), (margin - LEFT, bottom - TOP));
    for tick in axis.ticks(TICK_DISTANCE) {
        let x = axis.pixel(tick);
        svg.line((x, TOP), (x, bottom), "rule", 1.0);
        svg.text(x, bottom + 14.0, Anchor::Middle, "grey", &tick_text(tick));
    }
    for (place, row) in forest.rows.iter().enumerate() {
        let (y, color) = (TOP + (place as f64 + 0.5) * ROW, color(&row.batcher));
        let class = match (row.may_be_fastest, row.batcher.chars().count() > 17) {
            (true, false) => "ink bold",
            (true, true) => "ink bold small",
            (false, false) => "ink",
            (false, true) => "ink small",
        };
        svg.text(4.0, y + 4.0, Anchor::Start, class, &row.batcher);
        let interval = row
            .interval
            .map_or_else(String::new, |(low, high)| format!(", interval {low:.3} to {high:.3}"));
        svg.titled(&format!("{}: {:.3}{interval}", row.batcher, row.value), |svg| {
            if let Some((low, high)) = row.interval {
                let class = format!("l{}", color % N_COLOR);
                svg.line((axis.pixel(low), y), (axis.pixel(high), y), &class, 2.5);
            }
            let is_filled = row.may_be_fastest || row.interval.is_none();
            svg.circle(axis.pixel(row.value), y, color, is_filled);
        });
    }
    (svg, bottom + 22.0)
}
