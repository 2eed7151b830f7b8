//! Time to an error that all strategies reach.

use batchlab_stats::median;

use super::{Figure, Forest, ForestRow, Panel, Plot};
use crate::number::short;
use crate::read::Run;
use crate::setting::{Group, Setting, after_size};

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = settings.iter().flat_map(|setting| {
        setting.batch_sizes().into_iter().filter_map(|size| panel(setting, size))
    });
    Figure::new(
        "target",
        "Time to a target error",
        "The target is the lowest validation RMSE that every strategy reaches in the median of its runs, per \
         batch size. Time is the number of steps until the first evaluation at or below the target, times the \
         mean combined time, without evaluations. Marks are medians over the runs that reach it, lines span \
         these runs. Evaluations are infrequent, so small differences mean nothing.",
        panels,
    )
}

fn panel(setting: &Setting, size: Option<i64>) -> Option<Panel> {
    let groups: Vec<&Group> = setting.at(size).filter(|g| least(g).is_some()).collect();
    if groups.len() < 2 {
        return None;
    }
    let target = groups.iter().filter_map(|group| least(group)).fold(0.0, f64::max);
    let row = |group: &&Group| {
        let times = super::point(&group.sample(|run| seconds(run, target)))?;
        Some(ForestRow {
            batcher: group.batcher.clone(),
            value: times.value,
            interval: Some((times.low, times.high)),
            may_be_fastest: true,
        })
    };
    let rows: Vec<ForestRow> = groups.iter().filter_map(row).collect();
    let unit = setting.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
    (!rows.is_empty()).then(|| Panel {
        setting: setting.title.clone(),
        title: after_size(size, ", ", &format!("to {}{unit}", short(target))),
        plot: Plot::Forest(Forest { unit: "seconds".to_owned(), margin: None, rows }),
    })
}

/// The lowest error that a strategy reaches, as the median over its runs; `None` with fewer than
/// two evaluations.
fn least(group: &Group) -> Option<f64> {
    let of_run = |run: &Run| {
        let errors: Vec<f64> = run.rmse("validation").map(|(_, rmse)| rmse).collect();
        let least = errors.iter().copied().filter(|e| e.is_finite()).fold(f64::INFINITY, f64::min);
        (errors.len() > 1 && least.is_finite()).then_some(least)
    };
    median(&group.sample(of_run))
}

fn seconds(run: &Run, target: f64) -> Option<f64> {
    let (step, _) = run.rmse("validation").find(|(_, rmse)| *rmse <= target)?;
    Some(step as f64 * run.steps.times?.combined_mean / 1e9)
}
