//! Statistics as histograms.

use batchlab_core::Level;
use batchlab_core::number::grouped;
use batchlab_forecast::picture::{self, Panel};

use super::summary::{DatasetSummary, Kind};
use crate::unit;

pub(super) fn draw(summaries: &[DatasetSummary]) -> String {
    let drawn: Vec<picture::DatasetSummary<'_>> = summaries.iter().map(one).collect();
    picture::summaries(&drawn)
}

fn one(summary: &DatasetSummary) -> picture::DatasetSummary<'_> {
    let (nodes, edges) = (grouped(summary.n_node as u64), grouped(summary.n_edge));
    let title = match summary.level {
        Level::Graphs => {
            format!("{}: {} graphs", summary.dataset, grouped(summary.n_member as u64))
        }
        Level::Nodes => format!("{}: {nodes} nodes, {edges} edges", summary.dataset),
    };
    let per = summary.level.output();
    let share = format!("% of {per}s");
    let mut panels = Vec::new();
    let mut add = |head: String, unit: &str, distribution| {
        if let Some(distribution) = distribution {
            panels.push(Panel {
                head: format!("{head}, {share}"),
                unit: unit.to_owned(),
                distribution,
            });
        }
    };
    add(format!("Nodes per {per}"), "", summary.nodes.as_ref());
    add(format!("Edges per {per}"), "", summary.edges.as_ref());
    if let Some(target) = &summary.target
        && let Kind::Number { unit, distribution } = &target.kind
    {
        add(target.name.clone(), &unit::around("", unit.as_deref(), ""), distribution.as_ref());
    }
    picture::DatasetSummary { title, panels }
}
