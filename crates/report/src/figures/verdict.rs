//! Intervals of each strategy's time relative to the fastest.

use super::{Figure, Forest, ForestRow, Panel, Plot};
use crate::setting::{Setting, size_title};
use crate::verdict::{Conclusion, Verdict};

pub(super) fn figure(settings: &[Setting], verdicts: &[Verdict]) -> Figure {
    let panels = verdicts.iter().map(|verdict| Panel {
        setting: settings[verdict.setting].title.clone(),
        title: size_title(verdict.batch_size),
        plot: Plot::Forest(forest(verdict)),
    });
    Figure::new(
        "verdict",
        "Verdict",
        "Time of each strategy relative to the fastest, whichever that is. A filled mark may be the fastest; a \
         hollow one is slower. The query computes the marks; the intervals come from \
         batchlab_stats::compare_with_best.",
        panels,
    )
}

fn forest(verdict: &Verdict) -> Forest {
    let row = |strategy: &crate::verdict::Strategy| ForestRow {
        batcher: strategy.batcher.clone(),
        value: strategy.factor,
        interval: strategy.interval,
        may_be_fastest: strategy.place == Conclusion::MayBeFastest,
    };
    Forest {
        unit: format!("{}, times the fastest", verdict.measure.name()),
        margin: Some(verdict.margin),
        rows: verdict.strategies.iter().map(row).collect(),
    }
}
