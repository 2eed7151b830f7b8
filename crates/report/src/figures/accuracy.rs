//! Accuracy against time, and the time to an accuracy or an error.

use std::collections::BTreeMap;

use batchlab_stats::median;

use super::{Curve, Figure, Forest, ForestRow, Panel, Plot, Point, curve_panels};
use crate::reach::{SUBSET, TimeToGoal};
use crate::setting::{Group, Setting};

/// Validation accuracy over the seconds of preparation and training.
pub(super) fn course(settings: &[Setting]) -> Figure {
    let panels = curve_panels(settings, ("%", "seconds", true), curve);
    Figure::new(
        "accuracy",
        "Accuracy against time",
        format!(
            "Accuracy on the {SUBSET} set against the seconds of preparation and training so far, without \
             evaluations. A line begins when the batcher is ready. Both are medians over runs, per evaluation; \
             the band spans the runs. If runs end at different steps, later points are those of the runs that \
             continue."
        ),
        panels,
    )
}

fn curve(group: &Group) -> Option<Curve> {
    let mut samples: BTreeMap<usize, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for run in group.runs.iter().filter(|run| run.untimed.is_none()) {
        for (place, (_, seconds, accuracy)) in run.accuracies(SUBSET).into_iter().enumerate() {
            let sample = samples.entry(place).or_default();
            sample.0.push(seconds);
            sample.1.push(100.0 * accuracy);
        }
    }
    let point = |(seconds, accuracy): &(Vec<f64>, Vec<f64>)| {
        Some((median(seconds)?, super::point(accuracy)?))
    };
    let points: Vec<(f64, Point)> = samples.values().filter_map(point).collect();
    (points.len() > 1).then(|| Curve { batcher: group.batcher.clone(), points })
}

/// Median times with their intervals.
pub(super) fn reaches(settings: &[Setting], reaches: &[TimeToGoal]) -> Figure {
    let panel = |reach: &TimeToGoal| {
        // An interval without an upper end is drawn up to the longest time of all.
        let ends = reach.strategies.iter().flat_map(|s| {
            let (low, high, _) = s.interval.unwrap_or_default();
            [s.median, low, high]
        });
        let longest = ends.flatten().fold(0.0, f64::max);
        let rows = reach.strategies.iter().filter_map(|strategy| {
            let value = strategy.median?;
            let interval = strategy.interval;
            let ends = |(low, high, _): (Option<f64>, Option<f64>, f64)| {
                (low.unwrap_or(value), high.unwrap_or(longest))
            };
            Some(ForestRow {
                batcher: strategy.batcher.clone(),
                value,
                interval: interval.map(ends),
                may_be_fastest: strategy.may_be_soonest,
            })
        });
        let rows: Vec<ForestRow> = rows.collect();
        let size = reach.batch_size.map(|size| format!("B = {size}, ")).unwrap_or_default();
        (!rows.is_empty()).then(|| Panel {
            setting: settings[reach.setting].title.clone(),
            title: format!("{size}to {}", reach.title()),
            plot: Plot::Forest(Forest { unit: "seconds".to_owned(), margin: None, rows }),
        })
    };
    Figure::new(
        "reach",
        "Time to an accuracy or an error",
        format!(
            "Seconds of preparation and training until the goal is first reached on the {SUBSET} set: the \
             median over runs, with a distribution-free interval. A filled mark may be the soonest; a hollow \
             one is later. A run that never reaches the goal counts as later than all others; a strategy is \
             shown if more than half of its runs reach it. Unless set with --accuracy or --error, the goal is \
             the highest accuracy that every strategy reaches in more than half of its runs. All pairs of \
             strategies are compared by rank-sum tests with Holm's correction."
        ),
        reaches.iter().filter_map(panel),
    )
}
