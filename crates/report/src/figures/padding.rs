//! Share of padding in what is computed.

use super::{Centre, Figure, Panel, Plot, chart};
use crate::query;
use crate::setting::Setting;
use batchlab_results::Work;

type Part = (&'static str, fn(&Work) -> f64);

const PARTS: [Part; 2] = [
    ("padding among edges", |work| 1.0 - work.edge_fill),
    ("padding among nodes", |work| 1.0 - work.node_fill),
];

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = settings.iter().flat_map(|setting| {
        PARTS.iter().filter_map(|(title, of)| {
            let percent = |run: &crate::Run| run.work.as_ref().map(|work| 100.0 * of(work));
            let chart = chart(setting, "%", Centre::Mean, percent)?;
            let (setting, title) = (setting.title.clone(), (*title).to_owned());
            Some(Panel { setting, title, plot: Plot::Bars(chart) })
        })
    });
    let panels: Vec<Panel> = panels.collect();
    let mut note = "Padding goes through the same computation as real edges and nodes.".to_owned();
    if settings.iter().any(|setting| setting.is_imported) {
        note += " Published results do not say how much padding their batches held.";
    }
    Figure {
        id: "padding",
        title: "Padding waste",
        note,
        query: query::padding(),
        strategies: Vec::new(),
        panels,
    }
}
