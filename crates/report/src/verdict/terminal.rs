//! Formats verdicts for a terminal: a table with a plot beside it.

use std::fmt::Write as _;

use super::words::{caveats, conclusion, sentence, times};
use super::{Strategy, Verdict};
use crate::number::{percent, significant};
use crate::setting::after_size;
use crate::wrapped::wrapped;

/// Line width in characters.
const LINE: usize = 96;

/// Width of the plot in characters.
const WIDTH: usize = 24;

/// Formats one comparison: a line per strategy with its interval as numbers and as a bar, then the
/// interpretation.
///
/// ```text
/// B = 32, time per graph over 10 mirrored pairs in 1 cell, 95 % intervals
///              times as long as the fastest           1                   1.20  test RMSE, eV
///   dynamic    1.000  1.000 to 1.014  the fastest     o--                       2.107
///   static-64  1.152  1.11 to 1.20    slower                    -----o------    2.095
/// ```
#[must_use]
pub fn text(verdict: &Verdict) -> String {
    let mut text = String::new();
    if verdict.has_intervals() {
        table(&mut text, verdict);
    }
    if let Some(reference) = over_reference(verdict) {
        for line in wrapped(&reference, LINE) {
            let _ = writeln!(text, "  {line}");
        }
    }
    let found = if verdict.has_intervals() { conclusion(verdict) } else { sentence(verdict) };
    for line in wrapped(&found, LINE) {
        let _ = writeln!(text, "  {line}");
    }
    for line in caveats(verdict).iter().flat_map(|caveat| wrapped(caveat, LINE)) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

fn table(text: &mut String, verdict: &Verdict) {
    let (measure, unit) = (verdict.measure.name(), verdict.unit.name());
    let confidence = percent(1.0 - verdict.level);
    let title = format!("{measure} over {unit}, {confidence} intervals");
    let _ = writeln!(text, "  {}", after_size(verdict.batch_size, ", ", &title));
    let width = verdict.strategies.iter().map(|s| s.batcher.chars().count()).max().unwrap_or(0);
    let most = verdict.strategies.iter().filter_map(|s| s.interval).map(|(_, high)| high);
    let most = most.fold(1.0, f64::max);
    let title = "times as long as the fastest";
    let scale = format!("1{most:>0$.2}", WIDTH - 1);
    let error = verdict.error.as_ref().map_or_else(String::new, |name| format!("  {name}"));
    let _ = writeln!(text, "    {:width$}  {title:39}{scale}{error}", "");
    for strategy in &verdict.strategies {
        let place = verdict.place_of(strategy);
        let error = strategy.error.map_or_else(String::new, |error| significant(error, 4));
        let line = format!(
            "    {:width$}  {:.3}  {:14}  {place:14}  {}  {error}",
            strategy.batcher,
            strategy.factor,
            times(strategy),
            bar(strategy, most)
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn over_reference(verdict: &Verdict) -> Option<String> {
    let reference = verdict.reference.as_ref()?;
    let others = verdict.strategies.iter().filter(|strategy| strategy.batcher != *reference);
    let ratio = |strategy: &Strategy| {
        let (factor, (low, high)) = strategy.over_reference?;
        Some(format!("{} {factor:.3} ({low:.3} to {high:.3})", strategy.batcher))
    };
    let ratios: Vec<String> = others.filter_map(ratio).collect();
    (!ratios.is_empty()).then(|| format!("Times as long as {reference}: {}.", ratios.join(", ")))
}

/// An interval on a logarithmic scale from 1 to `most`.
fn bar(strategy: &Strategy, most: f64) -> String {
    let Some((low, high)) = strategy.interval else { return String::new() };
    let place = |value: f64| {
        let share = if most > 1.0 { value.ln() / most.ln() } else { 0.0 };
        #[allow(clippy::cast_sign_loss, reason = "clamped at 0")]
        let column = (share.clamp(0.0, 1.0) * (WIDTH - 1) as f64).round() as usize;
        column
    };
    let (from, to, at) = (place(low), place(high), place(strategy.factor));
    let mark = |column: usize| match column {
        column if column == at => 'o',
        column if (from..=to).contains(&column) => '-',
        _ => ' ',
    };
    (0..WIDTH).map(mark).collect()
}
