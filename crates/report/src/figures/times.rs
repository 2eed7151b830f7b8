//! Batching, update and combined time against batch size.

use super::{Centre, Figure, Panel, Plot, chart};
use crate::query;
use crate::setting::Setting;
use batchlab_results::Times;

type Part = (&'static str, Centre, fn(&Times) -> f64);

const PARTS: [Part; 6] = [
    ("batching, mean", Centre::Mean, |times| times.batching_mean),
    ("update, mean", Centre::Mean, |times| times.update_mean),
    ("combined, mean", Centre::Mean, |times| times.combined_mean),
    ("batching, median", Centre::Median, |times| times.batching_median),
    ("update, median", Centre::Median, |times| times.update_median),
    ("combined, median", Centre::Median, |times| times.combined_median),
];

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = settings.iter().flat_map(|setting| {
        PARTS.iter().filter_map(|(title, centre, of)| {
            let ms = |run: &crate::Run| run.times.as_ref().map(|times| of(times) / 1e6);
            let chart = chart(setting, "ms per step", *centre, ms)?;
            let (setting, title) = (setting.title.clone(), (*title).to_owned());
            Some(Panel { setting, title, plot: Plot::Lines(chart) })
        })
    });
    Figure {
        id: "times",
        title: "Time of a step: batching, update, and both",
        note: "Means of the means of all runs, and medians of their medians; bars reach from the \
               least to the greatest run. Batching is planning and copying; combined is the whole \
               step. Published means contain first steps and compilations, ours leave the warm-up \
               out. A mean far above its median tells of compilations."
            .to_owned(),
        query: query::times(),
        strategies: Vec::new(),
        panels: panels.collect(),
    }
}
