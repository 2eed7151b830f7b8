//! Parallel efficiency against the number of ranks: a panel for every strategy and batch size.

use batchlab_core::number::grouped;
use batchlab_draw::{Anchor, Axis, Svg, columns, places};

use super::{MARGIN, Section, WIDTH, batch_sizes, caption, cut, labels, size_name};
use crate::ranks::{Assignment, RankForecast};

const PANEL_HEIGHT: f64 = 130.0;
/// Space for the tick labels of the vertical axis.
const TICKS: f64 = 36.0;
const GAP: f64 = 18.0;
/// Maximum number of panels side by side.
const MAX_COLUMN: usize = 4;
/// Minimum pixels between two ticks on the vertical axis.
const TICK_DISTANCE: f64 = 24.0;
/// Space for a name in the legend.
const LEGEND: f64 = 150.0;

/// Draws from `y` downwards; returns the lower end.
pub(super) fn draw(svg: &mut Svg, section: &Section<'_>, y: f64) -> f64 {
    let assignments = of_section(section);
    let names: Vec<&str> = assignments.iter().map(|assignment| assignment.name()).collect();
    let looks = places(&names);
    caption(
        svg,
        MARGIN,
        y,
        "Parallel efficiency",
        "mean over maximum cost of the ranks in %, by number of ranks; B is that of one rank",
    );
    let mut x = MARGIN;
    for (name, &place) in names.iter().zip(&looks) {
        svg.path(&[(x, y + 38.0), (x + 28.0, y + 38.0)], place);
        svg.marker(x + 14.0, y + 38.0, place);
        svg.text(x + 38.0, y + 42.0, Anchor::Start, "ink", name);
        x += LEGEND;
    }
    let sizes = batch_sizes(section);
    let n_column = sizes.len().min(MAX_COLUMN);
    let width = (WIDTH - 2.0 * MARGIN) / n_column.max(1) as f64 - TICKS - GAP;
    let mut top = y + 62.0;
    for label in labels(section) {
        for sizes in sizes.chunks(MAX_COLUMN) {
            for (at, size) in sizes.iter().enumerate() {
                let left = MARGIN + TICKS + (width + TICKS + GAP) * at as f64;
                let Some(ranks) = of_strategy(section, label, *size) else { continue };
                let head = format!("{}, {}", cut(label, 26), size_name(*size));
                svg.text(left, top + 10.0, Anchor::Start, "ink bold", &head);
                panel(svg, ranks, &assignments, &looks, (left, top + 20.0), width);
            }
            top += 20.0 + PANEL_HEIGHT + 46.0;
        }
    }
    top
}

/// The assignments of a section, in order of first appearance.
fn of_section(section: &Section<'_>) -> Vec<Assignment> {
    let mut all = Vec::new();
    for assignment in section.ranks.iter().flat_map(|ranks| ranks.iter()).map(|r| r.assignment) {
        if !all.contains(&assignment) {
            all.push(assignment);
        }
    }
    all
}

fn of_strategy<'a>(
    section: &Section<'a>,
    label: &str,
    size: Option<u32>,
) -> Option<&'a [RankForecast]> {
    let mut strategies = section.forecasts.iter().zip(&section.ranks);
    let found = strategies.find(|(f, _)| f.label == label && f.batch_size == size);
    found.map(|(_, ranks)| *ranks)
}

fn panel(
    svg: &mut Svg,
    ranks: &[RankForecast],
    assignments: &[Assignment],
    looks: &[usize],
    (left, top): (f64, f64),
    width: f64,
) {
    let (right, bottom) = (left + width, top + PANEL_HEIGHT);
    let percent = Axis::between(0.0, 100.0, bottom, top);
    svg.left_scale(&percent, left, right, TICK_DISTANCE);
    let mut numbers: Vec<u32> = ranks.iter().map(|r| r.n_rank).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let (middles, _) = columns(left, right, numbers.len());
    for (x, n_rank) in middles.iter().zip(&numbers) {
        svg.text(*x, bottom + 18.0, Anchor::Middle, "grey", &grouped(u64::from(*n_rank)));
    }
    for (assignment, &place) in assignments.iter().zip(looks) {
        // One rank has the same plan with every assignment.
        let shown = |r: &&RankForecast| r.assignment == *assignment || r.n_rank == 1;
        let point = |r: &RankForecast| {
            let column = numbers.binary_search(&r.n_rank).ok()?;
            Some((middles[column], percent.pixel(100.0 * r.efficiency?)))
        };
        let mut points: Vec<(f64, f64)> = ranks.iter().filter(shown).filter_map(point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if points.len() > 1 {
            svg.path(&points, place);
        }
        for (x, y) in points {
            svg.marker(x, y, place);
        }
    }
}
