//! Histograms of nodes, edges and targets, one row of panels per data set.

use batchlab_draw::{Anchor, Axis, Svg, tick_text};

use super::{MARGIN, TEXT, WIDTH, caption, cut};
use crate::distribution::Distribution;

pub struct DatasetSummary<'a> {
    /// A description, for example the name and the number of graphs.
    pub title: String,
    pub panels: Vec<Panel<'a>>,
}

pub struct Panel<'a> {
    /// The quantity, for example `Nodes per graph`.
    pub head: String,
    /// Unit of the horizontal axis; empty for counts.
    pub unit: String,
    pub distribution: &'a Distribution,
}

const PANEL_HEIGHT: f64 = 200.0;
/// Space for the tick labels of the vertical axis.
const TICKS: f64 = 38.0;
const GAP: f64 = 34.0;
/// Minimum pixels between two ticks on the horizontal and on the vertical axis.
const TICK_DISTANCE: [f64; 2] = [52.0, 40.0];
/// Bars are paler than lines.
const OPACITY: f64 = 0.65;

/// Draws the data sets one below the other.
#[must_use]
pub fn summaries(all: &[DatasetSummary<'_>]) -> String {
    let mut svg = Svg::default();
    let mut y = MARGIN;
    for summary in all {
        y += 14.0;
        svg.text(MARGIN, y, Anchor::Start, "ink title", &cut(&summary.title, 100));
        y += 34.0;
        let n = summary.panels.len().max(1) as f64;
        let width = (WIDTH - 2.0 * MARGIN - (n - 1.0) * GAP) / n - TICKS;
        for (at, shown) in summary.panels.iter().enumerate() {
            let left = MARGIN + (width + TICKS + GAP) * at as f64;
            caption(&mut svg, left, y, &shown.head, &statistics(shown));
            panel(&mut svg, shown, (left + TICKS, y + 34.0), width, at);
        }
        y += 34.0 + PANEL_HEIGHT + 46.0;
    }
    svg.into_picture(WIDTH, y, TEXT)
}

fn statistics(panel: &Panel<'_>) -> String {
    let d = panel.distribution;
    let [mean, median, least, most] =
        [d.mean, d.quantiles[3], d.least(), d.most()].map(|value| number(value, &d.histogram));
    let unit = if panel.unit.is_empty() { String::new() } else { format!(" {}", panel.unit) };
    format!("mean {mean} (dashed), median {median}, from {least} to {most}{unit}")
}

fn number(value: f64, histogram: &crate::distribution::Histogram) -> String {
    if value.fract() == 0.0 && value.abs() < 1e6 {
        return format!("{value:.0}");
    }
    let digits = match histogram.width {
        _ if value.abs() >= 1e15 => return format!("{value:.4e}"),
        w if w >= 5.0 => 0,
        w if w >= 0.5 => 1,
        w if w >= 0.05 => 2,
        w if w >= 0.005 => 3,
        _ => return format!("{value:.4e}"),
    };
    format!("{value:.digits$}")
}

fn panel(svg: &mut Svg, panel: &Panel<'_>, (left, top): (f64, f64), width: f64, color: usize) {
    let d = panel.distribution;
    let histogram = &d.histogram;
    let (right, bottom, total) = (left + width, top + PANEL_HEIGHT, d.n.max(1) as f64);
    let percent = |count: u64| 100.0 * count as f64 / total;
    let highest = histogram.count.iter().copied().max().map_or(0.0, percent);
    let y = Axis::between(0.0, highest * 1.05, bottom, top);
    svg.left_scale(&y, left, right, TICK_DISTANCE[1]);
    // A minimum number of bins, so that a single one does not fill the panel.
    let n_bin = histogram.count.len().max(5) as f64;
    let bar = width / n_bin;
    for (bin, &count) in histogram.count.iter().enumerate().filter(|(_, count)| **count > 0) {
        // A bin that is not empty is always visible.
        let height = (bottom - y.pixel(percent(count))).max(0.8);
        let gap = if bar > 6.0 { 1.0 } else { 0.0 };
        let at = (left + bar * bin as f64, bottom - height);
        svg.rectangle(at, (bar - gap, height), color, OPACITY);
    }
    svg.line((left, bottom), (right, bottom), "rule", 1.0);
    // The bar of an integer is centred over it, not to its right.
    let is_whole = histogram.width.to_bits() == 1.0_f64.to_bits() && d.least().fract() == 0.0;
    let middle = if is_whole { bar / 2.0 } else { 0.0 };
    let end = histogram.first + histogram.width * n_bin;
    let x = Axis::between(histogram.first, end, left + middle, right + middle);
    for tick in x.ticks(TICK_DISTANCE[0]) {
        if !(is_whole && tick.fract() != 0.0) && x.pixel(tick) <= right + 0.5 {
            svg.text(x.pixel(tick), bottom + 17.0, Anchor::Middle, "grey", &tick_text(tick));
        }
    }
    svg.line((x.pixel(d.mean), top), (x.pixel(d.mean), bottom), "mark", 1.2);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(values: &[f64]) -> String {
        let distribution = Distribution::of(values).expect("numbers");
        let panel = |head: &str| Panel {
            head: head.to_owned(),
            unit: "eV".into(),
            distribution: &distribution,
        };
        let panels = vec![panel("Nodes & more"), panel("Edges")];
        summaries(&[DatasetSummary { title: "a < b".into(), panels }])
    }

    #[test]
    fn every_filled_bin_of_every_panel_is_drawn() {
        let text = draw(&[1.0, 2.0, 2.0, 9.0]);
        let bars = |color| text.matches(&format!("class=\"f{color}\"")).count();
        assert_eq!((bars(0), bars(1)), (3, 3));
        assert!(text.contains("a &lt; b") && text.contains("Nodes &amp; more"));
        assert!(text.contains("mean 3.5 (dashed), median 2, from 1 to 9 eV"), "{text}");
    }

    #[test]
    fn nothing_breaks_with_one_value_tiny_or_huge_ones() {
        let cases: [&[f64]; 5] =
            [&[5.0], &[0.0; 3], &[-1e-12, 1e-12], &[1e15, -1e15], &[-7.5, -7.25]];
        for values in cases {
            let text = draw(values);
            assert!(!text.contains("NaN") && !text.contains("inf"), "{values:?}: {text}");
        }
        assert!(summaries(&[]).contains("</svg>"));
        assert!(
            summaries(&[DatasetSummary { title: "none".into(), panels: Vec::new() }])
                .contains("none")
        );
    }
}
