//! Formats total times for a terminal, and the sentences shared with the page.

use std::fmt::Write as _;

use batchlab_core::number::grouped;

use super::{AtLength, Interval, StrategyTime, TotalTime};
use crate::number::{percent, short, significant};
use crate::setting::after_size;
use crate::verdict::fastest;
use crate::wrapped::wrapped;

/// Line width in characters.
const LINE: usize = 96;

/// What the length of training changes, as a table and in sentences.
///
/// ```text
/// B = 16, by the length of training, first uses of padded shapes counted
///              µs per graph, shape known  shapes  first use of a shape costs, s  share of time
///   dynamic    1,211                      1       0.70 (0.61 to 0.79)            2.9 %
///   static-64  680                        43      0.71 (0.66 to 0.76)            70 %
/// Up to 1,900 steps dynamic is the fastest; up to 4,800 dynamic or static-64 may be the fastest; beyond
/// that static-64 is the fastest.
/// ```
#[must_use]
pub fn text(total: &TotalTime) -> String {
    let title = "by the length of training, first uses of padded shapes counted";
    let mut text = format!("  {}\n", after_size(total.batch_size, ", ", title));
    let costs =
        if total.is_assumed { "a shape is assumed to cost, s" } else { "a new shape costs, s" };
    let titles =
        ["", "µs per graph, shape known", "shapes", costs, "share of time"].map(str::to_owned);
    let rows: Vec<[String; 5]> = total.strategies.iter().map(row).collect();
    let rows = || std::iter::once(&titles).chain(&rows);
    let width = |column: usize| rows().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    for row in rows() {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("  {cell:width$}"));
        let _ = writeln!(text, "  {}", cells.collect::<String>().trim_end());
    }
    for sentence in sentences(total) {
        for line in wrapped(&sentence, LINE) {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn row(strategy: &StrategyTime) -> [String; 5] {
    [
        strategy.batcher.clone(),
        short(strategy.known_ns.value / 1e3),
        short(strategy.n_shape),
        cost(strategy.shape_s),
        percent((1e3 * strategy.share).round() / 1e3),
    ]
}

/// `0.71 (0.66 to 0.76)`, or just the value if it is exact.
pub(crate) fn cost(Interval { value, low, high }: Interval) -> String {
    let digits =
        |seconds: f64| if seconds < 1e-4 { "0.0000".to_owned() } else { significant(seconds, 2) };
    if low < high {
        format!("{} ({} to {})", digits(value), digits(low), digits(high))
    } else {
        short(value)
    }
}

fn sentences(total: &TotalTime) -> Vec<String> {
    let mut sentences = vec![format!("=> {}.", span_text(total))];
    sentences.extend(total.asked.as_ref().map(|asked| asked_text(total, asked)));
    let counted = total.strategies.iter().map(|strategy| strategy.n_step_counted).min();
    if let Some(counted) = counted {
        sentences.push(format!("Shapes beyond {} steps are extrapolated.", grouped(counted)));
    }
    if !total.apart.is_empty() {
        let names = total.apart.join(", ");
        sentences.push(format!("Left out, as most steps have a new shape: {names}."));
    }
    sentences
}

/// `Up to 1,900 steps dynamic is the fastest; beyond that static-64 is the fastest`.
pub(crate) fn span_text(total: &TotalTime) -> String {
    let names = |set: &[usize]| {
        let names: Vec<&str> = set.iter().map(|&i| total.strategies[i].batcher.as_str()).collect();
        fastest(&names)
    };
    if let [always] = &total.spans[..] {
        return format!("At any length of training {}", names(&always.may_be_fastest));
    }
    let next = total.spans.iter().skip(1).map(|span| Some(span.from)).chain([None]);
    let part = |(place, (span, end)): (usize, (&super::Span, Option<u64>))| {
        let set = names(&span.may_be_fastest);
        match end {
            Some(end) if place == 0 => format!("Up to {} steps {set}", about(end)),
            Some(end) => format!("up to {} {set}", about(end)),
            None => format!("beyond that {set}"),
        }
    };
    let parts: Vec<String> = total.spans.iter().zip(next).enumerate().map(part).collect();
    parts.join("; ")
}

/// A number of steps to two digits.
fn about(n_step: u64) -> String {
    let unit = 10_u64.pow(n_step.max(1).ilog10().saturating_sub(1));
    grouped((n_step + unit / 2) / unit * unit)
}

fn asked_text(total: &TotalTime, asked: &AtLength) -> String {
    let name = |i: &usize| total.strategies[*i].batcher.as_str();
    let set: Vec<&str> = asked.may_be_fastest.iter().map(name).collect();
    let mut order: Vec<usize> = (0..total.strategies.len()).collect();
    order.sort_by(|&a, &b| asked.over_fastest[a].value.total_cmp(&asked.over_fastest[b].value));
    let one = |i: &usize| {
        let Interval { value, low, high } = asked.over_fastest[*i];
        let seconds = short(asked.total_s[*i].value);
        format!("{} {value:.3} ({low:.3} to {high:.3}), {seconds} s in all", name(i))
    };
    let all: Vec<String> = order.iter().map(one).collect();
    format!(
        "After {} steps of each {}; times as long per graph as the fastest: {}.",
        grouped(asked.n_step),
        fastest(&set),
        all.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_two_digits() {
        assert_eq!([7, 99, 1234, 1250, 40_999].map(about), ["7", "99", "1,200", "1,300", "41,000"]);
    }
}
