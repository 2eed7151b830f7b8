//! Mirrored pairs of blocks, over which strategies that were trained in turns are compared: of two blocks
//! the second has the order of the first backwards, so that a drift of the machine cancels.

use std::collections::BTreeMap;

use batchlab_results::{Block, RunSummary};

pub(crate) type Pair<'a> = [&'a Block; 2];

/// The pairs of a strategy, by cell and number.
pub(crate) type Pairs<'a> = BTreeMap<(&'a str, i64), Pair<'a>>;

pub(crate) fn pairs<'a>(runs: impl IntoIterator<Item = &'a RunSummary>) -> Pairs<'a> {
    let in_cells = runs.into_iter().filter_map(|run| Some((run.run.cell.as_deref()?, run)));
    let of_run = |(cell, run): (&'a str, &'a RunSummary)| {
        Block::mirrored(&run.steps.blocks).map(move |pair| ((cell, pair[0].number / 2), pair))
    };
    in_cells.flat_map(of_run).collect()
}

/// The mean logarithm of something of both blocks.
pub(crate) fn log(pair: &Pair<'_>, of_block: fn(&Block) -> f64) -> f64 {
    pair.iter().map(|block| of_block(block).ln()).sum::<f64>() / 2.0
}
