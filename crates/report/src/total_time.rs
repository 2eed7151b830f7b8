//! Total time as a function of the length of training, when first uses of padded shapes cost time.
//!
//! XLA compiles once per padded shape, so a strategy with fast steps and many shapes loses short
//! trainings and wins long ones. After N steps of each strategy, training has taken per real graph
//!
//! ```text
//! c(N) = k + C S(N) / (g N)
//! ```
//!
//! with k the time per real graph of steps whose shape is not new, C the extra cost of the first
//! use of a shape, S(N) the number of distinct shapes in the first N steps, and g the real graphs
//! per step. All statements hold simultaneously for all N at the level of the verdict, 95 % at
//! first. The error probability is divided into 3/5 for the ratios of k (the procedure of the
//! verdict), 1/5 for C and 1/5 for k itself, each divided among the strategies.

mod words;

use batchlab_forecast::census::ShapeCurve;
use batchlab_results::NewShapes;
use batchlab_stats::{compare_with, difference, mean, mean_interval, pooled_intervals};
use serde::Serialize;

use crate::Questions;
use crate::read::Run;
use crate::setting::{Group, Setting, is_own_engine};
use crate::verdict::{History, Measure, Table};

pub use words::text as total_time_text;
pub(crate) use words::{cost, span_text};

/// Shares of the error probability for the ratios of known steps, the costs of a shape, and the
/// times of known steps.
const SHARES: [f64; 3] = [0.6, 0.2, 0.2];
/// Range of training lengths considered, in steps.
const LENGTHS: (f64, f64) = (1e2, 1e7);
/// Number of lengths per decade.
const PER_DECADE: i32 = 20;
/// New shapes matter if they take more than this share of a strategy's time.
const WORTH_MENTIONING: f64 = 0.01;

/// Plans when the strategy of a run meets new shapes in a longer training, if that is possible.
pub type PlanShapes<'a> = dyn Fn(&Run) -> Option<ShapeCurve> + 'a;

/// A number with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// The strategies of a setting at one batch size, against the length of training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TotalTime {
    pub setting: usize,
    pub batch_size: Option<i64>,
    /// Whether the cost of a shape was assumed (`--compile-cost`) instead of measured.
    pub is_assumed: bool,
    /// Whether to show this beside the verdict, because the length of training may be decisive or
    /// was asked about.
    pub matters: bool,
    pub strategies: Vec<StrategyTime>,
    /// Strategies that may be the fastest, by length of training; together the spans cover 100
    /// steps to 10 million.
    pub spans: Vec<Span>,
    /// Results at the requested length.
    pub asked: Option<AtLength>,
    /// Strategies left out because most of their steps have a new shape.
    pub apart: Vec<String>,
}

/// One strategy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StrategyTime {
    pub batcher: String,
    /// Nanoseconds per real graph for steps whose shape is not new.
    pub known_ns: Interval,
    /// Extra seconds for the first use of a shape.
    pub shape_s: Interval,
    /// Number of distinct shapes in a run.
    pub n_shape: f64,
    /// Share of first uses in the total time of the runs.
    pub share: f64,
    /// Steps up to which shapes are counted; beyond that their number is extrapolated.
    pub n_step_counted: u64,
    /// Points (length of training in steps, distinct shapes so far, nanoseconds per real graph).
    pub course: Vec<(f64, f64, Interval)>,
}

/// A range of training lengths in which the same strategies may be the fastest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// First length, in steps.
    pub from: u64,
    /// Indices of `strategies`.
    pub may_be_fastest: Vec<usize>,
}

/// The strategies at one length of training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AtLength {
    pub n_step: u64,
    pub may_be_fastest: Vec<usize>,
    /// Time per real graph relative to the fastest strategy, for each strategy.
    pub over_fastest: Vec<Interval>,
    /// Seconds for this many steps, for each strategy.
    pub total_s: Vec<Interval>,
}

/// All settings and batch sizes with at least two comparable strategies.
#[must_use]
pub fn total_times(
    settings: &[Setting],
    questions: &Questions,
    plan: &PlanShapes<'_>,
) -> Vec<TotalTime> {
    let of_setting = |(index, setting): (usize, &Setting)| {
        let sizes = setting.batch_sizes().into_iter();
        let of_size = |size| total_time((setting, index), size, questions, plan);
        sizes.filter_map(of_size).collect::<Vec<_>>()
    };
    settings.iter().enumerate().flat_map(of_setting).collect()
}

fn total_time(
    (setting, index): (&Setting, usize),
    batch_size: Option<i64>,
    questions: &Questions,
    plan: &PlanShapes<'_>,
) -> Option<TotalTime> {
    let timed = |group: &&Group| group.runs.iter().any(|run| run.steps.parts.is_some());
    let repeats_shapes = |group: &&Group| {
        let mut parts = group.runs.iter().filter_map(|run| run.steps.parts);
        group.runs.iter().all(Run::is_whole) && parts.all(|parts| parts.new_shapes.is_some())
    };
    let (groups, apart): (Vec<&Group>, Vec<&Group>) =
        setting.at(batch_size).filter(timed).partition(repeats_shapes);
    let table = Table::of(&groups, Measure::KnownTimePerGraph)?;
    // batchlab's own engine does not compile; the times of other engines already include
    // compilation.
    let assumed = questions.compile_cost.filter(|_| is_own_engine(&setting.engine));
    let history = History::of(setting, batch_size, &table);
    if history.unfinished.is_some() {
        return None;
    }
    let mut model = Model::of(&table, assumed, history.level())?;
    let matters = model.strategies.iter().any(|costs| costs.share() > WORTH_MENTIONING);
    let is_asked = assumed.is_some() || questions.n_step.is_some();
    if matters || is_asked {
        for (costs, group) in model.strategies.iter_mut().zip(&table.groups) {
            costs.curve = plan(&group.runs[0]).unwrap_or(std::mem::take(&mut costs.curve));
        }
    }
    Some(TotalTime {
        setting: index,
        batch_size,
        is_assumed: assumed.is_some(),
        matters: matters || is_asked,
        spans: model.spans(),
        asked: questions.n_step.map(|n_step| model.at(n_step)),
        strategies: model.strategies.iter().map(Costs::described).collect(),
        apart: apart.iter().map(|group| group.batcher.clone()).collect(),
    })
}

/// Per-strategy values from which the results for every length of training follow.
struct Model {
    strategies: Vec<Costs>,
    /// Intervals of the ratios of known times; `[i][j]` is strategy i over strategy j.
    ratios: Vec<Vec<(f64, f64)>>,
}

struct Costs {
    batcher: String,
    /// Nanoseconds per real graph for steps whose shape is not new.
    per_output: Interval,
    /// Nanoseconds that a new shape costs.
    shape: Interval,
    outputs_per_step: f64,
    n_shape: f64,
    /// Steps of a run.
    n_step: f64,
    curve: ShapeCurve,
}

impl Model {
    /// `None` if there are too few units or shapes for intervals.
    fn of(table: &Table<'_>, assumed: Option<f64>, level: f64) -> Option<Self> {
        let k = table.groups.len();
        let [of_ratios, of_costs, of_known] = SHARES.map(|share| share * level);
        let ratios = ratios(table, of_ratios)?;
        let known = (0..k).map(|i| mean_interval(&table.column(i), of_known / k as f64).ok());
        let known: Vec<Interval> = known.map(|log| Some(exp(log?))).collect::<Option<_>>()?;
        let shapes = match assumed {
            Some(seconds) => {
                let ns = seconds * 1e9;
                vec![Interval { value: ns, low: ns, high: ns }; k]
            }
            None => costs(&table.groups, of_costs)?,
        };
        let strategy = |((group, known), shape): ((&&Group, Interval), Interval)| {
            let parts = |of: fn(&batchlab_results::Parts) -> f64| {
                mean(&group.sample(|run| run.steps.parts.as_ref().map(of)))
            };
            let runs = || group.runs.iter().filter(|run| run.steps.parts.is_some());
            Some(Costs {
                batcher: group.batcher.clone(),
                per_output: known,
                shape,
                outputs_per_step: parts(|parts| parts.outputs_per_step)?,
                n_shape: mean(&group.sample(|run| run.run.n_shape.map(|n| n as f64)))?,
                n_step: runs().next()?.n_step() as f64,
                curve: met(runs().next()?),
            })
        };
        let strategies = table.groups.iter().zip(known).zip(shapes).map(strategy);
        Some(Self { strategies: strategies.collect::<Option<_>>()?, ratios })
    }

    /// Bounds on the ratio of the time per real graph of strategy i to that of strategy j after
    /// `n_step` steps.
    fn ratio(&self, i: usize, j: usize, n_step: f64) -> (f64, f64) {
        let (over, under) = (&self.strategies[i], &self.strategies[j]);
        let (low, high) = self.ratios[i][j];
        let share = |s: &Costs, cost: f64| cost * s.shapes_per_output(n_step);
        let bound = |known: f64, ratio: f64, cost_i: f64, cost_j: f64| {
            (ratio * known + share(over, cost_i)) / (known + share(under, cost_j))
        };
        let both = |ratio: f64, cost_i: f64, cost_j: f64| {
            [under.per_output.low, under.per_output.high]
                .map(|known| bound(known, ratio, cost_i, cost_j))
        };
        let lows = both(low, over.shape.low, under.shape.high);
        let highs = both(high, over.shape.high, under.shape.low);
        (lows[0].min(lows[1]), highs[0].max(highs[1]))
    }

    fn others(&self, i: usize) -> impl Iterator<Item = usize> {
        (0..self.strategies.len()).filter(move |&j| j != i)
    }

    fn may_be_fastest(&self, n_step: f64) -> Vec<usize> {
        let is_slower = |i: usize| self.others(i).any(|j| self.ratio(i, j, n_step).0 > 1.0);
        (0..self.strategies.len()).filter(|&i| !is_slower(i)).collect()
    }

    fn at(&self, n_step: u64) -> AtLength {
        let n = n_step as f64;
        let set = self.may_be_fastest(n);
        let means: Vec<f64> = self.strategies.iter().map(|s| s.time(n).value).collect();
        let least = means.iter().copied().fold(f64::INFINITY, f64::min);
        let over = |i: usize| {
            let bounds = |j: usize| self.ratio(i, j, n);
            let low = self.others(i).map(|j| bounds(j).0).fold(1.0, f64::max);
            let high = self.others(i).filter(|j| set.contains(j)).map(|j| bounds(j).1);
            Interval { value: means[i] / least, low, high: high.fold(1.0, f64::max) }
        };
        let total = |s: &Costs| s.time(n).times(n * s.outputs_per_step / 1e9);
        AtLength {
            n_step,
            over_fastest: (0..self.strategies.len()).map(over).collect(),
            total_s: self.strategies.iter().map(total).collect(),
            may_be_fastest: set,
        }
    }

    /// The ranges between which the set of possibly fastest strategies changes.
    fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut before = 0;
        for length in lengths() {
            let may_be_fastest = self.may_be_fastest(length);
            #[allow(
                clippy::cast_sign_loss,
                clippy::cast_possible_truncation,
                reason = "from 100 to 10 million"
            )]
            let length = length.round() as u64;
            if let Some(last) = spans.last()
                && last.may_be_fastest == may_be_fastest
            {
                before = length;
                continue;
            }
            let (mut below, mut from) = (before, length);
            while from - below > 1 && !spans.is_empty() {
                let middle = below + (from - below) / 2;
                let is_new = self.may_be_fastest(middle as f64) == may_be_fastest;
                if is_new { from = middle } else { below = middle }
            }
            spans.push(Span { from, may_be_fastest });
            before = length;
        }
        spans
    }
}

impl Costs {
    fn shapes_per_output(&self, n_step: f64) -> f64 {
        self.shapes_after(n_step) / (self.outputs_per_step * n_step)
    }

    fn shapes_after(&self, n_step: f64) -> f64 {
        #[allow(
            clippy::cast_sign_loss,
            clippy::cast_possible_truncation,
            reason = "from 1 to 10 million"
        )]
        let n_step = n_step.round() as u64;
        self.curve.after(n_step).n_shape
    }

    /// Nanoseconds per real graph.
    fn time(&self, n_step: f64) -> Interval {
        let shapes = self.shapes_per_output(n_step);
        let at = |known: f64, shape: f64| known + shape * shapes;
        Interval {
            value: at(self.per_output.value, self.shape.value),
            low: at(self.per_output.low, self.shape.low),
            high: at(self.per_output.high, self.shape.high),
        }
    }

    /// Share of first uses in the total time of a run.
    fn share(&self) -> f64 {
        let first_uses = self.shape.value * self.n_shape;
        first_uses / (first_uses + self.per_output.value * self.outputs_per_step * self.n_step)
    }

    fn described(&self) -> StrategyTime {
        let point = |n_step: f64| (n_step, self.shapes_after(n_step), self.time(n_step));
        StrategyTime {
            batcher: self.batcher.clone(),
            known_ns: self.per_output,
            shape_s: self.shape.times(1e-9),
            n_shape: self.n_shape,
            share: self.share(),
            n_step_counted: self.curve.n_step,
            course: lengths().map(point).collect(),
        }
    }
}

impl Interval {
    fn times(self, factor: f64) -> Self {
        let Self { value, low, high } = self;
        Self { value: value * factor, low: low * factor, high: high * factor }
    }
}

fn lengths() -> impl Iterator<Item = f64> {
    let n = (LENGTHS.1 / LENGTHS.0).log10().round() as i32 * PER_DECADE;
    (0..=n).map(|i| LENGTHS.0 * 10_f64.powf(f64::from(i) / f64::from(PER_DECADE)))
}

fn exp((low, value, high): (f64, f64, f64)) -> Interval {
    Interval { value: value.exp(), low: low.exp(), high: high.exp() }
}

/// Intervals of the ratios of all pairs.
fn ratios(table: &Table<'_>, level: f64) -> Option<Vec<Vec<(f64, f64)>>> {
    let k = table.groups.len();
    let n_pair = (k * (k - 1) / 2) as f64;
    let of_pair = |i: usize, j: usize| match i {
        i if i == j => Some((0.0, 0.0)),
        i => difference(&table.rows[i], &table.rows[j], level / n_pair).ok(),
    };
    let over = |j: usize| {
        if table.is_paired() {
            // Every strategy against j is k - 1 comparisons; at this level, each pair gets an equal
            // share.
            return compare_with(j, &table.rows, level * 2.0 / k as f64).ok();
        }
        (0..k).map(|i| of_pair(i, j)).collect()
    };
    let columns: Vec<Vec<(f64, f64)>> = (0..k).map(over).collect::<Option<_>>()?;
    let row = |i: usize| columns.iter().map(|over| (over[i].0.exp(), over[i].1.exp())).collect();
    Some((0..k).map(row).collect())
}

/// Nanoseconds that a first use of a shape costs each strategy. The spread is pooled over all
/// strategies, since one of them may have a single shape.
fn costs(groups: &[&Group], level: f64) -> Option<Vec<Interval>> {
    let of_group = |group: &&Group| {
        let shapes = group.runs.iter().map(|run| &run.steps.new_shapes).filter(|new| new.n > 0);
        let (n, sum) =
            shapes.clone().fold((0.0, 0.0), |(n, sum), new| (n + new.n as f64, sum + excess(new)));
        let mean = sum / n;
        let square = |new: &NewShapes| new.squares + new.n as f64 * (new.excess_ns - mean).powi(2);
        (n, mean, shapes.map(square).sum::<f64>())
    };
    let samples: Vec<(f64, f64, f64)> = groups.iter().map(of_group).collect();
    let intervals = pooled_intervals(&samples, level).ok()?;
    let interval = |(low, value, high): (f64, f64, f64)| {
        // A first use faster than the others did not have a negative cost.
        let [value, low, high] = [value, low, high].map(|ns| ns.max(0.0));
        Interval { value, low, high }
    };
    Some(intervals.into_iter().map(interval).collect())
}

fn excess(new: &NewShapes) -> f64 {
    new.n as f64 * new.excess_ns
}

/// The shapes met by the run itself.
fn met(run: &Run) -> ShapeCurve {
    let new = &run.steps.new_shapes;
    ShapeCurve {
        first_steps: new.first_steps.clone(),
        n_step: u64::try_from(run.steps.n_step).unwrap_or_default(),
        n_once: new.n_once,
        n_twice: new.n_twice,
    }
}
