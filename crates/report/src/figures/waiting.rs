//! Share of a step that goes into preparing or awaiting its batch.

use super::{Centre, Figure, Panel, Plot, chart};
use crate::query;
use crate::setting::Setting;

pub(super) fn figure(settings: &[Setting]) -> Figure {
    // What differs in nothing but the number of batches prepared ahead stands side by side.
    let mut order: Vec<(String, &Setting)> =
        settings.iter().map(|setting| (family(setting), setting)).collect();
    order.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.prefetch_depth.cmp(&b.1.prefetch_depth)));
    let panels = order.iter().filter_map(|(family, setting)| {
        let percent = |run: &crate::Run| run.work.as_ref().map(|work| 100.0 * work.data_share);
        let chart = chart(setting, "% of the time of a step", Centre::Median, percent)?;
        let title = match setting.prefetch_depth {
            0 => "in turn: planning and copying".to_owned(),
            1 => "1 batch ahead: waiting".to_owned(),
            n => format!("{n} batches ahead: waiting"),
        };
        Some(Panel { setting: family.clone(), title, plot: Plot::Bars(chart) })
    });
    Figure {
        id: "waiting",
        title: "Share of time waiting for data",
        note: "Of the time of a step, what goes into the batch before the device can begin: \
               planning and copying where batches are prepared in turn, waiting where another thread \
               prepares them ahead. Median over runs. Both pipelines stand side by side where both \
               were measured."
            .to_owned(),
        query: query::waiting(),
        strategies: Vec::new(),
        panels: panels.collect(),
    }
}

/// The title without the pipeline.
fn family(setting: &Setting) -> String {
    setting.title.replace(" (in turn)", "").replace(" (prefetched)", "")
}
