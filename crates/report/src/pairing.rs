//! Mirrored pairs of blocks, the basis for comparing interleaved strategies. The second block of a
//! pair runs the strategies in reverse order, so that a drift of the machine cancels.

use std::collections::BTreeMap;

use batchlab_results::{Block, RunSummary};

pub(crate) type Pair<'a> = [&'a Block; 2];

/// The undisturbed pairs of a strategy, by cell and number.
pub(crate) type Pairs<'a> = BTreeMap<(&'a str, i64), Pair<'a>>;

pub(crate) fn pairs<'a>(runs: impl IntoIterator<Item = &'a RunSummary>) -> Pairs<'a> {
    let in_cells = runs.into_iter().filter_map(|run| Some((run.run.cell.as_deref()?, run)));
    let of_run = |(cell, run): (&'a str, &'a RunSummary)| {
        let pairs = Block::mirrored(&run.steps.blocks).filter(|[first, _]| !first.is_disturbed);
        pairs.map(move |pair| ((cell, pair[0].pair()), pair))
    };
    in_cells.flat_map(of_run).collect()
}

/// The mean of the logarithms of a quantity over both blocks.
pub(crate) fn log(pair: &Pair<'_>, of_block: fn(&Block) -> f64) -> f64 {
    pair.iter().map(|block| of_block(block).ln()).sum::<f64>() / 2.0
}

/// Log times of both blocks of each of these runs of one cell, by pair number. Only pairs that all
/// runs have; includes disturbed pairs.
pub(crate) fn all_pairs<'a>(
    runs: impl IntoIterator<Item = &'a RunSummary>,
) -> Vec<(i64, Vec<[f64; 2]>)> {
    let mut rows: BTreeMap<i64, Vec<[f64; 2]>> = BTreeMap::new();
    let mut n_run = 0;
    for run in runs {
        n_run += 1;
        for pair in Block::mirrored(&run.steps.blocks) {
            let logs = pair.map(|block| block.known_ns_per_output().ln());
            rows.entry(pair[0].pair()).or_default().push(logs);
        }
    }
    rows.into_iter().filter(|(_, row)| row.len() == n_run).collect()
}
