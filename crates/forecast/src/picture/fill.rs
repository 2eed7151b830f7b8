//! Fill against batch size.

use batchlab_draw::{Anchor, Axis, Svg, columns, places};

use super::{MARGIN, Section, batch_sizes, caption, cut, labels, size_name};
use crate::Forecast;

const PANEL_WIDTH: f64 = 400.0;
const PANEL_HEIGHT: f64 = 230.0;
/// Space for the tick labels of the vertical axis.
const TICKS: f64 = 40.0;
const GAP: f64 = 30.0;
const LEGEND_LINE: f64 = 21.0;
/// Minimum pixels between two ticks on the vertical axis.
const TICK_DISTANCE: f64 = 38.0;

/// The share of a forecast that a panel shows.
type Fill = fn(&Forecast) -> Option<f64>;

/// Draws fill of nodes, fill of edges and the legend from `y` downwards; returns the lower end.
pub(super) fn draw(svg: &mut Svg, section: &Section<'_>, y: f64) -> f64 {
    let labels = labels(section);
    let top = y + 34.0;
    let mut x = MARGIN;
    let panels: [(&str, Fill); 2] =
        [("Fill of nodes", |f| f.node_fill), ("Fill of edges", |f| f.edge_fill)];
    for (head, fill) in panels {
        caption(svg, x, y + 4.0, head, "% of the padded batch that is real, by batch size B");
        panel(svg, section, &labels, fill, (x + TICKS, top));
        x += PANEL_WIDTH + TICKS + GAP;
    }
    caption(svg, x, y + 4.0, "Strategies", "");
    for (row, (label, place)) in labels.iter().zip(places(&labels)).enumerate() {
        let y = y + 30.0 + LEGEND_LINE * row as f64;
        svg.path(&[(x, y), (x + 28.0, y)], place);
        svg.marker(x + 14.0, y, place);
        svg.text(x + 38.0, y + 4.0, Anchor::Start, "ink", &cut(label, 26));
    }
    let legend_end = y + 30.0 + LEGEND_LINE * labels.len() as f64;
    (top + PANEL_HEIGHT + 24.0).max(legend_end)
}

fn panel(
    svg: &mut Svg,
    section: &Section<'_>,
    labels: &[&str],
    fill: Fill,
    (left, top): (f64, f64),
) {
    let (right, bottom) = (left + PANEL_WIDTH, top + PANEL_HEIGHT);
    let percent = Axis::between(0.0, 100.0, bottom, top);
    svg.left_scale(&percent, left, right, TICK_DISTANCE);
    let sizes = batch_sizes(section);
    let (middles, _) = columns(left, right, sizes.len());
    for (x, size) in middles.iter().zip(&sizes) {
        svg.text(*x, bottom + 18.0, Anchor::Middle, "grey", &size_name(*size));
    }
    for (label, place) in labels.iter().zip(places(labels)) {
        let of_label = section.forecasts.iter().filter(|forecast| forecast.label == *label);
        let points = of_label.filter_map(|forecast| {
            let column = sizes.iter().position(|size| *size == forecast.batch_size)?;
            Some((middles[column], percent.pixel(100.0 * fill(forecast)?)))
        });
        let mut points: Vec<(f64, f64)> = points.collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if points.len() > 1 {
            svg.path(&points, place);
        }
        for (x, y) in points {
            svg.marker(x, y, place);
        }
    }
}
