//! Batching, update and combined time against batch size.

use super::{Centre, Figure, Part, Plot, chart_panels};
use crate::setting::Setting;

const PARTS: [Part; 6] = [
    ("batching, mean", Centre::Mean, |run| Some(run.times?.batching_mean / 1e6)),
    ("update, mean", Centre::Mean, |run| Some(run.times?.update_mean / 1e6)),
    ("combined, mean", Centre::Mean, |run| Some(run.times?.combined_mean / 1e6)),
    ("batching, median", Centre::Median, |run| Some(run.times?.batching_median / 1e6)),
    ("update, median", Centre::Median, |run| Some(run.times?.update_median / 1e6)),
    ("combined, median", Centre::Median, |run| Some(run.times?.combined_median / 1e6)),
];

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = chart_panels(settings, "ms per step", &PARTS, Plot::Lines);
    Figure::new(
        "times",
        "Time of a step: batching, update, and both",
        "Means of the means of all runs, and medians of their medians; bars reach from the \
               least to the greatest run. Batching is planning and copying; combined is the whole \
               step. The warm-up is left out. A mean far above its median indicates a few slow steps, \
               such as the first ones of a shape.",
        panels,
    )
}
