//! Real graphs and real edges per second.

use super::{Centre, Figure, Panel, Plot, chart};
use crate::query;
use crate::setting::Setting;
use batchlab_results::Work;

type Part = (&'static str, fn(&Work) -> f64);

const PARTS: [Part; 2] = [
    ("graphs per second", |work| work.outputs_per_s),
    ("real edges per second", |work| work.edges_per_s),
];

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = settings.iter().flat_map(|setting| {
        PARTS.iter().filter_map(|(title, of)| {
            let per_second = |run: &crate::Run| run.work.as_ref().map(of);
            let chart = chart(setting, "per second", Centre::Median, per_second)?;
            let (setting, title) = (setting.title.clone(), (*title).to_owned());
            Some(Panel { setting, title, plot: Plot::Lines(chart) })
        })
    });
    let panels: Vec<Panel> = panels.collect();
    let mut note = "What training works through, padding not counted: strategies put different \
                    numbers of graphs into a step, so a short step alone says little. Medians over \
                    runs; bars reach from the least to the greatest run."
        .to_owned();
    if settings.iter().any(|setting| setting.is_imported) {
        note += " Published results are not here: they do not say how many graphs a step of \
                 `dynamic` held.";
    }
    Figure {
        id: "throughput",
        title: "Real work per second",
        note,
        query: query::throughput(),
        strategies: Vec::new(),
        panels,
    }
}
