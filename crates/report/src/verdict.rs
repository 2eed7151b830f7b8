//! Which strategy is the fastest, by what factor, and with what confidence.

use std::collections::BTreeMap;

use batchlab_stats::{
    Pairing, Replication, interval_of_blocks, mean, median, ratio_of_blocks, ratio_of_medians,
};
use serde::Serialize;

use crate::number::factor;
use crate::read::Run;
use crate::setting::{Group, Setting, size_name};

const CONFIDENCE: f64 = 0.95;
/// Seed of the bootstrap: equal results give equal reports.
const SEED: u64 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Measure {
    /// Time of training per real graph: fair to strategies that put different numbers of graphs
    /// into a step.
    TimePerGraph,
    /// Mean time of a step, where the number of graphs in a step is not known.
    TimePerStep,
}

impl Measure {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TimePerGraph => "time per graph",
            Self::TimePerStep => "time per step",
        }
    }

    fn of(self, run: &Run) -> Option<f64> {
        match self {
            Self::TimePerGraph => run.work.as_ref().map(|work| 1.0 / work.outputs_per_s),
            Self::TimePerStep => run.times.as_ref().map(|times| times.combined_mean),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Significance {
    /// The interval of the factor lies above 1.
    Slower,
    /// The interval of the factor contains 1.
    NotDistinguishable,
    TooFew,
}

/// The unit of replication of a comparison, with the number of replicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Unit {
    /// Blocks of cells in which both were trained in turns. The conclusion holds for these cells.
    Blocks {
        n_block: usize,
        n_cell: usize,
    },
    /// Cells, each with its own seeds and process.
    Cells {
        n_cell: usize,
        n_block: usize,
    },
    Runs {
        n_best: usize,
        n_rival: usize,
    },
}

impl Unit {
    /// For a sentence: `12 blocks in 2 cells`.
    #[must_use]
    pub fn name(self) -> String {
        let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        match self {
            Self::Blocks { n_block, n_cell } => {
                format!("{} in {}", count(n_block, "block"), count(n_cell, "cell"))
            }
            Self::Cells { n_cell, n_block } => {
                format!("{} with {}", count(n_cell, "cell"), count(n_block, "block"))
            }
            Self::Runs { n_best, n_rival } if n_best == n_rival => count(n_best, "run"),
            Self::Runs { n_best, n_rival } => format!("{n_best} and {}", count(n_rival, "run")),
        }
    }
}

/// Another strategy than the fastest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub batcher: String,
    pub n_run: usize,
    /// How many times as long it takes as the fastest: the geometric mean of the ratios of blocks, or
    /// the ratio of the medians of runs.
    pub factor: f64,
    pub unit: Unit,
    /// 95 % bootstrap interval of the factor.
    pub interval: Option<(f64, f64)>,
    pub significance: Significance,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    pub setting: usize,
    pub batch_size: Option<i64>,
    pub measure: Measure,
    /// The strategy with the least median.
    pub best: String,
    pub n_run: usize,
    /// The others, fastest first.
    pub comparisons: Vec<Comparison>,
}

impl Verdict {
    /// Whether the fastest is distinguishable from all others.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.comparisons.iter().all(|comparison| comparison.significance == Significance::Slower)
    }

    #[must_use]
    pub fn slowest(&self) -> Option<&Comparison> {
        self.comparisons.last()
    }
}

/// Compares the strategies of every setting at every batch size where there are at least two.
#[must_use]
pub fn verdicts(settings: &[Setting]) -> Vec<Verdict> {
    let of_setting = |(index, setting): (usize, &Setting)| {
        let sizes = setting.batch_sizes().into_iter();
        sizes.filter_map(|size| verdict(setting, index, size)).collect::<Vec<_>>()
    };
    settings.iter().enumerate().flat_map(of_setting).collect()
}

fn verdict(setting: &Setting, index: usize, batch_size: Option<i64>) -> Option<Verdict> {
    let timed = |group: &&Group| group.runs.iter().any(|run| run.times.is_some());
    let groups: Vec<&Group> = setting.at(batch_size).filter(timed).collect();
    let knows_graphs = |run: &Run| run.times.is_none() || run.work.is_some();
    let measure = if groups.iter().all(|group| group.runs.iter().all(knows_graphs)) {
        Measure::TimePerGraph
    } else {
        Measure::TimePerStep
    };
    let mut ordered = by_time(&groups, measure);
    ordered.sort_by(|a, b| a.1.total_cmp(&b.1));
    let ((best, _), others) = ordered.split_first()?;
    if others.is_empty() {
        return None;
    }
    let sample = |group: &Group| group.sample(|run| measure.of(run));
    let mut comparisons: Vec<Comparison> =
        others.iter().map(|(group, _)| comparison(group, best, measure)).collect();
    comparisons.sort_by(|a, b| a.factor.total_cmp(&b.factor));
    Some(Verdict {
        setting: index,
        batch_size,
        measure,
        best: best.batcher.clone(),
        n_run: sample(best).len(),
        comparisons,
    })
}

/// A typical time of each strategy: over the blocks that all of them share, if there are any, else over
/// runs. Other blocks do not count: the machine may have been slow in them.
fn by_time<'a>(groups: &[&'a Group], measure: Measure) -> Vec<(&'a Group, f64)> {
    let all: Vec<Cells<'_>> = groups.iter().map(|group| Cells::of(group)).collect();
    let shared = shared_cells(groups);
    let typical = |(group, cells): (&Group, &Cells<'_>)| {
        if measure == Measure::TimePerStep || shared.is_empty() {
            return median(&group.sample(|run| measure.of(run)));
        }
        let of_cell = |cell: &&str| {
            let is_shared = |block: &i64| all.iter().all(|other| other.0[cell].contains_key(block));
            let blocks = cells.0.get(cell)?.iter().filter(|(block, _)| is_shared(block));
            let logs: Vec<f64> = blocks.map(|(_, ns)| ns.ln()).collect();
            mean(&logs)
        };
        mean(&shared.iter().filter_map(of_cell).collect::<Vec<_>>()).map(f64::exp)
    };
    let with_time = groups.iter().zip(&all).map(|(group, cells)| (*group, typical((group, cells))));
    with_time.filter_map(|(group, time)| Some((group, time?))).collect()
}

/// The cells in which all of these strategies were trained.
pub(crate) fn shared_cells<'a>(groups: &[&'a Group]) -> Vec<&'a str> {
    let cells: Vec<Cells<'a>> = groups.iter().map(|group| Cells::of(group)).collect();
    let is_shared = |cell: &&str| cells.iter().all(|of_group| of_group.0.contains_key(cell));
    cells.first().into_iter().flat_map(|first| first.0.keys().copied()).filter(is_shared).collect()
}

/// Nanoseconds per real graph of one strategy, by cell and block.
struct Cells<'a>(BTreeMap<&'a str, BTreeMap<i64, f64>>);

impl<'a> Cells<'a> {
    fn of(group: &'a Group) -> Self {
        let mut cells: BTreeMap<&str, BTreeMap<i64, f64>> = BTreeMap::new();
        for run in &group.runs {
            let Some(cell) = run.cell.as_deref().filter(|_| !run.blocks.is_empty()) else {
                continue;
            };
            let blocks = cells.entry(cell).or_default();
            blocks.extend(run.blocks.iter().map(|block| (block.number, block.ns_per_output())));
        }
        Self(cells)
    }

    /// The pairs of blocks of every cell that both have.
    fn pairs(&self, other: &Self) -> Vec<Vec<(f64, f64)>> {
        let of_cell = |(cell, blocks): (&&str, &BTreeMap<i64, f64>)| {
            let others = other.0.get(cell)?;
            let pair = |(number, ns): (&i64, &f64)| Some((*ns, *others.get(number)?));
            let pairs: Vec<_> = blocks.iter().filter_map(pair).collect();
            (!pairs.is_empty()).then_some(pairs)
        };
        self.0.iter().filter_map(of_cell).collect()
    }
}

fn comparison(group: &Group, best: &Group, measure: Measure) -> Comparison {
    let sample = |group: &Group| group.sample(|run| measure.of(run));
    let (own, of_best) = (sample(group), sample(best));
    let pairs = match measure {
        Measure::TimePerGraph => Cells::of(group).pairs(&Cells::of(best)),
        Measure::TimePerStep => Vec::new(),
    };
    let (factor, interval, unit) = if let Some(factor) = ratio_of_blocks(&pairs) {
        let ratio = interval_of_blocks(&pairs, CONFIDENCE, SEED).ok();
        let (n_block, n_cell) = (pairs.iter().map(Vec::len).sum(), pairs.len());
        let unit = match ratio.map(|ratio| ratio.replication) {
            Some(Replication::Cells) => Unit::Cells { n_cell, n_block },
            _ => Unit::Blocks { n_block, n_cell },
        };
        (factor, ratio.map(|ratio| ratio.interval), unit)
    } else {
        let interval = ratio_of_medians(&own, &of_best, pairing(group, best), CONFIDENCE, SEED);
        let centre = |sample: &[f64]| median(sample).unwrap_or(f64::NAN);
        let unit = Unit::Runs { n_best: of_best.len(), n_rival: own.len() };
        (centre(&own) / centre(&of_best), interval.ok(), unit)
    };
    let significance = match &interval {
        None => Significance::TooFew,
        Some(interval) if interval.low > 1.0 => Significance::Slower,
        Some(_) => Significance::NotDistinguishable,
    };
    let interval = interval.map(|interval| (interval.low, interval.high));
    Comparison {
        batcher: group.batcher.clone(),
        n_run: own.len(),
        factor,
        unit,
        interval,
        significance,
    }
}

/// Runs are paired if both strategies were run with the same seeds, each once. Runs are ordered by
/// identifier, that is by time, so their order must be equal too.
fn pairing(a: &Group, b: &Group) -> Pairing {
    let seeds = |group: &Group| {
        let timed = group.runs.iter().filter(|run| run.times.is_some());
        timed.map(|run| run.seeds).collect::<Vec<_>>()
    };
    let (a, b) = (seeds(a), seeds(b));
    let is_known = a.iter().flatten().all(Option::is_some);
    if a == b && is_known { Pairing::Paired } else { Pairing::Independent }
}

#[must_use]
pub fn sentence(verdict: &Verdict) -> String {
    let (size, best) = (size_name(verdict.batch_size), &verdict.best);
    let head = format!("B = {size}: {best}");
    let of = |significance| {
        let found = verdict
            .comparisons
            .iter()
            .filter(move |comparison| comparison.significance == significance);
        found.collect::<Vec<_>>()
    };
    let list = |comparisons: &[&Comparison], text: fn(&Comparison) -> String| {
        comparisons.iter().map(|comparison| text(comparison)).collect::<Vec<_>>().join(", ")
    };
    let mut parts = Vec::new();
    let equals = of(Significance::NotDistinguishable);
    if !equals.is_empty() {
        let names = list(&equals, |comparison| comparison.batcher.clone());
        parts.push(format!("not distinguishable from {names}"));
    }
    let slower = of(Significance::Slower);
    if !slower.is_empty() {
        let factors = list(&slower, |comparison| {
            let interval = comparison.interval.map_or_else(String::new, |(low, high)| {
                // A bound close to 1 must not look like 1.
                let digits = if low < 1.005 { 3 } else { 2 };
                format!(" [{low:.digits$}, {high:.digits$}]")
            });
            format!("{}{interval} as fast as {}", factor(comparison.factor), comparison.batcher)
        });
        parts.push(factors);
    }
    let few = of(Significance::TooFew);
    if !few.is_empty() {
        let factors = list(&few, |comparison| {
            format!("{} as fast as {}", factor(comparison.factor), comparison.batcher)
        });
        let mut units: Vec<String> = few.iter().map(|comparison| comparison.unit.name()).collect();
        units.dedup();
        let are = if units == ["1 run"] { "is" } else { "are" };
        let units = units.join(" and ");
        parts.push(format!("{factors}, but {units} {are} too few for an interval"));
    }
    let sure = verdict.comparisons.iter().filter(|comparison| comparison.interval.is_some());
    let mut units: Vec<String> = sure.map(|comparison| comparison.unit.name()).collect();
    units.dedup();
    let units = if units.is_empty() { String::new() } else { format!(" ({})", units.join("; ")) };
    format!("{head}, {}{units}.", parts.join("; "))
}
