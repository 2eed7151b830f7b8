//! Figures as histograms.

use batchlab_core::Level;
use batchlab_forecast::picture::{self, Panel};

use super::portrait::{Kind, Portrait};
use crate::plan::grouped;
use crate::unit;

pub(super) fn draw(portraits: &[Portrait]) -> String {
    let drawn: Vec<picture::Portrait<'_>> = portraits.iter().map(one).collect();
    picture::portraits(&drawn)
}

fn one(portrait: &Portrait) -> picture::Portrait<'_> {
    let (nodes, edges) = (grouped(portrait.n_node as u64), grouped(portrait.n_edge));
    let title = match portrait.level {
        Level::Graphs => {
            format!("{}: {} graphs", portrait.dataset, grouped(portrait.n_member as u64))
        }
        Level::Nodes => format!("{}: {nodes} nodes, {edges} edges", portrait.dataset),
    };
    let per = match portrait.level {
        Level::Graphs => "graph",
        Level::Nodes => "node",
    };
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
    add(format!("Nodes per {per}"), "", portrait.nodes.as_ref());
    add(format!("Edges per {per}"), "", portrait.edges.as_ref());
    if let Some(target) = &portrait.target
        && let Kind::Number { unit, distribution } = &target.kind
    {
        add(target.name.clone(), &unit::around("", unit, ""), distribution.as_ref());
    }
    picture::Portrait { title, panels }
}
