//! Renders figures as SVG. A panel fits on a phone; pages and pictures place panels side by side.

mod curves;
mod forest;
mod frame;
mod heat;
mod stacks;

use std::fmt::Write;

use batchlab_draw::{Anchor, Svg, escaped, places};

use crate::figures::{Figure, Panel, Plot};
use crate::wrapped::wrapped;

/// Width of a panel in pixels.
pub(crate) const WIDTH: f64 = 340.0;

/// Maximum characters per line of a setting's name above a panel.
const LINE: usize = 44;

/// Default font size in pixels, on a page and in a picture.
pub(crate) const TEXT: f64 = 11.0;

fn panel(panel: &Panel, figure: &Figure) -> (Svg, f64) {
    let color = |name: &str| place_of(figure, name);
    let title = &panel.title;
    match &panel.plot {
        Plot::Curves(curves) => curves::draw(curves, title, color),
        Plot::Heat(heat) => heat::draw(heat, title),
        Plot::Stacks(stacks) => stacks::draw(stacks, title, color),
        Plot::Forest(forest) => forest::draw(forest, title, color),
    }
}

/// Colour index of a strategy (the same in all pictures) or of a part of stacked bars.
fn place_of(figure: &Figure, name: &str) -> usize {
    let names: Vec<&str> = figure.strategies.iter().map(String::as_str).collect();
    let Some(at) = names.iter().position(|known| *known == name) else { return 0 };
    if has_parts(figure) { at } else { places(&names)[at] }
}

/// Whether colours denote parts of stacked bars.
fn has_parts(figure: &Figure) -> bool {
    figure.panels.iter().any(|panel| matches!(panel.plot, Plot::Stacks(_)))
}

/// Renders a panel for a page whose style sheet defines the classes.
pub(crate) fn inline(one: &Panel, figure: &Figure) -> String {
    let (svg, height) = panel(one, figure);
    let label = escaped(&format!("{}: {}", one.setting, one.title));
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{label}\">{}</svg>",
        svg.body()
    )
}

fn shown(figure: &Figure) -> Vec<(usize, &str)> {
    let mentions =
        |name: &str| {
            figure.panels.iter().any(|panel| match &panel.plot {
                Plot::Curves(curves) => curves.curves.iter().any(|c| c.batcher == name),
                Plot::Stacks(stacks) => stacks.parts.iter().zip(0..).any(|(part, i)| {
                    part == name && stacks.bars.iter().any(|bar| bar.parts[i] != 0.0)
                }),
                // Strategies are labelled beside their lines.
                Plot::Heat(_) | Plot::Forest(_) => false,
            })
        };
    let names = figure.strategies.iter().map(|name| (place_of(figure, name), name.as_str()));
    names.filter(|(_, name)| mentions(name)).collect()
}

/// Strategies get distinct markers, parts of bars get swatches.
fn mark(svg: &mut Svg, x: f64, y: f64, i: usize, figure: &Figure) {
    if has_parts(figure) {
        svg.swatch(x, y, i);
    } else {
        svg.marker(x, y, i);
    }
}

pub(crate) fn legend(figure: &Figure) -> String {
    let mut html = String::new();
    for (i, name) in shown(figure) {
        let mut svg = Svg::default();
        mark(&mut svg, 8.0, 8.0, i, figure);
        let _ = write!(
            html,
            "<span><svg viewBox=\"0 0 16 16\" width=\"16\" height=\"16\" aria-hidden=\"true\">{}</svg>{}</span>",
            svg.body(),
            escaped(name)
        );
    }
    html
}

/// Renders a figure as a self-contained SVG with light colours; `None` for a figure without panels.
#[must_use]
pub fn picture(figure: &Figure) -> Option<String> {
    const GAP: f64 = 20.0;
    let n_column = columns(figure)?;
    let width = n_column as f64 * (WIDTH + GAP) + GAP;
    let mut page = Svg::default();
    page.text(GAP, 32.0, Anchor::Start, "ink title", figure.title);
    let mut x = GAP;
    let mut y = 56.0;
    for (i, name) in shown(figure) {
        let step = 28.0 + 7.6 * name.chars().count() as f64;
        if x + step > width {
            (x, y) = (GAP, y + 20.0);
        }
        mark(&mut page, x + 5.0, y - 4.0, i, figure);
        page.text(x + 15.0, y, Anchor::Start, "ink", name);
        x += step;
    }
    y += 14.0;
    let row_of = |page: &mut Svg, row: &[Panel], y: f64| {
        let mut tallest: f64 = 0.0;
        for (place, one) in row.iter().enumerate() {
            let (svg, height) = panel(one, figure);
            page.place(GAP + place as f64 * (WIDTH + GAP), y, &svg);
            tallest = tallest.max(height);
        }
        y + tallest + GAP / 2.0
    };
    if figure.is_flat() {
        for row in figure.panels.chunks(n_column) {
            let names: Vec<Vec<String>> =
                row.iter().map(|panel| wrapped(&panel.setting, LINE)).collect();
            y += 8.0 + 14.0 * names.iter().map(Vec::len).max().unwrap_or_default() as f64;
            for (place, name) in names.iter().enumerate() {
                let x = GAP + place as f64 * (WIDTH + GAP);
                for (line, above) in name.iter().rev().zip(0..) {
                    let y = y - 4.0 - 14.0 * f64::from(above);
                    page.text(x, y, Anchor::Start, "ink bold", line);
                }
            }
            y = row_of(&mut page, row, y);
        }
    } else {
        for setting in figure.by_setting() {
            y += 8.0;
            for line in wrapped(&setting[0].setting, n_column * LINE) {
                y += 14.0;
                page.text(GAP, y, Anchor::Start, "ink bold", &line);
            }
            y += 8.0;
            for row in setting.chunks(n_column) {
                y = row_of(&mut page, row, y);
            }
        }
    }
    Some(page.into_picture(width, y + GAP, TEXT))
}

/// Panels per row: as many as a setting has if two to four, otherwise at most three. `None` without
/// panels.
fn columns(figure: &Figure) -> Option<usize> {
    let most = figure.by_setting().map(<[Panel]>::len).max()?;
    Some(match most {
        1 => figure.panels.len().min(3),
        2..=4 => most,
        _ => 3,
    })
}
