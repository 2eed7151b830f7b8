//! Histograms of nodes, edges and targets, one row of panels for each data set.

use super::canvas::{Anchor, Canvas};
use super::{MARGIN, WIDTH, caption, cut};
use crate::distribution::Distribution;

/// One data set: what it is, and its histograms.
pub struct Portrait<'a> {
    /// In words, for example the name and how many graphs there are.
    pub title: String,
    /// From left to right.
    pub panels: Vec<Panel<'a>>,
}

/// One histogram.
pub struct Panel<'a> {
    /// What is counted, for example `Nodes per graph`.
    pub head: String,
    /// Unit of the horizontal axis; empty for counts.
    pub unit: String,
    /// The numbers.
    pub distribution: &'a Distribution,
}

const PANEL_HEIGHT: f64 = 200.0;
/// Room for the numbers of the vertical axis.
const TICKS: f64 = 38.0;
const GAP: f64 = 34.0;
/// Pixels between two numbers on the horizontal axis.
const TICK_DISTANCE: f64 = 52.0;
/// One colour for each place in a row; people with any colour vision tell them apart.
const COLORS: [&str; 3] = ["#5B9BC8", "#E08A4F", "#4DAF90"];

/// Draws the data sets below each other.
#[must_use]
pub fn portraits(all: &[Portrait<'_>]) -> String {
    let mut canvas = Canvas::new(WIDTH);
    let mut y = MARGIN;
    for portrait in all {
        y += 14.0;
        canvas.title(MARGIN, y, &cut(&portrait.title, 100));
        y += 34.0;
        let n = portrait.panels.len().max(1) as f64;
        let width = (WIDTH - 2.0 * MARGIN - (n - 1.0) * GAP) / n - TICKS;
        for (at, shown) in portrait.panels.iter().enumerate() {
            let left = MARGIN + (width + TICKS + GAP) * at as f64;
            caption(&mut canvas, left, y, &shown.head, &summary(shown));
            let color = COLORS[at % COLORS.len()];
            panel(&mut canvas, shown, (left + TICKS, y + 34.0), width, color);
        }
        y += 34.0 + PANEL_HEIGHT + 46.0;
    }
    canvas.finish(y)
}

/// The line above a panel.
fn summary(panel: &Panel<'_>) -> String {
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
        w if w >= 5.0 => 0,
        w if w >= 0.5 => 1,
        w if w >= 0.05 => 2,
        w if w >= 0.005 => 3,
        _ => return format!("{value:.4e}"),
    };
    format!("{value:.digits$}")
}

fn panel(canvas: &mut Canvas, panel: &Panel<'_>, (left, top): (f64, f64), width: f64, color: &str) {
    let d = panel.distribution;
    let histogram = &d.histogram;
    let (bottom, total) = (top + PANEL_HEIGHT, d.n.max(1) as f64);
    let highest = histogram.count.iter().copied().max().unwrap_or(0) as f64 / total;
    let axis_top = highest * 1.05;
    let y = |share: f64| bottom - PANEL_HEIGHT * share / axis_top;
    for percent in ticks(0.0, 100.0 * axis_top, 5.0) {
        let y = y(percent / 100.0);
        canvas.rule((left, y), (left + width, y));
        canvas.text(left - 7.0, y + 4.0, Anchor::End, &format!("{}", Short(percent)));
    }
    // The end of the axis, so that a single bin does not fill the panel.
    let n_bin = histogram.count.len().max(5) as f64;
    let x = |value: f64| left + width * (value - histogram.first) / (histogram.width * n_bin);
    let bar = width / n_bin;
    for (bin, &count) in histogram.count.iter().enumerate().filter(|(_, count)| **count > 0) {
        // What occurs at all is seen.
        let height = (bottom - y(count as f64 / total)).max(0.8);
        let gap = if bar > 6.0 { 1.0 } else { 0.0 };
        canvas.rectangle(left + bar * bin as f64, bottom - height, bar - gap, height, color);
    }
    canvas.rule((left, bottom), (left + width, bottom));
    let end = histogram.first + histogram.width * n_bin;
    // The bar of a whole number stands over it, not to its right.
    let is_whole = histogram.width.to_bits() == 1.0_f64.to_bits() && d.least().fract() == 0.0;
    let middle = if is_whole { bar / 2.0 } else { 0.0 };
    for tick in ticks(histogram.first, end, width / TICK_DISTANCE) {
        if !(is_whole && tick.fract() != 0.0) && x(tick) + middle <= left + width + 0.5 {
            canvas.text(
                x(tick) + middle,
                bottom + 17.0,
                Anchor::Middle,
                &format!("{}", Short(tick)),
            );
        }
    }
    let mean = x(d.mean) + middle;
    canvas.mark((mean, top), (mean, bottom));
}

/// A number for an axis.
struct Short(f64);

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.0;
        match value.abs() {
            // Also a zero with a sign.
            0.0 => f.write_str("0"),
            v if v >= 1e6 => write!(f, "{}M", value / 1e6),
            v if v >= 1e4 => write!(f, "{}k", value / 1e3),
            v if v >= 1e-3 => write!(f, "{}", (value * 1e6).round() / 1e6),
            _ => write!(f, "{value:e}"),
        }
    }
}

/// Round numbers from `low` to `high`, about `n` of them at most.
fn ticks(low: f64, high: f64, n: f64) -> Vec<f64> {
    let rough = (high - low) / n.max(1.0);
    if rough <= 0.0 || !rough.is_finite() {
        return vec![low];
    }
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = power * steps.into_iter().find(|step| step * power >= rough).unwrap_or(10.0);
    let mut at = (low / step).ceil();
    let mut all = Vec::new();
    while at * step <= high * (1.0 + 1e-9) + 1e-300 {
        all.push(at * step);
        at += 1.0;
        if all.len() > 100 {
            break;
        }
    }
    all
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
        portraits(&[Portrait { title: "a < b".into(), panels }])
    }

    #[test]
    fn every_filled_bin_of_every_panel_is_drawn() {
        let text = draw(&[1.0, 2.0, 2.0, 9.0]);
        let bars = text.matches(COLORS[0]).count() + text.matches(COLORS[1]).count();
        assert_eq!(bars, 6);
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
        assert!(portraits(&[]).contains("</svg>"));
        assert!(
            portraits(&[Portrait { title: "none".into(), panels: Vec::new() }]).contains("none")
        );
    }

    #[test]
    fn numbers_on_axes_are_short() {
        let texts = [-0.0, 0.2, -40.0, 20_000.0, 2.5e6, 2e-5].map(|value| Short(value).to_string());
        assert_eq!(texts, ["0", "0.2", "-40", "20k", "2.5M", "2e-5"]);
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 14.2, 5.0), [0.0, 5.0, 10.0]);
        assert_eq!(ticks(3.0, 30.0, 6.0), [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
        assert_eq!(ticks(2.0, 2.0, 5.0), [2.0]);
    }
}
