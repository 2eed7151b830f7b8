//! Distinct padded shapes after the first: what an engine that compiles per shape compiles again.

use super::{Centre, Figure, Panel, Plot, chart};
use crate::setting::Setting;

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = settings.iter().filter_map(|setting| {
        let count = |run: &crate::Run| run.n_shape.map(|n| (n - 1) as f64);
        let chart = chart(setting, "recompilations", Centre::Mean, count)?;
        let title = "recompilations".to_owned();
        Some(Panel { setting: setting.title.clone(), title, plot: Plot::Bars(chart) })
    });
    Figure::new(
        "recompilations",
        "Recompilations",
        "Distinct padded shapes that training met, less the first: an engine that \
               compiles for every shape compiles that often again. This one compiles for none.",
        panels,
    )
}
