//! Statistics as text.

use std::fmt::Write as _;

use batchlab_core::Level;
use batchlab_core::number::grouped;
use batchlab_forecast::distribution::{Distribution, Histogram};

use super::summary::{DatasetSummary, Kind, Target};
use crate::output::columns;
use crate::unit;

/// Bars of increasing height for a line of text.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Maximum number of classes to list.
const MAX_CLASS: usize = 12;

pub(super) fn print(summary: &DatasetSummary) -> String {
    let mut text = String::new();
    let name = if summary.source == summary.dataset {
        summary.dataset.clone()
    } else {
        format!("{} ({})", summary.source, summary.dataset)
    };
    let (nodes, edges) = (grouped(summary.n_node as u64), grouped(summary.n_edge));
    let _ = match summary.level {
        Level::Graphs => writeln!(
            text,
            "{name}: {} graphs, {nodes} nodes, {edges} edges",
            grouped(summary.n_member as u64)
        ),
        Level::Nodes => writeln!(text, "{name}: one graph, {nodes} nodes, {edges} edges"),
    };
    let from = if summary.from_cache { "from the cache" } else { "read" };
    let _ = writeln!(
        text,
        "{from} in {:.3} s; content {}\n",
        summary.time.as_secs_f64(),
        &summary.content_hash[..16]
    );

    let edges = match summary.level {
        Level::Graphs => "edges",
        Level::Nodes => "edges received",
    };
    let target = match &summary.target {
        Some(Target { name, kind: Kind::Number { unit, distribution } }) => Some((
            format!("{name}{}", unit::around(" [", unit.as_deref(), "]")),
            distribution.as_ref(),
        )),
        _ => None,
    };
    let rows = [
        Some(("nodes".to_owned(), summary.nodes.as_ref())),
        Some((edges.to_owned(), summary.edges.as_ref())),
        target,
    ];
    let rows: Vec<(String, &Distribution)> =
        rows.into_iter().flatten().filter_map(|(name, of)| Some((name, of?))).collect();
    quantiles(&rows, &mut text);
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, of) in &rows {
        let Histogram { first, width: bin, .. } = of.histogram;
        let _ = writeln!(
            text,
            "{name:<width$}  {} {} {}  (a bar is {})",
            number(first, bin),
            bars(&of.histogram),
            number(of.histogram.end(), bin),
            number(bin, bin),
        );
    }
    if let Some(Target { name, kind: Kind::Classes { count, n_without } }) = &summary.target {
        let without = match n_without {
            0 => String::new(),
            n => format!("; {} without", grouped(*n)),
        };
        let _ = writeln!(text, "{name}: {}{without}", classes(count));
    }
    if !summary.node_class.is_empty() {
        let _ = writeln!(text, "nodes by class: {}", classes(&summary.node_class));
    }
    for (what, n) in &summary.notes {
        let _ = writeln!(text, "{what}: {}", grouped(*n));
    }
    text
}

fn quantiles(rows: &[(String, &Distribution)], text: &mut String) {
    let head = ["", "mean", "sd", "least", "5 %", "25 %", "median", "75 %", "95 %", "most"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for (name, of) in rows {
        // One digit more than the bins need.
        let digit = |value: f64| number(value, of.histogram.width / 10.0);
        let mut line = vec![name.clone(), digit(of.mean), digit(of.deviation)];
        line.extend(of.quantiles.iter().map(|&value| {
            let is_whole = value.fract() == 0.0 && value.abs() < 1e15;
            if is_whole { format!("{value:.0}") } else { digit(value) }
        }));
        lines.push(line);
    }
    *text += &columns(&lines);
    text.push('\n');
}

/// One character per bin; a bin that is not empty is always visible.
fn bars(histogram: &Histogram) -> String {
    let highest = histogram.count.iter().copied().max().unwrap_or(0).max(1);
    let bar = |&count: &u64| match count {
        0 => ' ',
        count => BARS[((count * 8).div_ceil(highest) as usize - 1).min(7)],
    };
    histogram.count.iter().map(bar).collect()
}

/// Uses as many digits as bins of that width need.
fn number(value: f64, width: f64) -> String {
    #[allow(clippy::cast_sign_loss, reason = "digits are not negative")]
    let digits = (-width.log10().floor()).max(0.0) as usize;
    // Avoid printing hundreds of digits.
    if digits > 12 || value.abs() >= 1e15 {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.digits$}");
    // Avoid `-0.00`.
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|byte| byte == b'0' || byte == b'.') => rest.to_owned(),
        _ => text,
    }
}

fn classes(count: &[(String, u64)]) -> String {
    let shown: Vec<String> =
        count.iter().take(MAX_CLASS).map(|(name, n)| format!("{name} {}", grouped(*n))).collect();
    let more = match count.len().saturating_sub(MAX_CLASS) {
        0 => String::new(),
        n => format!(", and {n} more"),
    };
    shown.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_a_bin_tells_apart_and_no_empty_sign() {
        let texts = [
            (-0.04, 0.2),
            (-0.0, 1.0),
            (-0.25, 0.02),
            (812.4, 20.0),
            (2e-20, 1e-21),
            (-1e308, 1e306),
        ];
        let texts = texts.map(|(value, width)| number(value, width));
        assert_eq!(texts, ["0.0", "0", "-0.25", "812", "2.000e-20", "-1.000e308"]);
    }

    #[test]
    fn what_occurs_at_all_is_seen() {
        let count = vec![1000, 1, 0, 500];
        assert_eq!(bars(&Histogram { first: 0.0, width: 1.0, count }), "█▁ ▄");
    }
}
