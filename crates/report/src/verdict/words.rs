//! Phrases a verdict in sentences.

use super::ENOUGH_TO_BE_ALIKE;
use super::left_out;
use super::{Conclusion, Disturbance, Outlook, Strategy, Unfinished, Unit, Verdict};
use crate::number::{count, percent, short};
use crate::setting::after_size;

/// Number of pairs at the last interim look of `sweep --ci-width`.
const MOST_LOOKED_AT: u64 = 160;

impl Unit {
    /// A phrase like `12 mirrored pairs in 2 cells`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Pairs { n_pair, n_cell } => {
                format!("{} in {}", count(n_pair, "mirrored pair"), count(n_cell, "cell"))
            }
            Self::Cells { n_cell, n_pair } => {
                format!("{} with {}", count(n_cell, "cell"), count(n_pair, "mirrored pair"))
            }
            Self::Seeds { n_seed } => count(n_seed, "seed"),
            Self::Runs { least, most } if least == most => {
                format!("{} of each", count(least, "run"))
            }
            Self::Runs { least, most } => format!("{least} to {} of each", count(most, "run")),
        }
    }
}

impl Unit {
    /// The replicates of which more are needed.
    fn replicates(self) -> &'static str {
        match self {
            Self::Pairs { .. } => "pairs",
            Self::Cells { .. } => "cells",
            Self::Seeds { .. } => "seeds",
            Self::Runs { .. } => "runs of each",
        }
    }
}

/// The result of a comparison, with all factors.
#[must_use]
pub fn sentence(verdict: &Verdict) -> String {
    let unit = verdict.unit.name();
    let said = |text: String| after_size(verdict.batch_size, ": ", &text);
    if !verdict.has_intervals() {
        let why = if let Some(Unfinished { n_cell, n_planned }) = verdict.unfinished {
            format!(
                "unfinished: {n_cell} of {n_planned} cells are done, and intervals are given once all are"
            )
        } else if verdict.unit.n() >= 3 {
            "the differences of times do not vary, as with a clock that is too coarse".to_owned()
        } else {
            let are = if verdict.unit.n() == 1 { "is" } else { "are" };
            format!("{unit} {are} too few to quantify the uncertainty")
        };
        return said(format!("{}; {why}.", least_times(verdict)));
    }
    let slower = verdict.strategies.iter().filter(|strategy| strategy.place == Conclusion::Slower);
    let slower: Vec<String> =
        slower.map(|strategy| format!("{} {}", strategy.batcher, times(strategy))).collect();
    let slower = match slower.as_slice() {
        [] => String::new(),
        slower => format!("; times as long as the fastest: {}", slower.join(", ")),
    };
    said(format!("{}{slower} ({unit}).{}", head(verdict), outlook(verdict)))
}

/// The result of a comparison, for use beside a table of the factors.
pub(super) fn conclusion(verdict: &Verdict) -> String {
    format!("=> {}.{}", head(verdict), outlook(verdict))
}

fn head(verdict: &Verdict) -> String {
    let names: Vec<&str> = verdict.may_be_fastest().map(|s| s.batcher.as_str()).collect();
    if verdict.is_tie() {
        return format!(
            "{} are equally fast within {}",
            list(&names, "and"),
            percent(verdict.margin)
        );
    }
    fastest(&names)
}

/// The phrase for the strategies that may be the fastest, used everywhere.
#[must_use]
pub fn fastest(names: &[&str]) -> String {
    match names {
        [one] => format!("{one} is the fastest"),
        names => format!("{} may be the fastest", list(names, "or")),
    }
}

impl Verdict {
    /// The label of a strategy for a row of a table.
    #[must_use]
    pub fn place_of(&self, strategy: &Strategy) -> &'static str {
        match strategy.place {
            Conclusion::MayBeFastest if self.fastest().is_some() => "the fastest",
            Conclusion::MayBeFastest if self.is_tie() => "equally fast",
            Conclusion::MayBeFastest => "may be fastest",
            Conclusion::Slower => "slower",
            Conclusion::Unknown => "",
        }
    }
}

/// For strategies that do not differ significantly: the largest possible difference, and how
/// much more data would decide.
fn outlook(verdict: &Verdict) -> String {
    match verdict.outlook {
        Some(Outlook { n_plain, n_safe }) if verdict.fastest().is_none() && !verdict.is_tie() => {
            let (margin, n) = (percent(verdict.margin), verdict.unit.n() as u64);
            let bound = bound(verdict);
            if n_safe <= n {
                return bound;
            }
            let replicates = verdict.unit.replicates();
            let pairs = format!(
                "{bound} To tell {margin} apart takes about {n_plain} to {n_safe} {replicates}"
            );
            if replicates != "pairs" {
                return format!("{pairs}.");
            }
            match verdict.pair_s {
                // Further blocks of a cell have the same length.
                Some(pair_s) => {
                    // `--ci-width` looks at the intervals up to this many pairs.
                    let option = if n_safe <= MOST_LOOKED_AT {
                        format!("--ci-width {}", percent(verdict.margin).replace(' ', ""))
                    } else {
                        format!("blocks.pairs={n_safe}")
                    };
                    let took = duration(n_safe as f64 * pair_s);
                    format!("{pairs}: `batchlab sweep ... {option}` would take about {took}.")
                }
                None => format!("{pairs}."),
            }
        }
        _ => String::new(),
    }
}

/// Upper bound on how far the possible winners are from the fastest, rounded up.
fn bound(verdict: &Verdict) -> String {
    let highest = verdict.may_be_fastest().filter_map(|s| Some(s.interval?.1)).reduce(f64::max);
    highest.map_or_else(String::new, |high| {
        let most = if high < 2.0 {
            format!("{} longer than", percent((1000.0 * (high - 1.0)).ceil() / 1000.0))
        } else {
            format!("{:.1} times as long as", (10.0 * high).ceil() / 10.0)
        };
        format!(" None of them takes more than {most} the fastest.")
    })
}

/// `50 s`, `14 minutes`, `2.5 hours`.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{} s", short(s.ceil())),
        s if s < 2.0 * 3600.0 => format!("{} minutes", short((s / 60.0).round())),
        s if s < 48.0 * 3600.0 => format!("{} hours", short((s / 360.0).round() / 10.0)),
        s => format!("{} days", short((s / 8640.0).round() / 10.0)),
    }
}

/// Caveats for using a verdict.
#[must_use]
pub fn caveats(verdict: &Verdict) -> Vec<String> {
    let mut caveats = Vec::new();
    let units = verdict.unit.replicates();
    if verdict.has_few_pairs() {
        caveats.push(format!("There are few {units}: the intervals are wide."));
    }
    let are_pairs = matches!(verdict.unit, Unit::Pairs { .. });
    if are_pairs && verdict.has_intervals() && verdict.unit.n() < ENOUGH_TO_BE_ALIKE {
        caveats.push(format!(
            "Fewer than {ENOUGH_TO_BE_ALIKE} {units} do not show whether each strategy drifts on its own; where it \
             does, up to 17 of 100 verdicts err."
        ));
    }
    if matches!(verdict.unit, Unit::Pairs { .. }) && verdict.has_intervals() {
        caveats.push(match verdict.pair_s {
            Some(_) => "This holds for these seeds and processes; `repeats=5` covers others too."
                .to_owned(),
            None => {
                "This holds for these processes; five or more cells cover others too.".to_owned()
            }
        });
    }
    let n_used = match verdict.unit {
        Unit::Pairs { n_pair, .. } | Unit::Cells { n_pair, .. } => n_pair,
        Unit::Seeds { .. } | Unit::Runs { .. } => 0,
    };
    caveats.extend(left_out::sentence(&verdict.left_out, n_used));
    if let Some(memory) = verdict.memory {
        caveats.push(format!(
            "The times of neighbouring pairs are autocorrelated (r = {memory:.2}): the probability of an error \
             may be above 5 %."
        ));
    }
    if let Some(ratio) = verdict.noise_ratio {
        caveats.push(format!(
            "One of the two is {ratio:.1} times as noisy as the other: if its times are skewed too, the \
             probability of an error is up to 13 %."
        ));
    }
    if verdict.n_look > 0 && verdict.has_intervals() {
        let level = percent(verdict.level);
        caveats.push(format!("{} interim looks share the {level} error.", verdict.n_look));
    }
    if verdict.n_verdict > 1 && verdict.has_intervals() {
        caveats.push(format!(
            "This is verdict {} on these strategies, as cells were added or trained again: its share of the \
             error is {}, so that all verdicts together err in at most 6 of 100 studies.",
            verdict.n_verdict,
            percent(verdict.level)
        ));
    }
    for Disturbance { what, most, least } in &verdict.disturbances {
        caveats.push(format!(
            "Conditions differed: {what}, {} for {}, {} for {}.",
            short(most.1),
            most.0,
            short(least.1),
            least.0
        ));
    }
    for apart in &verdict.apart {
        caveats.push(format!("{} is not compared: {}.", apart.batcher, apart.why));
    }
    caveats
}

/// The lowest times, if there are no intervals.
fn least_times(verdict: &Verdict) -> String {
    let Some((first, others)) = verdict.strategies.split_first() else { return String::new() };
    if !others.is_empty() && others.iter().all(|strategy| strategy.factor < 1.005) {
        let all: Vec<&str> = verdict.strategies.iter().map(|s| s.batcher.as_str()).collect();
        return format!("{} differed by less than 0.5 %", list(&all, "and"));
    }
    let others: Vec<String> = others
        .iter()
        .map(|strategy| format!("{} {:.2} times as long", strategy.batcher, strategy.factor))
        .collect();
    format!("{} took the least time, {}", first.batcher, others.join(", "))
}

/// `1.07 to 1.12`.
pub(super) fn times(strategy: &Strategy) -> String {
    let Some((low, high)) = strategy.interval else { return String::new() };
    // A bound close to 1 must not be rounded to 1.
    let digits = match low {
        low if low >= 1.1 => 2,
        low if low > 1.0 && low < 1.0005 => 6,
        _ => 3,
    };
    format!("{low:.digits$} to {high:.digits$}")
}

/// `a, b or c`.
fn list(names: &[&str], word: &str) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_shares_read_well() {
        assert_eq!(list(&["a"], "or"), "a");
        assert_eq!(list(&["a", "b", "c"], "or"), "a, b or c");
        assert_eq!([0.02, 0.005, 0.1].map(percent), ["2 %", "0.5 %", "10 %"]);
    }
}
