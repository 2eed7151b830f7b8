//! Time per real output, block by block.

use super::{Curve, Figure, curve_panels};
use crate::setting::{Group, Setting};

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = curve_panels(
        settings,
        |setting| format!("µs per real {}", setting.level().output()),
        "blocks",
        curve,
    );
    Figure::new(
        "blocks",
        "Time per real output, block by block",
        "Runs of one cell are trained in turns; disturbances of the machine show in the same \
               block of all of them, and cancel in their ratios. Median over cells; the band \
               reaches from the least to the greatest. Block 0, the warm-up, is left out.",
        panels,
    )
}

fn curve(group: &Group) -> Option<Curve> {
    let blocks = group.runs.iter().filter(|run| run.cell.is_some()).flat_map(|run| &run.blocks);
    super::curve(group, blocks.map(|block| (block.number, block.ns_per_output() / 1e3)))
}
