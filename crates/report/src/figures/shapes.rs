//! Distinct padded shapes. An engine that compiles per shape compiles each of them once.

use batchlab_stats::mean;

use super::{Figure, Panel, Plot, Stack, Stacks};
use crate::number::short;
use crate::setting::{Setting, size_title};

const PART: &str = "shapes";

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = settings.iter().flat_map(|setting| {
        setting.batch_sizes().into_iter().filter_map(|size| panel(setting, size))
    });
    Figure {
        strategies: vec![PART.to_owned()],
        ..Figure::new(
            "shapes",
            "Distinct padded shapes",
            "An engine that compiles per shape compiles each of these once; batchlab's own engine compiles \
             none. Means over runs.",
            panels,
        )
    }
}

fn panel(setting: &Setting, size: Option<i64>) -> Option<Panel> {
    let bars = setting.at(size).filter_map(|group| {
        let n_shape = mean(&group.sample(|run| run.run.n_shape.map(|n| n as f64)))?;
        let (batcher, label) = (group.batcher.clone(), short(n_shape));
        Some(Stack { batcher, label, parts: vec![n_shape] })
    });
    let bars: Vec<Stack> = bars.collect();
    let (unit, parts) = ("shapes of a run".to_owned(), vec![PART.to_owned()]);
    (!bars.is_empty()).then(|| Panel {
        setting: setting.title.clone(),
        title: size_title(size),
        plot: Plot::Stacks(Stacks { unit, parts, bars }),
    })
}
