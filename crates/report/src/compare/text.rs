//! Formats a comparison as text.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Comparison, Difference, FEWEST, Measure, Pair, Replicates};

#[must_use]
pub fn text(comparison: &Comparison) -> String {
    let mut text = format!("A  {}\nB  {}\n", comparison.a, comparison.b);
    for pair in &comparison.pairs {
        let _ = writeln!(text, "\n{}", pair.title);
        differences(&mut text, "configuration", &pair.configuration);
        differences(&mut text, "conditions", &pair.conditions);
        measures(&mut text, &pair.measures);
        if pair.keeps_best {
            text += "  Runs that stop early keep the state of their best evaluation, which may differ from the \
                     last one.\n";
        }
        if !pair.mixed.is_empty() {
            let keys = pair.mixed.join(", ");
            let _ = writeln!(text, "  Runs of one side differ in {keys}: they are not repeats.");
        }
        let _ = writeln!(text, "  {}", conclusion(pair));
    }
    for (side, only) in [("A", &comparison.only_a), ("B", &comparison.only_b)] {
        if !only.is_empty() {
            let _ = writeln!(text, "\nonly in {side}: {}", only.join("; "));
        }
    }
    text
}

fn differences(text: &mut String, what: &str, differences: &[Difference]) {
    if differences.is_empty() {
        let _ = writeln!(text, "  {what}: the same");
        return;
    }
    let _ = writeln!(text, "  {what}, A | B:");
    for Difference { key, a, b } in differences {
        let _ = writeln!(text, "    {key}: {} | {}", shown(a), shown(b));
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().take(60).collect(),
        other => other.to_string(),
    }
}

fn measures(text: &mut String, measures: &[Measure]) {
    let width = measures.iter().map(|measure| measure.name.chars().count() + 1).max().unwrap_or(0);
    let _ = writeln!(text, "  {:<width$}{:>12}{:>12}{:>9}  95 % interval", "", "A", "B", "B / A");
    for Measure { name, a, b, ratio, interval } in measures {
        let number = |value: &Option<f64>| value.map_or_else(|| "-".to_owned(), significant);
        let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
        let interval =
            interval.map_or_else(String::new, |(low, high)| format!("  {low:.3} to {high:.3}"));
        let line =
            format!("  {name:<width$}{:>12}{:>12}{ratio:>9}{interval}", number(a), number(b));
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// Four significant digits; integers unchanged.
fn significant(value: f64) -> String {
    if value.fract() == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let places = 3 - value.abs().log10().floor() as i32;
    if places > 8 {
        format!("{value:.3e}")
    } else {
        format!("{value:.*}", places.max(0).unsigned_abs() as usize)
    }
}

fn conclusion(pair: &Pair) -> String {
    match pair.replicates {
        Replicates::TooFew(..) if pair.runs_a.len() == 1 && pair.runs_b.len() == 1 => {
            format!(
                "One run on either side: too few to conclude anything from these ratios.\n  Train both \
                 in at least {FEWEST} mirrored pairs of blocks of one study, or repeat each with at least \
                 {FEWEST} seeds."
            )
        }
        Replicates::TooFew(a, b) => format!(
            "Runs of {a} and {b} different seeds are too few to conclude anything from these ratios; an \
             interval needs repeats with at least {FEWEST} on either side."
        ),
        _ if !pair.untimed.is_empty() => format!(
            "The times have no interval because they are not comparable: {}.",
            pair.untimed.join("; ")
        ),
        Replicates::Pairs(n) => {
            let over = format!(
                "over {n} mirrored pairs of blocks of one cell; the errors are those of one run each"
            );
            format!("{} {over}.", verdict(pair))
        }
        Replicates::Runs(a, b) => format!("{} over runs of {a} and {b} seeds.", verdict(pair)),
    }
}

/// Compares time per graph, which is fair to strategies that put different numbers of graphs into a
/// step.
fn verdict(pair: &Pair) -> String {
    let of_graphs = pair.measures.iter().find(|measure| measure.name.starts_with("time per graph"));
    let Some(Measure { ratio: Some(ratio), interval: Some((low, high)), .. }) = of_graphs else {
        return "No interval for the time per graph,".to_owned();
    };
    match () {
        () if *low > 1.0 => format!("B takes {ratio:.3} times as long per graph as A,"),
        () if *high < 1.0 => {
            format!("B takes {ratio:.3} times as long per graph as A, so B is faster,")
        }
        () => "The times per graph cannot be told apart,".to_owned(),
    }
}
