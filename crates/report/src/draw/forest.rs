//! Forest plot: a line per strategy with its factor or time and its interval.

use batchlab_draw::{Anchor, Axis, N_COLOR, Svg, tick_text};

use super::WIDTH;
use crate::figures::Forest;
use crate::number::short;

const RIGHT: f64 = 14.0;
const TOP: f64 = 38.0;
/// Minimum pixels between two ticks on the horizontal axis.
const TICK_DISTANCE: f64 = 44.0;
/// Minimum range of the axis, so that noise is not magnified.
const LEAST_RANGE: f64 = 1.05;

/// Placement of names.
struct Layout {
    left: f64,
    row: f64,
    /// Vertical offset from the middle of a row.
    name: f64,
    /// Maximum characters of a name.
    n_char: usize,
}

/// Names beside the marks.
const BESIDE: Layout = Layout { left: 118.0, row: 24.0, name: 4.0, n_char: 20 };
/// Names above the marks, if one is too long.
const ABOVE: Layout = Layout { left: 14.0, row: 34.0, name: -8.0, n_char: 50 };

pub(super) fn draw(forest: &Forest, title: &str, color: impl Fn(&str) -> usize) -> (Svg, f64) {
    let is_long = |name: &str| name.chars().count() > BESIDE.n_char;
    let layout = if forest.rows.iter().any(|row| is_long(&row.batcher)) { ABOVE } else { BESIDE };
    let axis = axis(forest, layout.left);
    let bottom = TOP + forest.rows.len() as f64 * layout.row;
    let mut svg = Svg::default();
    svg.text(4.0, 14.0, Anchor::Start, "ink bold", title);
    svg.text(4.0, 27.0, Anchor::Start, "grey small", &axis.label(&forest.unit));
    if let Some(margin) = forest.margin {
        let (one, margin) = (axis.pixel(1.0), axis.pixel(1.0 + margin));
        svg.band((one, TOP), (margin - one, bottom - TOP));
    }
    for tick in axis.ticks(TICK_DISTANCE) {
        let x = axis.pixel(tick);
        svg.line((x, TOP), (x, bottom), "rule", 1.0);
        svg.text(x, bottom + 14.0, Anchor::Middle, "grey", &tick_text(tick));
    }
    for (place, row) in forest.rows.iter().enumerate() {
        let (y, color) = (TOP + (place as f64 + 0.6) * layout.row, color(&row.batcher));
        let is_small = layout.n_char > BESIDE.n_char || row.batcher.chars().count() > 17;
        let class = match (row.may_be_fastest, is_small) {
            (true, false) => "ink bold",
            (true, true) => "ink bold small",
            (false, false) => "ink",
            (false, true) => "ink small",
        };
        let name = shortened(&row.batcher, layout.n_char);
        svg.text(4.0, y + layout.name, Anchor::Start, class, &name);
        svg.titled(&hint(forest, place), |svg| {
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

fn axis(forest: &Forest, left: f64) -> Axis {
    let ends = |row: &crate::figures::ForestRow| row.interval.unwrap_or((row.value, row.value));
    let most = forest.rows.iter().map(|row| ends(row).1).filter(|end| end.is_finite());
    let right = WIDTH - RIGHT;
    if forest.margin.is_some() {
        let most = most.fold(LEAST_RANGE, f64::max);
        return if most >= 1.5 {
            Axis::log(1.0, most, left, right)
        } else {
            Axis::between(1.0, 1.0 + 1.04 * (most - 1.0), left, right)
        };
    }
    let most = most.fold(0.0, f64::max);
    let least = forest.rows.iter().map(|row| ends(row).0.min(row.value));
    let least = least.filter(|time| *time > 0.0).fold(most, f64::min);
    if least > 0.0 && most.is_finite() {
        Axis::log(least, most, left, right)
    } else {
        Axis::from_zero(most, left, right)
    }
}

/// Tooltip text.
fn hint(forest: &Forest, place: usize) -> String {
    let row = &forest.rows[place];
    let text = |value: f64| match forest.margin {
        Some(_) => format!("{value:.3}"),
        None => short(value),
    };
    let unit = if forest.margin.is_some() { "" } else { " s" };
    let interval = row.interval.map_or_else(String::new, |(low, high)| {
        format!(", interval {} to {}", text(low), text(high))
    });
    format!("{}: {}{unit}{interval}", row.batcher, text(row.value))
}

fn shortened(name: &str, n_char: usize) -> String {
    if name.chars().count() <= n_char {
        return name.to_owned();
    }
    let kept: String = name.chars().take(n_char - 3).collect();
    format!("{kept}...")
}
