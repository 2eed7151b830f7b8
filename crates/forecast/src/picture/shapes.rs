//! Distribution of padded shapes: a histogram for every strategy and batch size.

use batchlab_draw::{Anchor, Axis, Svg, places, tick_text};

use super::{MARGIN, Section, WIDTH, batch_sizes, caption, cut, labels, size_name};
use crate::Forecast;
use crate::census::Method;

const NAMES: f64 = 150.0;
const ROW: f64 = 50.0;
const BAR: f64 = 28.0;
const GAP: f64 = 18.0;
/// Maximum number of columns that fit side by side.
const MAX_COLUMN: usize = 6;
const BAR_WIDTH: f64 = 5.0;
/// Minimum pixels between two ticks on the horizontal axis.
const TICK_DISTANCE: f64 = 34.0;

/// Draws from `y` downwards; returns the lower end.
pub(super) fn draw(svg: &mut Svg, section: &Section<'_>, y: f64) -> f64 {
    let labels = labels(section);
    let sizes = batch_sizes(section);
    caption(
        svg,
        MARGIN,
        y,
        &format!("Padded shapes over {} steps", tick_text(section.n_step as f64)),
        "edges per padded batch (logarithmic); bars: share of steps, each row scaled to its highest; \
         dashed: mean of real edges; number of distinct shapes",
    );
    let mut top = y + 34.0;
    for sizes in sizes.chunks(MAX_COLUMN) {
        let width = (WIDTH - 2.0 * MARGIN - NAMES) / sizes.len() as f64 - GAP;
        for (row, label) in labels.iter().enumerate() {
            let base = top + 20.0 + ROW * (row as f64 + 1.0) - 8.0;
            svg.text(MARGIN, base - 6.0, Anchor::Start, "ink", &cut(label, 19));
        }
        for (at, size) in sizes.iter().enumerate() {
            let left = MARGIN + NAMES + (width + GAP) * at as f64;
            column(svg, section, &labels, *size, (left, top), width);
        }
        top += 20.0 + ROW * labels.len() as f64 + 40.0;
    }
    top
}

fn column(
    svg: &mut Svg,
    section: &Section<'_>,
    labels: &[&str],
    size: Option<u32>,
    (left, top): (f64, f64),
    width: f64,
) {
    let forecasts: Vec<&Forecast> =
        section.forecasts.iter().copied().filter(|f| f.batch_size == size).collect();
    svg.text(left, top + 10.0, Anchor::Start, "ink bold", &size_name(size));
    let Some(axis) = axis(&forecasts, left, width) else { return };
    let bottom = top + 20.0 + ROW * labels.len() as f64;
    for tick in axis.ticks(TICK_DISTANCE) {
        let x = axis.pixel(tick);
        svg.line((x, top + 20.0), (x, bottom), "rule", 1.0);
        svg.text(x, bottom + 15.0, Anchor::Middle, "grey", &tick_text(tick));
    }
    for (row, (label, place)) in labels.iter().zip(places(labels)).enumerate() {
        let base = top + 20.0 + ROW * (row as f64 + 1.0) - 8.0;
        svg.line((left, base), (left + width, base), "rule", 1.0);
        if let Some(forecast) = forecasts.iter().find(|f| f.label == **label) {
            histogram(svg, forecast, &axis, place, (left, base), width);
            count(svg, forecast, left + width, base - BAR - 3.0);
        }
    }
}

/// From the smallest to the largest number of edges, including the means of real edges.
fn axis(forecasts: &[&Forecast], left: f64, width: f64) -> Option<Axis> {
    let padded = forecasts.iter().flat_map(|f| &f.census).map(|(shape, _)| f64::from(shape.n_edge));
    let all = padded.chain(forecasts.iter().map(|f| f.edges_per_step)).filter(|&n| n > 0.0);
    let (low, high) =
        all.fold((f64::INFINITY, 0.0_f64), |(low, high), n| (low.min(n), high.max(n)));
    (high > 0.0).then(|| Axis::log(low, high, left, left + width))
}

fn histogram(
    svg: &mut Svg,
    forecast: &Forecast,
    axis: &Axis,
    color: usize,
    (left, base): (f64, f64),
    width: f64,
) {
    #[allow(clippy::cast_sign_loss, reason = "widths and shares are not negative")]
    let n_bin = (width / BAR_WIDTH) as usize;
    let mut share = vec![0.0; n_bin + 1];
    for &(shape, n) in &forecast.census {
        #[allow(clippy::cast_sign_loss, reason = "widths and shares are not negative")]
        let bin = (axis.share(f64::from(shape.n_edge).max(1.0)) * n_bin as f64) as usize;
        share[bin] += n as f64;
    }
    let highest = share.iter().copied().fold(0.0, f64::max);
    for (bin, &share) in share.iter().enumerate().filter(|(_, share)| **share > 0.0) {
        // A bin that is not empty is always visible.
        let height = (BAR * share / highest).max(1.0);
        let x = left + BAR_WIDTH * bin as f64;
        svg.rectangle((x, base - height), (BAR_WIDTH - 0.4, height), color, 1.0);
    }
    if forecast.edges_per_step > 0.0 {
        let x = axis.pixel(forecast.edges_per_step);
        svg.line((x, base - BAR - 2.0), (x, base + 3.0), "mark", 1.2);
    }
}

fn count(svg: &mut Svg, forecast: &Forecast, x: f64, y: f64) {
    let n = forecast.shapes.n_shape.round();
    let mark = match forecast.shapes.method {
        Method::Enumerated => "",
        Method::Extrapolated => "~",
    };
    let noun = if n < 1.5 { "shape" } else { "shapes" };
    let number = if n < 1e4 { format!("{n}") } else { tick_text((n / 1e3).round() * 1e3) };
    svg.text(x, y, Anchor::End, "grey", &format!("{mark}{number} {noun}"));
}
