//! The numbers that a verdict compares: one row per mirrored pair of blocks, cell or seed.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use batchlab_results::{Block, RunSummary};
use batchlab_stats::{GROUPS, mean, rows_of_groups};

use super::{Apart, Measure, Unit};
use crate::pairing::{Pair, Pairs, log, pairs};
use crate::read::Run;
use crate::setting::Group;

/// Logarithms of times.
pub(crate) struct Table<'a> {
    /// The compared strategies.
    pub(crate) groups: Vec<&'a Group>,
    pub(super) unit: Unit,
    /// A row per unit in chronological order, with a number per strategy; a row per strategy if the
    /// unit is [`Unit::Runs`].
    pub(crate) rows: Vec<Vec<f64>>,
    /// Total time over total outputs of each strategy, or the mean over its runs.
    pub(super) totals: Vec<f64>,
    /// Largest ratio of the noise of two strategies that were trained in blocks.
    pub(super) noise_ratio: Option<f64>,
    pub(super) apart: Vec<Apart>,
    /// The cells from which the rows come.
    pub(super) cells: Vec<&'a str>,
    /// Mean time of a pair of blocks, all strategies together.
    pub(super) pair_ns: Option<f64>,
}

impl<'a> Table<'a> {
    /// `None` with fewer than two strategies.
    pub(crate) fn of(groups: &[&'a Group], measure: Measure) -> Option<Self> {
        if groups.len() < 2 {
            return None;
        }
        let of_blocks = || of_blocks(groups, measure.of_block()?);
        of_blocks().or_else(|| of_seeds(groups, measure)).or_else(|| of_runs(groups, measure))
    }

    pub(crate) fn is_paired(&self) -> bool {
        !matches!(self.unit, Unit::Runs { .. })
    }

    /// Mean logarithm of each strategy.
    pub(super) fn means(&self) -> Vec<f64> {
        let mean = |numbers: Vec<f64>| mean(&numbers).unwrap_or(f64::NAN);
        (0..self.groups.len()).map(|i| mean(self.column(i))).collect()
    }

    /// The logarithms of one strategy.
    pub(crate) fn column(&self, i: usize) -> Vec<f64> {
        if self.is_paired() {
            self.rows.iter().map(|row| row[i]).collect()
        } else {
            self.rows[i].clone()
        }
    }
}

/// Cell and number of a pair. The ID of the cell's first run comes first, so that cells sort
/// chronologically.
type PairKey<'a> = (&'a str, &'a str, i64);

/// `None` if no two strategies were trained in the same blocks.
fn of_blocks<'a>(groups: &[&'a Group], of_block: fn(&Block) -> f64) -> Option<Table<'a>> {
    let started = first_runs(groups);
    let mut compared: Vec<(&Group, Pairs<'_>)> =
        groups.iter().map(|group| (*group, pairs(summaries(group)))).collect();
    let mut apart = Vec::new();
    let keys = loop {
        if compared.len() < 2 {
            return None;
        }
        let first = compared[0].1.keys();
        let is_measured = |pair: &Pair<'_>| log(pair, of_block).is_finite();
        let is_shared = |key: &&(&str, i64)| {
            compared.iter().all(|(_, own)| own.get(*key).is_some_and(is_measured))
        };
        let mut keys: Vec<PairKey<'_>> =
            first.filter(is_shared).map(|&(cell, pair)| (started[cell], cell, pair)).collect();
        keys.sort_unstable();
        if !keys.is_empty() {
            break keys;
        }
        // Among equally many, the last by name.
        let key = |&i: &usize| (compared[i].1.len(), Reverse(compared[i].0.batcher.as_str()));
        let fewest = (0..compared.len()).min_by_key(key)?;
        let (group, _) = compared.remove(fewest);
        let why = "it was not trained in the same blocks as the others";
        apart.push(Apart { batcher: group.batcher.clone(), why });
    };
    let row = |&(_, cell, pair): &PairKey<'_>| -> Vec<f64> {
        let log = |own: &Pairs<'_>| log(&own[&(cell, pair)], of_block);
        compared.iter().map(|(_, own)| log(own)).collect()
    };
    let of_pairs: Vec<(&str, Vec<f64>)> = keys.iter().map(|key| (key.1, row(key))).collect();
    let cells = of_pairs.chunk_by(|a, b| a.0 == b.0);
    let of_cells: Vec<Vec<Vec<f64>>> =
        cells.map(|pairs| pairs.iter().map(|(_, row)| row.clone()).collect()).collect();
    let (n_pair, n_cell) = (of_pairs.len(), of_cells.len());
    let unit = if n_cell >= GROUPS {
        Unit::Cells { n_cell, n_pair }
    } else {
        Unit::Pairs { n_pair, n_cell }
    };
    let rows = rows_of_groups(of_cells);
    let used = |own: &Pairs<'a>| -> Vec<Pair<'a>> {
        keys.iter().map(|&(_, cell, pair)| own[&(cell, pair)]).collect()
    };
    let used: Vec<Vec<Pair<'_>>> = compared.iter().map(|(_, own)| used(own)).collect();
    let totals = used.iter().map(|pairs| {
        let sum =
            |of: fn(&Block) -> f64| pairs.iter().flatten().map(|block| of(block)).sum::<f64>();
        sum(|block| block.ns) / sum(|block| block.n_output)
    });
    let mut cells: Vec<&str> = keys.iter().map(|key| key.1).collect();
    cells.dedup();
    Some(Table {
        totals: totals.collect(),
        cells,
        noise_ratio: noise_ratio(&used),
        groups: compared.into_iter().map(|(group, _)| group).collect(),
        unit,
        rows,
        apart,
        pair_ns: Some(
            used.iter().flatten().flatten().map(|block| block.ns).sum::<f64>() / n_pair as f64,
        ),
    })
}

fn summaries(group: &Group) -> impl Iterator<Item = &RunSummary> {
    group.runs.iter().map(|run| &run.summary)
}

/// The first run of every cell; run IDs begin with the start time.
fn first_runs<'a>(groups: &[&'a Group]) -> BTreeMap<&'a str, &'a str> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for run in groups.iter().flat_map(|group| &group.runs) {
        if let Some(cell) = run.run.cell.as_deref() {
            let first = first.entry(cell).or_insert(&run.run.run_id);
            *first = run.run.run_id.as_str().min(first);
        }
    }
    first
}

/// Ratio of the largest to the smallest within-pair noise over the strategies.
fn noise_ratio(strategies: &[Vec<Pair<'_>>]) -> Option<f64> {
    let squares = |pairs: &Vec<Pair<'_>>| {
        let squared = |pair: &Pair<'_>| {
            let [first, second] = pair.map(|block| block.ns_per_output().ln());
            (first - second).powi(2)
        };
        pairs.iter().map(squared).sum::<f64>()
    };
    let of_each: Vec<f64> = strategies.iter().map(squares).collect();
    let least = of_each.iter().copied().fold(f64::INFINITY, f64::min);
    let most = of_each.iter().copied().fold(0.0, f64::max);
    (least > 0.0).then(|| (most / least).sqrt())
}

/// The cells in which all of these strategies were trained.
pub(crate) fn shared_cells<'a>(groups: &[&'a Group]) -> Vec<&'a str> {
    let cells = |group: &'a Group| -> Vec<&'a str> {
        let with_blocks = group.runs.iter().filter(|run| !run.steps.blocks.is_empty());
        with_blocks.filter_map(|run| run.run.cell.as_deref()).collect()
    };
    let all: Vec<Vec<&str>> = groups.iter().map(|group| cells(group)).collect();
    let mut shared = all.first().cloned().unwrap_or_default();
    shared.retain(|cell| all.iter().all(|own| own.contains(cell)));
    shared.sort_unstable();
    shared.dedup();
    shared
}

/// `None` unless every strategy was run once with each of the same seeds.
fn of_seeds<'a>(groups: &[&'a Group], measure: Measure) -> Option<Table<'a>> {
    let timed = |group: &'a Group| -> BTreeMap<[i64; 3], Vec<f64>> {
        let mut of_seeds: BTreeMap<[i64; 3], Vec<f64>> = BTreeMap::new();
        for run in &group.runs {
            if let (Some(time), Some(seeds)) = (measure.of(run), seeds(run)) {
                of_seeds.entry(seeds).or_default().push(time);
            }
        }
        of_seeds
    };
    let of_groups: Vec<BTreeMap<[i64; 3], Vec<f64>>> = groups.iter().map(|g| timed(g)).collect();
    let seeds: Vec<[i64; 3]> = of_groups[0].keys().copied().collect();
    let is_complete = |of: &BTreeMap<[i64; 3], Vec<f64>>| {
        of.keys().eq(seeds.iter()) && of.values().all(|times| times.len() == 1)
    };
    if seeds.is_empty() || !of_groups.iter().all(is_complete) {
        return None;
    }
    let row = |seeds: &[i64; 3]| of_groups.iter().map(|of| of[seeds][0].ln()).collect();
    Some(Table {
        rows: seeds.iter().map(row).collect(),
        unit: Unit::Seeds { n_seed: seeds.len() },
        totals: mean_times(groups, measure),
        noise_ratio: None,
        groups: groups.to_vec(),
        apart: Vec::new(),
        cells: Vec::new(),
        pair_ns: None,
    })
}

fn seeds(run: &Run) -> Option<[i64; 3]> {
    let [split, order, init] = run.seeds();
    Some([split?, order?, init?])
}

fn of_runs<'a>(groups: &[&'a Group], measure: Measure) -> Option<Table<'a>> {
    let logs = |group: &&Group| group.sample(|run| measure.of(run).map(f64::ln));
    let rows: Vec<Vec<f64>> = groups.iter().map(logs).collect();
    let (least, most) = (rows.iter().map(Vec::len).min()?, rows.iter().map(Vec::len).max()?);
    (least > 0).then(|| Table {
        rows,
        unit: Unit::Runs { least, most },
        totals: mean_times(groups, measure),
        noise_ratio: None,
        groups: groups.to_vec(),
        apart: Vec::new(),
        cells: Vec::new(),
        pair_ns: None,
    })
}

fn mean_times(groups: &[&Group], measure: Measure) -> Vec<f64> {
    let of_group = |group: &&Group| mean(&group.sample(|run| measure.of(run))).unwrap_or(f64::NAN);
    groups.iter().map(of_group).collect()
}
