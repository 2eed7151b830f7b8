//! The time of a step over the course of training.

use std::collections::BTreeMap;

use super::{Centre, Curve, Curves, Figure, Panel, Plot, point};
use crate::query;
use crate::setting::{Group, Setting, size_name};

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = settings.iter().flat_map(|setting| {
        setting.batch_sizes().into_iter().filter_map(|size| {
            let curves: Vec<Curve> = setting.at(size).filter_map(curve).collect();
            let (setting, title) = (setting.title.clone(), format!("B = {}", size_name(size)));
            let plot = Plot::Curves(Curves { unit: "ms per step".to_owned(), x: "steps", curves });
            let is_empty = matches!(&plot, Plot::Curves(curves) if curves.curves.is_empty());
            (!is_empty).then_some(Panel { setting, title, plot })
        })
    });
    let panels: Vec<Panel> = panels.collect();
    let mut note =
        "Mean combined time over stretches of a fortieth of training, or of a step where there \
                    are fewer, median over runs, warm-up included."
            .to_owned();
    if settings.iter().any(|setting| setting.is_imported) {
        note += " Published results have one mean per run and no course.";
    }
    Figure {
        id: "course",
        title: "Combined time over the course of training",
        note,
        query: query::course(),
        strategies: Vec::new(),
        panels,
    }
}

fn curve(group: &Group) -> Option<Curve> {
    let mut by_step: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (step, time) in group.runs.iter().flat_map(|run| &run.stretches) {
        by_step.entry(step.round() as i64).or_default().push(time / 1e6);
    }
    let points = by_step
        .iter()
        .filter_map(|(step, sample)| Some((*step as f64, point(sample, Centre::Median)?)));
    let points: Vec<_> = points.collect();
    (points.len() > 1).then(|| Curve { batcher: group.batcher.clone(), points })
}
