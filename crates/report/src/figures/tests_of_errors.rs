//! Tests whether strategies end with different errors: Welch's t-test on the last test error.

use std::collections::BTreeMap;

use batchlab_stats::{holm, welch_t_test};
use serde::Serialize;

use super::{Cell, Figure, Heat, Panel, Plot, Scale};
use batchlab_core::record::EvalRecord;

use crate::number::count;
use crate::read::Run;
use crate::setting::{Group, Setting, size_title};

/// Two strategies of one setting at one batch size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorComparison {
    pub setting: usize,
    pub batch_size: Option<i64>,
    pub pair: [String; 2],
    pub n_run: [usize; 2],
    /// Welch's t, positive if the first strategy has the larger errors.
    pub t: f64,
    pub p: f64,
    /// The p-value, Holm-corrected for all comparisons of the report.
    pub corrected_p: f64,
}

/// Compares the last test errors of all pairs of strategies. Pairs are skipped if a strategy has
/// fewer than two runs, or if all its runs end with the same error.
#[must_use]
pub fn compare_errors(settings: &[Setting]) -> Vec<ErrorComparison> {
    let mut all = Vec::new();
    for (index, setting) in settings.iter().enumerate() {
        for size in setting.batch_sizes() {
            let names = setting.batchers();
            for (i, first) in names.iter().enumerate() {
                for second in &names[i + 1..] {
                    all.extend(comparison(setting, index, size, [first, second]));
                }
            }
        }
    }
    let p_values: Vec<f64> = all.iter().map(|comparison| comparison.p).collect();
    for (comparison, corrected) in all.iter_mut().zip(holm(&p_values)) {
        comparison.corrected_p = corrected;
    }
    all
}

fn comparison(
    setting: &Setting,
    index: usize,
    size: Option<i64>,
    pair: [&str; 2],
) -> Option<ErrorComparison> {
    let sample = |batcher| Some(by_seeds(setting.group(batcher, size)?));
    let [a, b] = [sample(pair[0])?, sample(pair[1])?];
    if is_constant(&a) || is_constant(&b) {
        return None;
    }
    let outcome = welch_t_test(&a, &b).ok()?;
    Some(ErrorComparison {
        setting: index,
        batch_size: size,
        pair: pair.map(str::to_owned),
        n_run: [a.len(), b.len()],
        t: outcome.statistic,
        p: outcome.p_value,
        corrected_p: outcome.p_value,
    })
}

/// The last errors, one per combination of seeds: runs with the same seeds are not independent.
fn by_seeds(group: &Group) -> Vec<f64> {
    let mut by_seeds: BTreeMap<[Option<i64>; 3], Vec<f64>> = BTreeMap::new();
    for run in &group.runs {
        let Some(error) = last(run) else { continue };
        by_seeds.entry(run.seeds()).or_default().push(error);
    }
    by_seeds.into_values().map(|errors| errors.iter().sum::<f64>() / errors.len() as f64).collect()
}

/// Whether all values are equal, as with equal seeds on a CPU. Their variance would be mere
/// rounding, and any difference significant.
fn is_constant(sample: &[f64]) -> bool {
    sample.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits())
}

/// The error after the last completed step, not merely of the last evaluation.
fn last(run: &Run) -> Option<f64> {
    let at_end = |eval: &&EvalRecord| eval.subset == "test" && eval.step == run.n_step();
    run.evals.iter().find(at_end)?.rmse
}

/// Number of compared runs that ended before their planned number of steps.
fn n_early(settings: &[Setting]) -> usize {
    let runs = settings.iter().flat_map(|setting| &setting.groups).flat_map(|group| &group.runs);
    runs.filter(|run| run.n_step() < run.n_step_planned() && last(run).is_some()).count()
}

fn early(n: usize) -> String {
    match n {
        0 => String::new(),
        1 => " 1 run ended early; its error is that after its last step.".to_owned(),
        n => format!(" {n} runs ended early; their errors are those after their last steps."),
    }
}

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let all = compare_errors(settings);
    let mut panels = Vec::new();
    for (index, setting) in settings.iter().enumerate() {
        let own: Vec<&ErrorComparison> = all.iter().filter(|c| c.setting == index).collect();
        if own.is_empty() {
            continue;
        }
        for (title, scale, of) in [
            ("t", Scale::Signed, (|c| c.t) as fn(&ErrorComparison) -> f64),
            ("p", Scale::Probability, |c| c.p),
        ] {
            let plot = Plot::Heat(heat(&own, &setting.batchers(), scale, of));
            let title = format!("{title} of the last test RMSE");
            panels.push(Panel { setting: setting.title.clone(), title, plot });
        }
    }
    let n_left = all.iter().filter(|c| c.corrected_p < 0.05).count();
    let n_small = all.iter().filter(|c| c.p < 0.05).count();
    let note = format!(
        "Welch's t-test (unequal variances, two-sided) on the test errors after the last step, one value per \
         seed: runs with equal seeds are averaged. t is positive if the first strategy of a pair has the \
         larger error. {} Strategies whose runs all end with exactly the same error are not compared.{}",
        outcome(all.len(), n_small, n_left),
        early(n_early(settings))
    );
    Figure::new("errors", "Do strategies end with different errors?", note, panels)
}

fn outcome(n: usize, n_small: usize, n_left: usize) -> String {
    let by_chance = n as f64 * 0.05;
    let comparisons = count(n, "comparison");
    match (n, n_small, n_left) {
        (0, ..) => "No two strategies have enough errors to be compared.".to_owned(),
        (_, 0, _) => format!(
            "p is at least 0.05 in all of {comparisons}; about {by_chance:.1} would have a smaller one by \
             chance alone."
        ),
        (.., 0) => format!(
            "{n_small} of {comparisons} with p < 0.05, about {by_chance:.1} of which are expected by chance; \
             none remains after Holm's correction."
        ),
        _ => format!(
            "{n_small} of {comparisons} with p < 0.05, about {by_chance:.1} of which are expected by chance; \
             after Holm's correction {n_left}, marked with a star."
        ),
    }
}

fn heat(
    own: &[&ErrorComparison],
    order: &[&str],
    scale: Scale,
    of: fn(&ErrorComparison) -> f64,
) -> Heat {
    let mut sizes: Vec<Option<i64>> = own.iter().map(|c| c.batch_size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut pairs: Vec<&[String; 2]> = own.iter().map(|c| &c.pair).collect();
    pairs.sort_by_key(|pair| pair.each_ref().map(|name| order.iter().position(|n| n == name)));
    pairs.dedup();
    let cell = |pair: &[String; 2], size: &Option<i64>| {
        let found = own.iter().find(|c| c.pair == *pair && c.batch_size == *size)?;
        Some(Cell { value: of(found), is_marked: found.corrected_p < 0.05 })
    };
    Heat {
        scale,
        columns: sizes.iter().map(|size| size_title(*size)).collect(),
        rows: pairs.iter().map(|pair| format!("{} / {}", pair[0], pair[1])).collect(),
        cells: pairs
            .iter()
            .map(|pair| sizes.iter().map(|size| cell(pair, size)).collect())
            .collect(),
    }
}
