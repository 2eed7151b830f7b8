//! Share of a step for preparing its batch or waiting for it.

use super::{Centre, Figure, Panel, Plot, chart};
use crate::setting::Setting;

pub(super) fn figure(settings: &[Setting]) -> Figure {
    // Settings that differ only in the number of prefetched batches are shown side by side.
    let mut order: Vec<(usize, &Setting)> = settings
        .iter()
        .map(|setting| {
            let first = settings.iter().position(|other| is_sibling(setting, other));
            (first.unwrap_or_default(), setting)
        })
        .collect();
    order.sort_by_key(|(first, setting)| (*first, setting.prefetch_depth));
    let panels = order.iter().filter_map(|(first, setting)| {
        let percent = |run: &crate::Run| run.work.as_ref().map(|work| 100.0 * work.data_share);
        let (title, what) = match setting.prefetch_depth {
            0 => ("in turn".to_owned(), "planning and copying"),
            1 => ("1 batch ahead".to_owned(), "waiting"),
            n => (format!("{n} batches ahead"), "waiting"),
        };
        let unit = format!("% of the time of a step: {what}, {title}");
        let chart = chart(setting, &unit, Centre::Median, percent)?;
        let family = family(&settings[*first]);
        Some(Panel { setting: family, title, plot: Plot::Bars(chart) })
    });
    Figure::new(
        "waiting",
        "Share of time waiting for data",
        "Of the time of a step, what goes into the batch before the device can begin: \
               planning and copying where batches are prepared in turn, waiting where another thread \
               prepares them ahead. Median over runs. Both pipelines stand side by side where both \
               were measured.",
        panels,
    )
}

/// Whether two settings differ only in the pipeline.
fn is_sibling(a: &Setting, b: &Setting) -> bool {
    let texts = |s: &Setting| {
        [&s.hardware, &s.model, &s.dataset, &s.study, &s.timing, &s.engine].map(String::clone)
    };
    texts(a) == texts(b)
        && (a.n_step, &a.dataset_hash, &a.options) == (b.n_step, &b.dataset_hash, &b.options)
}

fn family(setting: &Setting) -> String {
    setting.title.replace(" (in turn)", "").replace(" (prefetched)", "")
}
