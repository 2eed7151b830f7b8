//! Time per real output as a function of the length of training, including first uses of padded
//! shapes.

use super::{Curve, Curves, Figure, Panel, Plot, Point};
use crate::setting::{Setting, size_title};
use crate::total_time::{Interval, StrategyTime, TotalTime};

pub(super) fn figure(settings: &[Setting], totals: &[TotalTime]) -> Figure {
    let point = |(n_step, _, ns): &(f64, f64, Interval)| {
        let [value, low, high] = [ns.value, ns.low, ns.high].map(|ns| ns / 1e3);
        (*n_step, Point { value, low, high })
    };
    let curve = |one: &StrategyTime| Curve {
        batcher: one.batcher.clone(),
        points: one.course.iter().map(point).collect(),
    };
    let panel = |total: &TotalTime| Panel {
        setting: settings[total.setting].title.clone(),
        title: size_title(total.batch_size),
        plot: Plot::Curves(Curves {
            unit: format!("µs per real {}", settings[total.setting].level().output()),
            x: "steps of training",
            is_linear: false,
            is_log_x: true,
            curves: total.strategies.iter().map(curve).collect(),
        }),
    };
    Figure::new(
        "total-time",
        "Total time against the length of training",
        "Time per real output of a training with this many steps: that of steps with known shapes, plus the \
         cost of the first use of every padded shape that occurs in them. Bands are 95 % intervals of each \
         strategy; the table has those of ratios, which are narrower. Shown if first uses take more than 1 % \
         of a strategy's time.",
        totals.iter().filter(|total| total.matters).map(panel),
    )
}
