//! Time per real graph, block by block.

use std::collections::BTreeMap;

use super::{Centre, Curve, Curves, Figure, Panel, Plot, point};
use crate::query;
use crate::setting::{Group, Setting, size_name};

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = settings.iter().flat_map(|setting| {
        setting.batch_sizes().into_iter().filter_map(|size| {
            let curves: Vec<Curve> = setting.at(size).filter_map(curve).collect();
            let (setting, title) = (setting.title.clone(), format!("B = {}", size_name(size)));
            let (unit, x) = ("µs per real graph".to_owned(), "blocks");
            let is_empty = curves.is_empty();
            let plot = Plot::Curves(Curves { unit, x, curves });
            (!is_empty).then_some(Panel { setting, title, plot })
        })
    });
    Figure {
        id: "blocks",
        title: "Time per real graph, block by block",
        note: "Runs of one cell are trained in turns; what disturbs the machine shows in the same \
               block of all of them, and cancels in their ratios. Median over cells; the band \
               reaches from the least to the greatest. Block 0, the warm-up, is left out."
            .to_owned(),
        query: query::blocks(),
        strategies: Vec::new(),
        panels: panels.collect(),
    }
}

fn curve(group: &Group) -> Option<Curve> {
    let mut by_block: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for block in group.runs.iter().filter(|run| run.cell.is_some()).flat_map(|run| &run.blocks) {
        by_block.entry(block.number).or_default().push(block.ns_per_output() / 1e3);
    }
    let points = by_block
        .iter()
        .filter_map(|(block, sample)| Some((*block as f64, point(sample, Centre::Median)?)));
    let points: Vec<_> = points.collect();
    (points.len() > 1).then(|| Curve { batcher: group.batcher.clone(), points })
}
