//! Real graphs and real edges per second.

use super::{Centre, Figure, Part, Plot, chart_panels};
use crate::query;
use crate::setting::Setting;

const PARTS: [Part; 2] = [
    ("graphs per second", Centre::Median, |run| Some(run.work?.outputs_per_s)),
    ("real edges per second", Centre::Median, |run| Some(run.work?.edges_per_s)),
];

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = chart_panels(settings, "per second", &PARTS, Plot::Lines);
    let mut note = "What training works through, padding not counted: strategies put different \
                    numbers of graphs into a step, so a short step alone says little. Medians over \
                    runs; bars reach from the least to the greatest run."
        .to_owned();
    if settings.iter().any(|setting| setting.is_imported) {
        note += " Published results are not here: they do not say how many graphs a step of \
                 `dynamic` held.";
    }
    Figure::new("throughput", "Real work per second", note, query::throughput(), panels)
}
