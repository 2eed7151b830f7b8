//! Fill against batch size.

use super::canvas::{Anchor, Canvas};
use super::{MARGIN, Section, Style, batch_sizes, caption, cut, size_name, styles};
use crate::Forecast;

const PANEL_WIDTH: f64 = 400.0;
const PANEL_HEIGHT: f64 = 230.0;
/// Room for the numbers of the vertical axis.
const TICKS: f64 = 40.0;
const GAP: f64 = 30.0;
const LEGEND_LINE: f64 = 21.0;

/// Which of a forecast's shares a panel shows.
type Fill = fn(&Forecast) -> Option<f64>;

/// Draws fill of nodes, fill of edges and the legend from `y` downwards; returns where it ends.
pub(super) fn draw(canvas: &mut Canvas, section: &Section<'_>, y: f64) -> f64 {
    let styles = styles(section);
    let sizes = batch_sizes(section);
    let top = y + 34.0;
    let mut x = MARGIN;
    let panels: [(&str, Fill); 2] =
        [("Fill of nodes", |f| f.node_fill), ("Fill of edges", |f| f.edge_fill)];
    for (head, fill) in panels {
        caption(canvas, x, y + 4.0, head, "% of the padded batch that is real, by batch size B");
        panel(canvas, section, &styles, &sizes, fill, (x + TICKS, top));
        x += PANEL_WIDTH + TICKS + GAP;
    }
    caption(canvas, x, y + 4.0, "Strategies", "");
    for (row, style) in styles.iter().enumerate() {
        let y = y + 30.0 + LEGEND_LINE * row as f64;
        canvas.path(&[(x, y), (x + 28.0, y)], style.color);
        canvas.marker(x + 14.0, y, style.marker, style.color);
        canvas.name(x + 38.0, y + 4.0, Anchor::Start, &cut(&style.label, 26));
    }
    let legend_end = y + 30.0 + LEGEND_LINE * styles.len() as f64;
    (top + PANEL_HEIGHT + 24.0).max(legend_end)
}

fn panel(
    canvas: &mut Canvas,
    section: &Section<'_>,
    styles: &[Style],
    sizes: &[Option<u32>],
    fill: Fill,
    (left, top): (f64, f64),
) {
    let bottom = top + PANEL_HEIGHT;
    let height = |share: f64| bottom - PANEL_HEIGHT * share;
    let column = PANEL_WIDTH / sizes.len().max(1) as f64;
    let place = |size: &Option<u32>| {
        let at = sizes.iter().position(|other| other == size).unwrap_or(0);
        left + column * (at as f64 + 0.5)
    };
    for percent in [0, 20, 40, 60, 80, 100] {
        let y = height(f64::from(percent) / 100.0);
        canvas.rule((left, y), (left + PANEL_WIDTH, y));
        canvas.text(left - 8.0, y + 4.0, Anchor::End, &percent.to_string());
    }
    for size in sizes {
        canvas.text(place(size), bottom + 18.0, Anchor::Middle, &size_name(*size));
    }
    for style in styles {
        let of_label = section.forecasts.iter().filter(|f| f.label == style.label);
        let mut points: Vec<(f64, f64)> =
            of_label.filter_map(|f| Some((place(&f.batch_size), height(fill(f)?)))).collect();
        points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        if points.len() > 1 {
            canvas.path(&points, style.color);
        }
        for (x, y) in points {
            canvas.marker(x, y, style.marker, style.color);
        }
    }
}
