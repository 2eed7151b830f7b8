//! How many times faster than the slowest strategy.

use super::{Centre, Chart, Figure, Panel, Plot, Point, chart};
use crate::query;
use crate::setting::Setting;

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = settings.iter().filter_map(|setting| {
        let title = "speed-up, mean combined time".to_owned();
        Some(Panel { setting: setting.title.clone(), title, plot: Plot::Bars(speed_up(setting)?) })
    });
    Figure {
        id: "speed-up",
        title: "Speed-up against the slowest strategy",
        note: "Mean combined time of the slowest strategy at a batch size over that of each \
               strategy, which is 1 for the slowest. How sure a factor is stands in the verdict."
            .to_owned(),
        query: query::speed_up(),
        strategies: Vec::new(),
        panels: panels.collect(),
    }
}

/// None where no batch size has two strategies.
fn speed_up(setting: &Setting) -> Option<Chart> {
    let time = |run: &crate::Run| run.times.as_ref().map(|times| times.combined_mean);
    let mut chart = chart(setting, "times faster", Centre::Mean, time)?;
    let mut is_compared = false;
    for place in 0..chart.x.len() {
        let values = chart.series.iter().filter_map(|series| series.points[place]);
        let slowest = values.clone().map(|point| point.value).fold(f64::NEG_INFINITY, f64::max);
        is_compared |= values.count() > 1;
        for series in &mut chart.series {
            if let Some(point) = &mut series.points[place] {
                let value = slowest / point.value;
                *point = Point { value, low: value, high: value };
            }
        }
    }
    is_compared.then_some(chart)
}
