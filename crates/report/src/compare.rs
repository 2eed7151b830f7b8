//! Compares two runs or two results directories: differences in configuration, conditions and
//! results.
//!
//! - A [`Side`] holds the summaries of the runs to compare.
//! - [`compare`] compares runs with equal model, data, strategy and batch size. Two single runs are
//!   always compared.
//! - An interval needs replicates: at least three mirrored pairs of blocks shared by two runs of
//!   one cell, or runs with at least three seeds on either side, as in a report. **Steps are never
//!   replicates**, and neither are times of a run that was resumed or shared its device.

mod differ;
mod side;
mod text;

use std::collections::BTreeMap;

use batchlab_results::{Block, ResultsError, RunSummary, Untimed};
use batchlab_stats::{compare_with, difference, mean, median};
use serde::Serialize;

use crate::pairing::{Pair as Mirrored, log, pairs};
pub use differ::Difference;
pub use side::Side;
pub use text::text;

const LEVEL: f64 = 0.05;
/// Minimum number of mirrored pairs of blocks, or of seeds on either side, for an interval.
const FEWEST: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error(transparent)]
    Results(#[from] ResultsError),
    #[error(
        "run {run_id} has no published results in {dir}; a run that is running, or that crashed, has \
         none yet: `batchlab doctor {}` publishes those of a crashed one",
        batchlab_core::quote::shell_word(dir)
    )]
    Unpublished { run_id: String, dir: String },
    #[error("no run in {dir} can be compared: {reason}")]
    NoneUsable { dir: String, reason: String },
    #[error(
        "nothing in {a} has a counterpart with the same model, data, strategy and batch size in {b}\n  \
         {a} has {in_a}\n  {b} has {in_b}\ngive two runs to compare them anyway"
    )]
    NothingInCommon { a: String, b: String, in_a: String, in_b: String },
}

#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    pub a: String,
    pub b: String,
    /// One entry per model, data set, strategy and batch size present on both sides.
    pub pairs: Vec<Pair>,
    pub only_a: Vec<String>,
    pub only_b: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    pub title: String,
    pub runs_a: Vec<String>,
    pub runs_b: Vec<String>,
    pub configuration: Vec<Difference>,
    /// Differences in machine, program and data.
    pub conditions: Vec<Difference>,
    pub measures: Vec<Measure>,
    /// Keys other than seeds that differ between the runs of one side, so that they are not
    /// repeats.
    pub mixed: Vec<String>,
    /// Whether runs kept the state of their best evaluation. The errors are still those after the
    /// last step.
    pub keeps_best: bool,
    /// Reasons for the times having no interval despite enough blocks or runs.
    pub untimed: Vec<String>,
    pub replicates: Replicates,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Replicates {
    /// Number of mirrored pairs of blocks in which two interleaved runs were trained.
    Pairs(usize),
    /// Number of distinct seeds on each side.
    Runs(usize, usize),
    /// Too few replicates: number of distinct seeds on each side.
    TooFew(usize, usize),
}

/// One quantity on both sides. For several runs it is the geometric mean over seeds; for a time of
/// two runs that share mirrored pairs of blocks, the geometric mean over those pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measure {
    /// Name with unit.
    pub name: String,
    pub a: Option<f64>,
    pub b: Option<f64>,
    /// Second side over first.
    pub ratio: Option<f64>,
    /// 95 % interval of the ratio.
    pub interval: Option<(f64, f64)>,
}

type Key = (String, String, String, Option<i64>);

/// Compares two sides.
///
/// # Errors
/// If the two sides have nothing in common.
pub fn compare(a: &Side, b: &Side) -> Result<Comparison, CompareError> {
    let (groups_a, groups_b) = (groups(&a.runs), groups(&b.runs));
    let comparison = |pairs, only_a, only_b| Comparison {
        a: a.name.clone(),
        b: b.name.clone(),
        pairs,
        only_a,
        only_b,
    };
    if let ([_], [_]) = (&groups_a[..], &groups_b[..]) {
        // A single kind of run on each side: compare them even if the kinds differ.
        let title = |groups: &[(Key, Vec<&RunSummary>)]| title(&groups[0].0);
        let (title_a, title_b) = (title(&groups_a), title(&groups_b));
        let title =
            if title_a == title_b { title_a } else { format!("{title_a} against {title_b}") };
        let pair = pair(title, &groups_a[0].1, &groups_b[0].1);
        return Ok(comparison(vec![pair], Vec::new(), Vec::new()));
    }
    let find =
        |groups: &[(Key, Vec<&'_ RunSummary>)], key: &Key| groups.iter().any(|(own, _)| own == key);
    let mut pairs = Vec::new();
    for (key, runs_a) in &groups_a {
        if let Some((_, runs_b)) = groups_b.iter().find(|(own, _)| own == key) {
            pairs.push(pair(title(key), runs_a, runs_b));
        }
    }
    let only =
        |own: &[(Key, Vec<&RunSummary>)], other: &[(Key, Vec<&RunSummary>)]| -> Vec<String> {
            own.iter().filter(|(key, _)| !find(other, key)).map(|(key, _)| title(key)).collect()
        };
    let (only_a, only_b) = (only(&groups_a, &groups_b), only(&groups_b, &groups_a));
    if pairs.is_empty() {
        return Err(CompareError::NothingInCommon {
            a: a.name.clone(),
            b: b.name.clone(),
            in_a: only_a.join("; "),
            in_b: only_b.join("; "),
        });
    }
    Ok(comparison(pairs, only_a, only_b))
}

/// Groups runs by model, data, strategy and batch size.
fn groups(runs: &[RunSummary]) -> Vec<(Key, Vec<&RunSummary>)> {
    let mut groups: BTreeMap<Key, Vec<&RunSummary>> = BTreeMap::new();
    for summary in runs {
        let run = &summary.run;
        let key = (run.model.clone(), run.dataset.clone(), run.batcher.clone(), run.batch_size);
        groups.entry(key).or_default().push(summary);
    }
    groups.into_iter().collect()
}

fn title((model, dataset, batcher, size): &Key) -> String {
    let size = size.map_or_else(String::new, |size| format!(", B = {size}"));
    format!("{model} on {dataset}, {batcher}{size}")
}

fn pair(title: String, a: &[&RunSummary], b: &[&RunSummary]) -> Pair {
    let pairs = shared_pairs(a, b);
    let enough = |n: usize| n >= FEWEST;
    let untimed = untimed(a, b);
    let mixed = mixed(a, b);
    let (n_a, n_b) = (by_seed(a, |_| Some(1.0)).len(), by_seed(b, |_| Some(1.0)).len());
    let replicates = if enough(pairs.len()) {
        Replicates::Pairs(pairs.len())
    } else if enough(n_a) && enough(n_b) && mixed.is_empty() {
        Replicates::Runs(n_a, n_b)
    } else {
        Replicates::TooFew(n_a, n_b)
    };
    // Repeats differ in their seeds on purpose.
    let is_repeat = a.len() > 1 || b.len() > 1;
    let mut configuration = differ::of_configurations(&a[0].config, &b[0].config);
    configuration.retain(|d| !(is_repeat && d.key.starts_with("training.seeds.")));
    let mut measures = Vec::new();
    for (name, of_run, of_block) in TIMES {
        if !pairs.is_empty() && untimed.is_empty() {
            measures.push(over_pairs(name, &pairs, *of_block));
            continue;
        }
        let is_over_runs = matches!(replicates, Replicates::Runs(..)) && untimed.is_empty();
        let interval = if is_over_runs { over_runs(a, b, *of_run) } else { None };
        measures.extend(measure((*name).to_owned(), a, b, of_run, interval));
    }
    for (name, of_run) in COUNTS {
        measures.extend(measure((*name).to_owned(), a, b, of_run, None));
    }
    let mut errors: Vec<String> =
        a.iter().chain(b).flat_map(|run| side::errors(run).into_keys()).collect();
    errors.sort();
    errors.dedup();
    for name in errors {
        let of_run = |run: &RunSummary| side::errors(run).get(&name).copied();
        // Errors have no blocks: each of the two runs ends with a single error.
        let is_over_runs = matches!(replicates, Replicates::Runs(..));
        let interval = if is_over_runs { over_runs(a, b, of_run) } else { None };
        measures.extend(measure(name.clone(), a, b, of_run, interval));
    }
    let names = |runs: &[&RunSummary]| runs.iter().map(|run| run.run.run_id.clone()).collect();
    let conditions = differ::of_conditions(&side::conditions(a[0]), &side::conditions(b[0]));
    Pair {
        title,
        runs_a: names(a),
        runs_b: names(b),
        configuration,
        conditions,
        measures,
        mixed,
        keeps_best: a.iter().chain(b).any(|run| side::keeps_best(run)),
        untimed,
        replicates,
    }
}

/// Runs whose times cannot be compared, with the reason.
fn untimed(a: &[&RunSummary], b: &[&RunSummary]) -> Vec<String> {
    let runs = a.iter().chain(b);
    let mut found: Vec<String> = runs
        .filter_map(|run| {
            let why = match run.untimed()? {
                Untimed::Resumed => {
                    "was interrupted and resumed, so that its times come from several processes"
                }
                Untimed::SharedDevice => "did not have the device to itself",
            };
            Some(format!("{} {why}", run.run.run_id))
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Keys that differ between the runs of one side, except those that do not affect training or are
/// meant to differ.
fn mixed(a: &[&RunSummary], b: &[&RunSummary]) -> Vec<String> {
    const HARMLESS: [&str; 5] =
        ["training.seeds.", "training.checkpoint", "sink", "study", "n_attempt"];
    let mut keys: Vec<String> = [a, b]
        .iter()
        .flat_map(|side| side.iter().map(|run| (side[0], *run)))
        .flat_map(|(first, run)| {
            let mut found = differ::of_configurations(&first.config, &run.config);
            found.extend(differ::of_conditions(&side::conditions(first), &side::conditions(run)));
            found.into_iter().map(|difference| difference.key)
        })
        .filter(|key| !HARMLESS.iter().any(|harmless| key.starts_with(harmless)))
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

type OfRun = fn(&RunSummary) -> Option<f64>;
type OfBlock = fn(&Block) -> f64;

const TIMES: &[(&str, OfRun, OfBlock)] = &[
    (
        "time of a step, ms",
        |run| Some(run.steps.times?.combined_mean / 1e6),
        |block| block.ns / block.n_step / 1e6,
    ),
    (
        "time per graph, us",
        |run| Some(1e6 / run.steps.work?.outputs_per_s).filter(|us| us.is_finite()),
        |block| block.ns_per_output() / 1e3,
    ),
];

const COUNTS: &[(&str, OfRun)] = &[
    ("graphs in a step", |run| Some(run.steps.work?.outputs_per_step)),
    ("real nodes, %", |run| Some(100.0 * run.steps.work?.node_fill)),
    ("real edges, %", |run| Some(100.0 * run.steps.work?.edge_fill)),
    ("distinct shapes", |run| run.run.n_shape.map(|n| n as f64)),
];

/// The mirrored pairs of blocks in which both runs of a cell were trained.
fn shared_pairs<'a>(a: &[&'a RunSummary], b: &[&'a RunSummary]) -> Vec<[Mirrored<'a>; 2]> {
    match (a, b) {
        ([a], [b]) if a.run.run_id != b.run.run_id => {
            let of_b = pairs([*b]);
            pairs([*a])
                .into_iter()
                .filter_map(|(key, pair)| Some([pair, *of_b.get(&key)?]))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// A time of two interleaved runs, compared pair by pair as in a report.
fn over_pairs(name: &str, pairs: &[[Mirrored<'_>; 2]], of_block: OfBlock) -> Measure {
    let rows: Vec<Vec<f64>> =
        pairs.iter().map(|pair| pair.iter().map(|own| log(own, of_block)).collect()).collect();
    let centre = |i: usize| mean(&rows.iter().map(|row| row[i]).collect::<Vec<_>>()).map(f64::exp);
    let (a, b) = (centre(0), centre(1));
    let interval = compare_with(0, &rows, LEVEL).ok().map(|of| exp(of[1]));
    Measure { name: name.to_owned(), a, b, ratio: a.zip(b).map(|(a, b)| b / a), interval }
}

fn exp((low, high): (f64, f64)) -> (f64, f64) {
    (low.exp(), high.exp())
}

fn measure(
    name: String,
    a: &[&RunSummary],
    b: &[&RunSummary],
    of_run: impl Fn(&RunSummary) -> Option<f64>,
    interval: Option<(f64, f64)>,
) -> Option<Measure> {
    let (a, b) = (centre(&by_seed(a, &of_run)), centre(&by_seed(b, &of_run)));
    if a.is_none() && b.is_none() {
        return None;
    }
    let ratio = a.zip(b).filter(|(a, _)| *a > 0.0).map(|(a, b)| b / a);
    Some(Measure { name, a, b, ratio, interval })
}

/// Runs are paired if both sides have the same seeds.
fn over_runs(
    a: &[&RunSummary],
    b: &[&RunSummary],
    of_run: impl Fn(&RunSummary) -> Option<f64>,
) -> Option<(f64, f64)> {
    let (a, b) = (by_seed(a, &of_run), by_seed(b, &of_run));
    let logs = |sample: &[(Seeds, f64)]| sample.iter().map(|(_, x)| x.ln()).collect::<Vec<_>>();
    let (of_a, of_b) = (logs(&a), logs(&b));
    if a.iter().map(|(seeds, _)| seeds).eq(b.iter().map(|(seeds, _)| seeds)) {
        let rows: Vec<Vec<f64>> = of_a.iter().zip(&of_b).map(|(a, b)| vec![*a, *b]).collect();
        return compare_with(0, &rows, LEVEL).ok().map(|of| exp(of[1]));
    }
    difference(&of_b, &of_a, LEVEL).ok().map(exp)
}

/// The geometric mean, or the arithmetic mean if some values have no logarithm.
fn centre(sample: &[(Seeds, f64)]) -> Option<f64> {
    let values = || sample.iter().map(|(_, value)| *value);
    let first = values().next()?;
    if values().all(|value| value.to_bits() == first.to_bits()) {
        return Some(first);
    }
    if values().all(|value| value > 0.0) {
        return mean(&values().map(f64::ln).collect::<Vec<_>>()).map(f64::exp);
    }
    mean(&values().collect::<Vec<_>>())
}

type Seeds = [Option<i64>; 3];

/// One value per seed, the median over its runs: repeating the same training is not a replicate.
fn by_seed(runs: &[&RunSummary], of_run: impl Fn(&RunSummary) -> Option<f64>) -> Vec<(Seeds, f64)> {
    let mut of_seeds: BTreeMap<Seeds, Vec<f64>> = BTreeMap::new();
    for run in runs {
        if let Some(value) = of_run(run) {
            of_seeds
                .entry([run.run.seed_split, run.run.seed_order, run.run.seed_init])
                .or_default()
                .push(value);
        }
    }
    of_seeds.into_iter().filter_map(|(seeds, values)| Some((seeds, median(&values)?))).collect()
}
