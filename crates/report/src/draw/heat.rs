//! A coloured table.

use batchlab_draw::{Anchor, Svg};

use super::WIDTH;
use crate::figures::{Cell, Heat, Scale};

const LEFT: f64 = 148.0;
const TOP: f64 = 42.0;
const ROW: f64 = 30.0;

pub(super) fn draw(heat: &Heat, title: &str) -> (Svg, f64) {
    let mut svg = Svg::default();
    svg.text(4.0, 14.0, Anchor::Start, "ink bold", title);
    let width = (WIDTH - LEFT) / heat.columns.len().max(1) as f64;
    for (i, name) in heat.columns.iter().enumerate() {
        let x = LEFT + (i as f64 + 0.5) * width;
        svg.text(x, TOP - 6.0, Anchor::Middle, "grey small", name);
    }
    for (j, (name, cells)) in heat.rows.iter().zip(&heat.cells).enumerate() {
        let y = TOP + j as f64 * ROW;
        let class = if name.chars().count() > 22 { "ink small" } else { "ink" };
        svg.text(4.0, y + ROW / 2.0 + 4.0, Anchor::Start, class, name);
        for (i, cell) in cells.iter().enumerate() {
            let x = LEFT + i as f64 * width;
            let Some(cell) = cell else {
                svg.text(x + width / 2.0, y + ROW / 2.0 + 4.0, Anchor::Middle, "grey", "–");
                continue;
            };
            let (color, opacity) = shade(heat.scale, cell);
            svg.rectangle((x + 1.0, y + 1.0), (width - 2.0, ROW - 2.0), color, opacity);
            let text = text(heat.scale, cell);
            svg.text(x + width / 2.0, y + ROW / 2.0 + 4.0, Anchor::Middle, "ink small", &text);
        }
    }
    (svg, TOP + heat.rows.len() as f64 * ROW + 8.0)
}

/// Colour and opacity. Text on top must stay readable.
fn shade(scale: Scale, cell: &Cell) -> (usize, f64) {
    match scale {
        Scale::Signed => {
            let color = usize::from(cell.value > 0.0);
            (color, 0.06 + 0.5 * (cell.value.abs() / 4.0).min(1.0))
        }
        Scale::Probability => {
            let opacity = match cell.value {
                p if p < 0.001 => 0.6,
                p if p < 0.01 => 0.45,
                p if p < 0.05 => 0.3,
                _ => 0.06,
            };
            (2, opacity)
        }
    }
}

fn text(scale: Scale, cell: &Cell) -> String {
    let star = if cell.is_marked { "*" } else { "" };
    match scale {
        Scale::Signed => format!("{:+.2}{star}", cell.value),
        Scale::Probability if cell.value < 0.001 => format!("<.001{star}"),
        Scale::Probability => format!("{:.3}{star}", cell.value),
    }
}
