//! Which strategy, by what factor, how sure.

use batchlab_stats::{Pairing, median, ratio_of_medians};
use serde::Serialize;

use crate::number::factor;
use crate::read::Run;
use crate::setting::{Group, Setting, size_name};

/// Confidence of all intervals.
const CONFIDENCE: f64 = 0.95;
/// Seed of the bootstrap: equal results give equal reports.
const SEED: u64 = 1;

/// What strategies are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Measure {
    /// Time of training per real graph: fair to strategies that put different numbers of graphs
    /// into a step.
    TimePerGraph,
    /// Mean time of a step, where the number of graphs in a step is not known.
    TimePerStep,
}

impl Measure {
    /// For a sentence.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TimePerGraph => "time per graph",
            Self::TimePerStep => "time per step",
        }
    }

    fn of(self, run: &Run) -> Option<f64> {
        match self {
            Self::TimePerGraph => run.work.as_ref().map(|work| 1.0 / work.graphs_per_s),
            Self::TimePerStep => run.times.as_ref().map(|times| times.combined_mean),
        }
    }
}

/// How a strategy stands to the fastest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Standing {
    /// The interval of the factor lies above 1.
    Slower,
    /// The interval of the factor contains 1.
    NotDistinguishable,
    /// There are too few runs for an interval.
    TooFewRuns,
}

/// Another strategy than the fastest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rival {
    /// Its name.
    pub batcher: String,
    /// Number of runs.
    pub n_run: usize,
    /// Its median over that of the fastest.
    pub factor: f64,
    /// 95 % bootstrap interval of the factor, over runs.
    pub interval: Option<(f64, f64)>,
    /// What follows.
    pub standing: Standing,
}

/// One setting at one batch size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Index of the setting.
    pub setting: usize,
    /// B.
    pub batch_size: Option<i64>,
    /// What is compared.
    pub measure: Measure,
    /// The strategy with the least median.
    pub best: String,
    /// Its number of runs.
    pub n_run: usize,
    /// The others, fastest first.
    pub rivals: Vec<Rival>,
}

impl Verdict {
    /// Whether the fastest is told apart from all others.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.rivals.iter().all(|rival| rival.standing == Standing::Slower)
    }

    /// The slowest strategy, if there is more than one.
    #[must_use]
    pub fn slowest(&self) -> Option<&Rival> {
        self.rivals.last()
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
    let groups: Vec<&Group> = setting.at(batch_size).collect();
    let knows_graphs = groups.iter().all(|g| g.runs.iter().all(|run| run.work.is_some()));
    let measure = if knows_graphs { Measure::TimePerGraph } else { Measure::TimePerStep };
    let mut samples: Vec<(&Group, Vec<f64>, f64)> = groups
        .into_iter()
        .filter_map(|group| {
            let sample = group.sample(|run| measure.of(run));
            let centre = median(&sample)?;
            Some((group, sample, centre))
        })
        .collect();
    samples.sort_by(|a, b| a.2.total_cmp(&b.2));
    let ((best, best_sample, best_centre), others) = samples.split_first()?;
    if others.is_empty() {
        return None;
    }
    let rivals = others.iter().map(|(group, sample, centre)| {
        let pairing = pairing(group, best);
        let interval = ratio_of_medians(sample, best_sample, pairing, CONFIDENCE, SEED).ok();
        let standing = match &interval {
            None => Standing::TooFewRuns,
            Some(interval) if interval.low > 1.0 => Standing::Slower,
            Some(_) => Standing::NotDistinguishable,
        };
        Rival {
            batcher: group.batcher.clone(),
            n_run: sample.len(),
            factor: centre / best_centre,
            interval: interval.map(|interval| (interval.low, interval.high)),
            standing,
        }
    });
    Some(Verdict {
        setting: index,
        batch_size,
        measure,
        best: best.batcher.clone(),
        n_run: best_sample.len(),
        rivals: rivals.collect(),
    })
}

/// Runs belong together in pairs where both strategies were run with the same seeds, each once.
/// Runs are ordered by identifier, that is by time, so that their order is compared as well.
fn pairing(a: &Group, b: &Group) -> Pairing {
    let seeds = |group: &Group| group.runs.iter().map(|run| run.seeds).collect::<Vec<_>>();
    let (a, b) = (seeds(a), seeds(b));
    let is_known = a.iter().flatten().all(Option::is_some);
    if a == b && is_known { Pairing::Paired } else { Pairing::Independent }
}

/// A verdict in words.
#[must_use]
pub fn sentence(verdict: &Verdict) -> String {
    let (size, best) = (size_name(verdict.batch_size), &verdict.best);
    let head = format!("B = {size}: {best}");
    let of = |standing| {
        let found = verdict.rivals.iter().filter(move |rival| rival.standing == standing);
        found.collect::<Vec<_>>()
    };
    let list = |rivals: &[&Rival], text: fn(&Rival) -> String| {
        rivals.iter().map(|rival| text(rival)).collect::<Vec<_>>().join(", ")
    };
    let mut parts = Vec::new();
    let equals = of(Standing::NotDistinguishable);
    if !equals.is_empty() {
        let names = list(&equals, |rival| rival.batcher.clone());
        parts.push(format!("not distinguishable from {names}"));
    }
    let slower = of(Standing::Slower);
    if !slower.is_empty() {
        let factors = list(&slower, |rival| {
            let interval = rival.interval.map_or_else(String::new, |(low, high)| {
                // An end beside 1 must not look like 1.
                let digits = if low < 1.005 { 3 } else { 2 };
                format!(" [{low:.digits$}, {high:.digits$}]")
            });
            format!("{}{interval} as fast as {}", factor(rival.factor), rival.batcher)
        });
        parts.push(factors);
    }
    let few = of(Standing::TooFewRuns);
    if !few.is_empty() {
        let factors =
            list(&few, |rival| format!("{} as fast as {}", factor(rival.factor), rival.batcher));
        let least = few.iter().map(|rival| rival.n_run).min().unwrap_or(0).min(verdict.n_run);
        let runs = if least == 1 { "1 run is".to_owned() } else { format!("{least} runs are") };
        parts.push(format!("{factors}, but {runs} too few to say how sure that is"));
    }
    format!("{head}, {}.", parts.join("; "))
}
