//! Which strategies may be the fastest, by what factor the others are slower, and with what
//! confidence.

mod disturbed;
mod errors;
mod history;
mod left_out;
mod rows;
mod terminal;
mod words;

use batchlab_results::Block;
use batchlab_stats::{
    FEW_PAIRS, Standing, StatsError, compare_independent, compare_with, compare_with_best,
    level_of_verdict, median, pairs_needed,
};
use serde::Serialize;

use crate::Questions;
use crate::read::Run;
use crate::setting::{Group, Setting};

pub use disturbed::Disturbance;
use disturbed::disturbances;
use errors::Error;
pub(crate) use history::History;
pub use history::Unfinished;
pub use left_out::LeftOutPair;
use left_out::left_out;
pub(crate) use rows::{Table, shared_cells};
pub use terminal::text;
pub use words::{caveats, fastest, sentence};

/// Autocorrelation of neighbouring pairs above which it is mentioned, from ten pairs on.
const ALIKE: f64 = 0.3;
const ENOUGH_TO_BE_ALIKE: usize = 10;
/// Ratio of the noise of two strategies above which it is mentioned.
const NOISIER: f64 = 2.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Measure {
    /// Training time per real graph: fair to strategies that put different numbers of graphs into a
    /// step.
    TimePerGraph,
    /// Training time per real graph, for steps whose shape is not new.
    KnownTimePerGraph,
    /// Mean step time, if the number of graphs in a step is unknown.
    TimePerStep,
}

impl Measure {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TimePerGraph => "time per graph",
            Self::KnownTimePerGraph => "time per graph of known shapes",
            Self::TimePerStep => "time per step",
        }
    }

    fn of(self, run: &Run) -> Option<f64> {
        match self {
            Self::TimePerGraph => run.steps.work.as_ref().map(|work| 1.0 / work.outputs_per_s),
            Self::KnownTimePerGraph => {
                run.steps.parts.map(|parts| parts.total - parts.new_shapes.unwrap_or(0.0))
            }
            Self::TimePerStep => run.steps.times.as_ref().map(|times| times.combined_mean),
        }
    }

    /// The same quantity for a block; `None` if blocks do not have it.
    fn of_block(self) -> Option<fn(&Block) -> f64> {
        match self {
            Self::TimePerGraph => Some(Block::ns_per_output),
            Self::KnownTimePerGraph => Some(Block::known_ns_per_output),
            Self::TimePerStep => None,
        }
    }
}

/// The unit of replication of a comparison, with the number of replicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Unit {
    /// Mirrored pairs of blocks of cells in which all strategies were interleaved. The conclusion
    /// holds for these cells, that is, for their seeds.
    Pairs { n_pair: usize, n_cell: usize },
    /// Cells, each with its own seeds and process.
    Cells { n_cell: usize, n_pair: usize },
    /// Seeds with which every strategy was trained, each in a separate process.
    Seeds { n_seed: usize },
    /// Unpaired runs.
    Runs { least: usize, most: usize },
}

impl Unit {
    /// The number of replicates.
    #[must_use]
    pub fn n(self) -> usize {
        match self {
            Self::Pairs { n_pair, .. } => n_pair,
            Self::Cells { n_cell, .. } => n_cell,
            Self::Seeds { n_seed } => n_seed,
            Self::Runs { least, .. } => least,
        }
    }
}

/// What a comparison concludes about one strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    MayBeFastest,
    Slower,
    /// Too few replicates for a conclusion.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Strategy {
    pub batcher: String,
    pub n_run: usize,
    /// Time relative to the strategy with the lowest time: `exp` of the mean difference of
    /// logarithms.
    pub factor: f64,
    /// The same factor, as the ratio of total times.
    pub factor_of_totals: f64,
    /// Interval of the time relative to the fastest, whichever that is. It begins at 1 for every
    /// strategy that may be the fastest.
    pub interval: Option<(f64, f64)>,
    pub place: Conclusion,
    /// Whether it is within the margin of the fastest.
    pub is_within_margin: bool,
    /// Error (or accuracy) after the last step, median over its runs.
    pub error: Option<f64>,
    /// Factor and interval against the reference named beforehand, if any.
    pub over_reference: Option<(f64, (f64, f64))>,
}

/// A strategy that could not be compared with the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Apart {
    pub batcher: String,
    pub why: &'static str,
}

/// How many more pairs a clearer result needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Outlook {
    /// Number of pairs that shows a difference of the margin with 80 % power: an estimate, and a
    /// number that suffices in 8 of 10 cases.
    pub n_plain: u64,
    pub n_safe: u64,
}

/// The strategies of a setting at one batch size. All statements hold simultaneously with
/// probability `1 - level`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    pub setting: usize,
    pub batch_size: Option<i64>,
    pub measure: Measure,
    pub unit: Unit,
    pub level: f64,
    /// Differences up to this share count as equal.
    pub margin: f64,
    /// All compared strategies, fastest first.
    pub strategies: Vec<Strategy>,
    pub apart: Vec<Apart>,
    pub reference: Option<String>,
    /// Residual standard deviation of the logarithms, after unit and strategy effects.
    pub sd: Option<f64>,
    /// Autocorrelation of neighbouring pairs, if large enough to be mentioned.
    pub memory: Option<f64>,
    /// Largest ratio of the noise of two strategies, if large enough to be mentioned.
    pub noise_ratio: Option<f64>,
    pub outlook: Option<Outlook>,
    /// Mean training time in seconds of a mirrored pair of blocks, all strategies together.
    pub pair_s: Option<f64>,
    /// Name and unit of the strategies' errors.
    pub error: Option<String>,
    /// Number of interim looks at which a cell might have stopped; they share the level.
    pub n_look: i64,
    /// Number of this verdict about these strategies, from 1. Later verdicts get a smaller part of
    /// the level.
    pub n_verdict: usize,
    /// Set while cells are pending; no conclusion is drawn yet.
    pub unfinished: Option<Unfinished>,
    /// Pairs excluded from the comparison.
    pub left_out: Vec<LeftOutPair>,
    /// Conditions that were not the same for all strategies.
    pub disturbances: Vec<Disturbance>,
}

impl Verdict {
    pub fn may_be_fastest(&self) -> impl Iterator<Item = &Strategy> {
        self.strategies.iter().filter(|strategy| strategy.place == Conclusion::MayBeFastest)
    }

    /// The strategy that is faster than all others, if one is.
    #[must_use]
    pub fn fastest(&self) -> Option<&Strategy> {
        let mut set = self.may_be_fastest();
        set.next().filter(|_| set.next().is_none())
    }

    /// Whether all strategies that may be the fastest are equal within the margin.
    #[must_use]
    pub fn is_tie(&self) -> bool {
        self.may_be_fastest().count() > 1 && self.may_be_fastest().all(|s| s.is_within_margin)
    }

    /// Whether there are enough replicates for a conclusion.
    #[must_use]
    pub fn has_intervals(&self) -> bool {
        self.strategies.iter().all(|strategy| strategy.interval.is_some())
    }

    #[must_use]
    pub fn has_few_pairs(&self) -> bool {
        self.has_intervals() && self.unit.n() < FEW_PAIRS
    }
}

/// Compares the strategies of every setting at every batch size with at least two of them.
#[must_use]
pub fn verdicts(settings: &[Setting], questions: &Questions) -> Vec<Verdict> {
    let of_setting = |(index, setting): (usize, &Setting)| {
        let sizes = setting.batch_sizes().into_iter();
        sizes.filter_map(|size| verdict(setting, index, size, questions)).collect::<Vec<_>>()
    };
    settings.iter().enumerate().flat_map(of_setting).collect()
}

fn verdict(
    setting: &Setting,
    index: usize,
    batch_size: Option<i64>,
    questions: &Questions,
) -> Option<Verdict> {
    let timed = |group: &&Group| group.runs.iter().any(|run| run.steps.times.is_some());
    // The others compute a different function, so a fast step alone is no advantage.
    let is_whole = |group: &&Group| group.runs.iter().all(Run::is_whole);
    let (groups, choosing): (Vec<&Group>, Vec<&Group>) =
        setting.at(batch_size).filter(timed).partition(is_whole);
    let knows_graphs = |run: &Run| run.steps.times.is_none() || run.steps.work.is_some();
    let measure = if groups.iter().all(|group| group.runs.iter().all(knows_graphs)) {
        Measure::TimePerGraph
    } else {
        Measure::TimePerStep
    };
    let mut table = Table::of(&groups, measure)?;
    table.apart.extend(choosing.into_iter().map(|group| Apart {
        batcher: group.batcher.clone(),
        why: "it chooses among nodes or edges; compare the time to an accuracy",
    }));
    let reference = questions.reference.as_ref();
    let reference = reference.and_then(|name| table.groups.iter().position(|g| g.batcher == *name));
    let history = History::of(setting, batch_size, &table);
    let History { n_verdict, n_look, unfinished } = history;
    let level = history.level();
    let found = Found::of(&table, level).ok().filter(|_| unfinished.is_none());
    let over = reference.filter(|_| found.is_some());
    let over = over.and_then(|reference| table.over(reference, level));
    let least = |numbers: &[f64]| numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let means = table.means();
    let error = Error::of_groups(setting, &table.groups);
    let (least_mean, fastest) = (least(&means), place_of_least(&means));
    let strategy = |(i, group): (usize, &&Group)| {
        let standing = found.as_ref().map(|found| found.standings[i]);
        Strategy {
            batcher: group.batcher.clone(),
            n_run: group.sample(|run| measure.of(run)).len(),
            factor: (means[i] - least_mean).exp(),
            factor_of_totals: table.totals[i] / table.totals[fastest],
            interval: standing.map(|standing| (standing.low(), standing.high())),
            place: match standing {
                None => Conclusion::Unknown,
                Some(standing) if standing.may_be_best => Conclusion::MayBeFastest,
                Some(_) => Conclusion::Slower,
            },
            error: error.as_ref().and_then(|error| median(&group.sample(|run| error.of(run)))),
            is_within_margin: standing.is_some_and(|s| s.high() <= 1.0 + questions.margin),
            over_reference: over.as_ref().zip(reference).map(|(over, reference)| {
                ((means[i] - means[reference]).exp(), (over[i].0.exp(), over[i].1.exp()))
            }),
        }
    };
    let mut strategies: Vec<Strategy> = table.groups.iter().enumerate().map(strategy).collect();
    strategies.sort_by(|a, b| a.factor.total_cmp(&b.factor));
    let (n, k) = (table.unit.n(), table.groups.len());
    let spread = found.as_ref().and_then(|found| found.spread);
    let outlook = spread.and_then(|spread| {
        let margin = (1.0 + questions.margin).ln();
        // More pairs lead to the next verdict, at its level.
        let (n_plain, n_safe) = pairs_needed(k, n, spread.sd, margin, history.next_level())?;
        Some(Outlook { n_plain, n_safe })
    });
    let memory = spread.map(|spread| spread.memory);
    let is_alike = |memory: &f64| n >= ENOUGH_TO_BE_ALIKE && memory + 1.0 / n as f64 > ALIKE;
    Some(Verdict {
        setting: index,
        batch_size,
        measure,
        unit: table.unit,
        level: level_of_verdict(n_verdict),
        margin: questions.margin,
        strategies,
        apart: table.apart,
        reference: reference.map(|i| table.groups[i].batcher.clone()),
        sd: spread.map(|spread| spread.sd),
        memory: memory.filter(is_alike),
        noise_ratio: table.noise_ratio.filter(|ratio| k == 2 && *ratio >= NOISIER),
        outlook,
        pair_s: table.pair_ns.map(|ns| ns / 1e9),
        error: error.map(Error::name),
        n_look,
        n_verdict,
        unfinished,
        left_out: left_out(&table.groups, &table.cells),
        disturbances: disturbances(&table.groups),
    })
}

fn place_of_least(numbers: &[f64]) -> usize {
    let places = 0..numbers.len();
    places.min_by(|&i, &j| numbers[i].total_cmp(&numbers[j])).unwrap_or_default()
}

/// The statistical results.
struct Found {
    standings: Vec<Standing>,
    /// Known if strategies were measured side by side.
    spread: Option<Spread>,
}

#[derive(Clone, Copy)]
struct Spread {
    sd: f64,
    memory: f64,
}

impl Found {
    fn of(table: &Table<'_>, level: f64) -> Result<Self, StatsError> {
        if table.is_paired() {
            let best = compare_with_best(&table.rows, level)?;
            let spread = Some(Spread { sd: best.sd, memory: best.memory });
            return Ok(Self { standings: best.strategies, spread });
        }
        let standings = compare_independent(&table.rows, level)?;
        Ok(Self { standings, spread: None })
    }
}

impl Table<'_> {
    /// Intervals of the log ratios to a strategy named beforehand.
    fn over(&self, reference: usize, level: f64) -> Option<Vec<(f64, f64)>> {
        self.is_paired().then(|| compare_with(reference, &self.rows, level).ok())?
    }
}
