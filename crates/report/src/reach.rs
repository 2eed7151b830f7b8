//! Compares strategies by the time they take to reach an accuracy or an error, including
//! preparation.
//!
//! Strategies that sample nodes or edges compute different functions, so a fast step alone is no
//! advantage; strategies that group graphs differently may need a different number of steps. The
//! unit of replication is the run, that is, the seed. A run that never reaches the goal, because it
//! ended early or diverged, ranks after all that do. It counts in medians, intervals and tests,
//! which depend on the order alone.

use std::fmt::Write;

use batchlab_core::record::EvalRecord;
use batchlab_stats::{holm, median, median_interval, rank_sum};
use serde::Serialize;

use crate::Questions;
use crate::number::short;
use crate::options::{self, Options};
use crate::read::{Results, Run};
use crate::setting::{Group, Setting, after_size, is_in};

/// Probability that any statement of one comparison is wrong.
const LEVEL: f64 = 0.05;
const CONFIDENCE: f64 = 0.95;
/// The subset on which accuracies and errors are measured.
pub(crate) const SUBSET: &str = "validation";

/// What a run is to reach on the validation set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// At least this share of right classes.
    Accuracy(f64),
    /// At most this error, in the unit of the target.
    Rmse(f64),
}

impl Goal {
    fn quantity(self) -> Quantity {
        match self {
            Self::Accuracy(_) => accuracy,
            Self::Rmse(_) => rmse,
        }
    }

    fn is_reached(self, value: f64) -> bool {
        match self {
            Self::Accuracy(accuracy) => value >= accuracy,
            Self::Rmse(rmse) => value <= rmse,
        }
    }

    /// A value with its unit: `81.20 %`, or `1.21 eV`.
    pub(crate) fn in_words(self, value: f64, unit: Option<&str>) -> String {
        match (self, unit) {
            (Self::Accuracy(_), _) => format!("{:.2} %", 100.0 * value),
            (Self::Rmse(_), Some(unit)) => format!("{} {unit}", short(value)),
            (Self::Rmse(_), None) => short(value),
        }
    }
}

/// What is read from an evaluation.
type Quantity = fn(&EvalRecord) -> Option<f64>;

fn accuracy(eval: &EvalRecord) -> Option<f64> {
    eval.accuracy
}

fn rmse(eval: &EvalRecord) -> Option<f64> {
    eval.rmse
}

/// The strategies of a setting at one batch size, fastest to the goal first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeToGoal {
    pub setting: usize,
    pub batch_size: Option<i64>,
    /// The accuracy or the error on the validation set.
    #[serde(flatten)]
    pub goal: Goal,
    /// Unit of the error.
    pub unit: Option<String>,
    /// Whether the goal was given, rather than chosen as the highest accuracy that every strategy
    /// reaches in more than half of its runs.
    pub is_stated: bool,
    pub level: f64,
    /// If there are too few runs to tell any two strategies apart, however different they are: the
    /// number of runs per strategy that could.
    pub n_run_needed: Option<usize>,
    pub strategies: Vec<GoalTime>,
}

/// One strategy. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GoalTime {
    pub batcher: String,
    pub n_run: usize,
    pub n_reached: usize,
    /// Median time; `None` if half of the runs or more never reach the goal.
    pub median: Option<f64>,
    /// Interval of the median and its coverage probability. The upper end is `None` if it lies
    /// beyond the end of training.
    pub interval: Option<(Option<f64>, Option<f64>, f64)>,
    /// Options of the training that were chosen for it.
    #[serde(skip_serializing_if = "Options::is_empty")]
    pub tuned: Options,
    /// Whether no other strategy is known to reach the goal sooner.
    pub may_be_soonest: bool,
    /// Medians over runs: preparation time, epochs per second of training, best validation
    /// accuracy or error, the same on the test set in that state, and peak memory in bytes.
    pub prepare: Option<f64>,
    pub epochs_per_s: Option<f64>,
    pub best: Option<f64>,
    pub test: Option<f64>,
    pub peak_bytes: Option<f64>,
}

impl Run {
    /// For each evaluation, in the order of steps: step, seconds of preparation and training so
    /// far, accuracy.
    pub(crate) fn accuracies(&self, subset: &str) -> Vec<(i64, f64, f64)> {
        self.course(subset, accuracy)
    }

    /// The same for another quantity.
    fn course(&self, subset: &str, of_eval: Quantity) -> Vec<(i64, f64, f64)> {
        let prepare = self.run.prepare_ns.unwrap_or(0);
        let of = |eval: &EvalRecord| {
            let seconds = (prepare + eval.train_ns?) as f64 / 1e9;
            Some((eval.step, seconds, of_eval(eval).filter(|value| value.is_finite())?))
        };
        self.evals.iter().filter(|eval| eval.subset == subset).filter_map(of).collect()
    }

    /// Seconds until the goal is reached; infinite if never.
    fn seconds_to(&self, goal: Goal) -> f64 {
        let mut course = self.course(SUBSET, goal.quantity()).into_iter();
        let found = course.find(|(_, _, value)| goal.is_reached(*value));
        found.map_or(f64::INFINITY, |(_, seconds, _)| seconds)
    }

    /// Step and value of the best validation.
    fn best(&self, goal: Goal) -> Option<(i64, f64)> {
        let score = |value: f64| if matches!(goal, Goal::Rmse(_)) { -value } else { value };
        let all = self.course(SUBSET, goal.quantity());
        // The first of equally good ones, as in early stopping.
        let best = all.into_iter().rev().max_by(|a, b| score(a.2).total_cmp(&score(b.2)))?;
        Some((best.0, best.2))
    }

    fn test_of_best(&self, goal: Goal) -> Option<f64> {
        let (step, _) = self.best(goal)?;
        let test = self.course("test", goal.quantity()).into_iter().find(|(at, ..)| *at == step);
        test.map(|(_, _, value)| value)
    }

    fn epochs_per_s(&self) -> Option<f64> {
        Some(self.steps.work?.outputs_per_s / self.run.n_train? as f64)
    }
}

/// All comparisons, for settings with at least two validation accuracies per run, or as many errors
/// if an error is asked for.
#[must_use]
pub fn reaches(settings: &[Setting], results: &Results, questions: &Questions) -> Vec<TimeToGoal> {
    let of_setting = |(index, setting): (usize, &Setting)| {
        let sizes = setting.batch_sizes().into_iter();
        let reach = move |size| reach(setting, index, size, results, questions);
        sizes.filter_map(reach).collect::<Vec<_>>()
    };
    settings.iter().enumerate().flat_map(of_setting).collect()
}

fn reach(
    setting: &Setting,
    index: usize,
    batch_size: Option<i64>,
    results: &Results,
    questions: &Questions,
) -> Option<TimeToGoal> {
    let having = |quantity: Quantity| -> Vec<&Group> {
        let has_some = |run: &Run| run.untimed.is_none() && run.course(SUBSET, quantity).len() > 1;
        setting.at(batch_size).filter(|group| group.runs.iter().any(has_some)).collect()
    };
    let (mut groups, mut is_stated) = (having(accuracy), questions.accuracy.is_some());
    let reachable = groups.iter().map(|group| reachable(group, results)).reduce(f64::min);
    let goal = if let Some(reachable) = reachable {
        Goal::Accuracy(questions.accuracy.unwrap_or(reachable))
    } else {
        let goal = Goal::Rmse(questions.error?);
        (groups, is_stated) = (having(rmse), true);
        goal
    };
    let times: Vec<Vec<f64>> = groups.iter().map(|group| times(group, results, goal)).collect();
    let later = later(&times);
    let strategy = |(i, group): (usize, &&Group)| {
        let times = &times[i];
        let finite = |time: f64| time.is_finite().then_some(time);
        let interval = median_interval(times, CONFIDENCE);
        let of = |of: &dyn Fn(&Run) -> Option<f64>| median(&group.sample(of));
        GoalTime {
            batcher: group.batcher.clone(),
            n_run: times.len(),
            n_reached: times.iter().filter(|time| time.is_finite()).count(),
            median: middle(times).and_then(finite),
            interval: interval.map(|(low, high, p)| (finite(low), finite(high), p)),
            tuned: options::tuned(&group.runs[0].config),
            may_be_soonest: !later[i],
            prepare: of(&|run| Some(run.run.prepare_ns? as f64 / 1e9)),
            epochs_per_s: of(&Run::epochs_per_s),
            best: of(&|run| Some(run.best(goal)?.1)),
            test: of(&|run| run.test_of_best(goal)),
            peak_bytes: of(&|run| run.peak_bytes().map(|bytes| bytes as f64)),
        }
    };
    let mut strategies: Vec<GoalTime> = groups.iter().enumerate().map(strategy).collect();
    let key = |reaching: &GoalTime| reaching.median.unwrap_or(f64::INFINITY);
    strategies.sort_by(|a, b| key(a).total_cmp(&key(b)));
    (!strategies.is_empty()).then_some(TimeToGoal {
        setting: index,
        batch_size,
        goal,
        unit: setting.unit.clone(),
        is_stated,
        level: LEVEL,
        n_run_needed: n_run_needed(&times),
        strategies,
    })
}

/// The runs of a strategy that count, including diverged ones, which make no further progress.
fn counting<'a>(group: &'a Group, results: &'a Results) -> impl Iterator<Item = &'a Run> {
    let timed = group.runs.iter().filter(|run| run.untimed.is_none());
    let is_diverged = move |run: &&Run| run.run.status == "nan" && is_in(run, group);
    timed.chain(results.runs.iter().filter(is_diverged))
}

/// The highest accuracy that more than half of the runs reach, so that the median time is finite.
fn reachable(group: &Group, results: &Results) -> f64 {
    let best = |run: &Run| {
        run.accuracies(SUBSET).into_iter().map(|(.., accuracy)| accuracy).fold(0.0, f64::max)
    };
    let mut all: Vec<f64> = counting(group, results).map(best).collect();
    all.sort_by(|a, b| b.total_cmp(a));
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

fn times(group: &Group, results: &Results, goal: Goal) -> Vec<f64> {
    counting(group, results).map(|run| run.seconds_to(goal)).collect()
}

/// Median of times that may be infinite. For an even number it is the larger of the two middle
/// values, so it is finite only if more than half of the runs reach the accuracy.
fn middle(times: &[f64]) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let (low, high) = (*sorted.get(n.checked_sub(1)? / 2)?, sorted[n / 2]);
    Some(if high.is_finite() { f64::midpoint(low, high) } else { high })
}

/// Which strategies are significantly slower than another: pairwise rank-sum tests with Holm
/// correction.
fn later(times: &[Vec<f64>]) -> Vec<bool> {
    let k = times.len();
    let pairs: Vec<(usize, usize)> = (0..k).flat_map(|i| (0..i).map(move |j| (j, i))).collect();
    let p: Vec<f64> =
        pairs.iter().map(|&(i, j)| rank_sum(&times[i], &times[j]).unwrap_or(1.0)).collect();
    let mut later = vec![false; k];
    for (&(i, j), p) in pairs.iter().zip(holm(&p)) {
        if p <= LEVEL {
            // Which of the two has the higher ranks.
            let n_less = |a: &[f64], b: &[f64]| -> usize {
                a.iter().map(|x| b.iter().filter(|y| x < *y).count()).sum()
            };
            let is_first_sooner = n_less(&times[i], &times[j]) > n_less(&times[j], &times[i]);
            later[if is_first_sooner { j } else { i }] = true;
        }
    }
    later
}

/// The number of runs per strategy needed to tell two of them apart, if the current number never
/// can. The minimum p-value, for samples that do not overlap, grows with the number of pairs.
fn n_run_needed(times: &[Vec<f64>]) -> Option<usize> {
    let n_pair = (times.len() * times.len().saturating_sub(1) / 2) as f64;
    // Only two of all divisions of the runs are the most extreme.
    let can = |a: usize, b: usize| {
        let n_division: f64 = (1..=a).map(|i| (b + i) as f64 / i as f64).product();
        2.0 / n_division * n_pair <= LEVEL
    };
    let mut sizes: Vec<usize> = times.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    match sizes[..] {
        [.., a, b] if !can(a, b) => (b.min(a) + 1..100).find(|&n| can(n, n)),
        _ => None,
    }
}

/// Formats one comparison for a terminal: a line per strategy, then the interpretation.
#[must_use]
pub fn reach_text(reach: &TimeToGoal) -> String {
    let chosen = " (the highest that every strategy reaches in more than half of its runs)";
    let title = format!("time to {} on the {SUBSET} set", reach.title());
    let mut text = format!(
        "  {}{}, preparation included\n",
        after_size(reach.batch_size, ", ", &title),
        if reach.is_stated { "" } else { chosen },
    );
    let width = reach.strategies.iter().map(|s| s.batcher.chars().count()).max().unwrap_or(0);
    for strategy in &reach.strategies {
        let GoalTime { batcher, n_run, n_reached, .. } = strategy;
        let seconds = |time: Option<f64>| {
            time.map_or("never".to_owned(), |time| format!("{} s", short(time)))
        };
        let interval = strategy.interval.map_or(String::new(), |(low, high, p)| {
            format!("  {} to {} ({:.0} %)", seconds(low), seconds(high), 100.0 * p)
        });
        let _ = writeln!(
            text,
            "    {batcher:width$}  {:>8}{interval}  {n_reached} of {n_run} runs  {}",
            seconds(strategy.median),
            reach.place_of(strategy),
        );
    }
    for note in reach.notes() {
        let _ = writeln!(text, "    {note}");
    }
    text
}

impl TimeToGoal {
    /// `80.0 % accuracy`, or `an RMSE of 1.2 eV`.
    pub(crate) fn title(&self) -> String {
        match self.goal {
            Goal::Accuracy(accuracy) => format!("{:.1} % accuracy", 100.0 * accuracy),
            Goal::Rmse(rmse) => {
                format!("an RMSE of {}", self.goal.in_words(rmse, self.unit.as_deref()))
            }
        }
    }

    /// The label of a strategy for a row of a table.
    #[must_use]
    pub fn place_of(&self, strategy: &GoalTime) -> &'static str {
        let is_alone = self.strategies.iter().filter(|s| s.may_be_soonest).count() == 1;
        if !strategy.may_be_soonest {
            "later"
        } else if is_alone && self.strategies.len() > 1 {
            "the soonest"
        } else {
            "may be the soonest"
        }
    }

    /// What a reader must know about the comparison as a whole.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        self.chosen_for_each().into_iter().chain(self.too_few())
    }

    /// Names the options of the training in which strategies differ.
    fn chosen_for_each(&self) -> Option<String> {
        let all: Vec<&Options> = self.strategies.iter().map(|s| &s.tuned).collect();
        let own = |s: &GoalTime| format!("{} {}", s.batcher, options::difference(&s.tuned, &all));
        let is_same = all.windows(2).all(|two| two[0] == two[1]);
        let each: Vec<String> = self.strategies.iter().map(own).collect();
        (!is_same).then(|| format!("options chosen for each strategy: {}", each.join("; ")))
    }

    /// Explains that there are too few runs to tell strategies apart.
    fn too_few(&self) -> Option<String> {
        let n_strategy = self.strategies.len();
        self.n_run_needed.map(|n| {
            format!(
                "with so few runs, no two of {n_strategy} strategies can be told apart, however different they \
                 are; {n} runs of each would be enough"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: f64 = f64::INFINITY;

    #[test]
    fn what_never_arrives_counts_in_the_median() {
        assert_eq!(middle(&[3.0, 1.0, NEVER]), Some(3.0));
        assert_eq!(middle(&[3.0, NEVER, NEVER]), Some(NEVER));
        assert_eq!(middle(&[3.0, 1.0, 2.0, NEVER]), Some(2.5));
        assert_eq!(middle(&[3.0, NEVER]), Some(NEVER));
        assert_eq!(middle(&[]), None);
    }

    #[test]
    fn only_a_clear_order_makes_a_strategy_late() {
        let early: Vec<f64> = (1..=6).map(f64::from).collect();
        let late: Vec<f64> = (11..=16).map(f64::from).collect();
        let mixed = vec![2.0, 3.5, 12.0, 5.5, 1.5, NEVER];
        let never = vec![NEVER; 6];
        assert_eq!(later(&[early.clone(), late, mixed, never]), [false, true, false, true]);
        // Two runs each can never differ significantly.
        assert_eq!(later(&[early[..2].to_vec(), vec![NEVER; 2]]), [false, false]);
    }

    #[test]
    fn too_few_runs_are_those_that_never_make_a_strategy_late() {
        for n_strategy in 2..12 {
            let of = |n_run: usize| -> Vec<Vec<f64>> {
                let run = |strategy: usize, run: usize| (100 * strategy + run) as f64;
                (0..n_strategy).map(|s| (0..n_run).map(|r| run(s, r)).collect()).collect()
            };
            let enough = (1..20).find(|&n| later(&of(n)).contains(&true)).unwrap();
            for n in 1..12 {
                let expected = (n < enough).then_some(enough);
                assert_eq!(n_run_needed(&of(n)), expected, "{n} of {n_strategy}");
            }
        }
        assert_eq!(n_run_needed(&[vec![1.0]]), None);
    }
}
