//! How many times faster than the slowest strategy.

use super::{Centre, Chart, Figure, Panel, Plot, Point, chart};
use crate::read::Run;
use crate::setting::Setting;

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = settings.iter().filter_map(|setting| {
        let per = if knows_graphs(setting) { "real graph" } else { "step" };
        let title = format!("speed-up, mean time per {per}");
        Some(Panel { setting: setting.title.clone(), title, plot: Plot::Lines(speed_up(setting)?) })
    });
    Figure::new(
        "speed-up",
        "Speed-up against the slowest strategy",
        "Mean time of the slowest strategy at a batch size over that of each strategy, which is \
               1 for the slowest: per real output, as strategies put different numbers of outputs into a \
               step, or per step where their number is unknown for some runs of a panel. The \
               intervals are in the verdict.",
        panels,
    )
}

/// Whether the number of graphs is known for all runs with times.
fn knows_graphs(setting: &Setting) -> bool {
    let knows = |run: &Run| run.times.is_none() || graph_ns(run).is_some();
    setting.groups.iter().all(|group| group.runs.iter().all(knows))
}

fn graph_ns(run: &Run) -> Option<f64> {
    let work = run.work.as_ref().filter(|work| work.outputs_per_s > 0.0)?;
    Some(1e9 / work.outputs_per_s)
}

/// `None` if no batch size has two strategies.
fn speed_up(setting: &Setting) -> Option<Chart> {
    let knows_graphs = knows_graphs(setting);
    let time = |run: &Run| {
        let step_ns = run.times.as_ref()?.combined_mean;
        if knows_graphs { graph_ns(run) } else { Some(step_ns) }
    };
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
