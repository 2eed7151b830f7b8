//! Errors over the course of training.

use std::collections::BTreeMap;

use super::{Centre, Curve, Curves, Figure, Panel, Plot, point};
use crate::query;
use crate::setting::{Group, Setting, size_name};

/// The subset that is shown, in order of preference.
const SPLITS: [&str; 3] = ["test", "validation", "train"];

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let mut panels = Vec::new();
    for setting in settings {
        for size in setting.batch_sizes() {
            let of_split = |split: &&'static str| {
                let curves: Vec<Curve> = setting.at(size).filter_map(|g| curve(g, split)).collect();
                (!curves.is_empty()).then_some((*split, curves))
            };
            if let Some((split, curves)) = SPLITS.iter().find_map(of_split) {
                let unit = setting.unit.clone().unwrap_or_default();
                panels.push(Panel {
                    setting: setting.title.clone(),
                    title: format!("{split} RMSE, B = {}", size_name(size)),
                    plot: Plot::Curves(Curves { unit, x: "steps", curves }),
                });
            }
        }
    }
    Figure {
        id: "curves",
        title: "Learning curves",
        note: "Root mean squared error, median over runs; the band reaches from the least to the \
               greatest run. Shown is the test set where it was evaluated twice, else the validation \
               or the training set. Runs that were evaluated less than twice have no curve. Mean absolute \
               errors that were published under this name are left out."
            .to_owned(),
        query: query::curves(),
        strategies: Vec::new(),
        panels,
    }
}

fn curve(group: &Group, split: &str) -> Option<Curve> {
    let mut by_step: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (step, rmse) in group.runs.iter().flat_map(|run| run.rmse(split)) {
        if rmse.is_finite() && rmse > 0.0 {
            by_step.entry(step).or_default().push(rmse);
        }
    }
    let points = by_step
        .iter()
        .filter_map(|(step, sample)| Some((*step as f64, point(sample, Centre::Median)?)));
    let points: Vec<_> = points.collect();
    (points.len() > 1).then(|| Curve { batcher: group.batcher.clone(), points })
}
