//! Mirrored pairs excluded because one of their blocks was disturbed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use batchlab_stats::most_unusual;
use serde::Serialize;

use crate::pairing::all_pairs;
use crate::setting::Group;

/// A mirrored pair excluded by a sweep, by a rule that is blind to which strategy was disturbed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeftOutPair {
    pub cell: String,
    /// Counted from 1.
    pub pair: i64,
    /// The strategy with the disturbed block.
    pub batcher: String,
    /// Its time relative to normal, compared with the other strategies.
    pub factor: f64,
}

/// Excluded pairs of the compared cells.
pub(super) fn left_out(groups: &[&Group], cells: &[&str]) -> Vec<LeftOutPair> {
    cells.iter().flat_map(|cell| of_cell(groups, cell)).collect()
}

fn of_cell(groups: &[&Group], cell: &str) -> Vec<LeftOutPair> {
    let runs: Vec<_> = groups
        .iter()
        .flat_map(|group| group.runs.iter().map(|run| (group.batcher.as_str(), &run.summary)))
        .filter(|(_, run)| run.run.cell.as_deref() == Some(cell) && !run.steps.blocks.is_empty())
        .collect();
    let is_disturbed: BTreeMap<i64, bool> = runs
        .iter()
        .flat_map(|(_, run)| &run.steps.blocks)
        .map(|block| (block.pair(), block.is_disturbed))
        .collect();
    let pairs = all_pairs(runs.iter().map(|(_, run)| *run));
    let rows: Vec<Vec<[f64; 2]>> = pairs.iter().map(|(_, row)| row.clone()).collect();
    let named = most_unusual(&rows).into_iter().map(|unusual| LeftOutPair {
        cell: cell.to_owned(),
        pair: pairs[unusual.pair].0,
        batcher: runs[unusual.strategy].0.to_owned(),
        factor: unusual.log.exp(),
    });
    named.filter(|named| is_disturbed[&named.pair]).collect()
}

/// Describes them, given the number of pairs compared.
pub(super) fn sentence(left_out: &[LeftOutPair], n_used: usize) -> Option<String> {
    let first = left_out.first()?;
    let all = left_out.len() + n_used;
    let mut of_each: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for pair in left_out {
        of_each.entry(&pair.batcher).or_default().push(pair.factor);
    }
    let each = |(batcher, factors): (&&str, &Vec<f64>)| {
        let least = factors.iter().copied().fold(f64::INFINITY, f64::min);
        let most = factors.iter().copied().fold(0.0, f64::max);
        let range = match factors.as_slice() {
            [one] => format!("{one:.2}"),
            _ => format!("{least:.2} to {most:.2}"),
        };
        format!("{batcher} took {range} times as long as usual")
    };
    let each: Vec<String> = of_each.iter().map(each).collect();
    let are = if left_out.len() == 1 { "is" } else { "are" };
    let mut text = format!(
        "{} of {all} mirrored pairs {are} left out because a block was disturbed: {}.",
        left_out.len(),
        each.join(", ")
    );
    if left_out.len() >= 3 && of_each.len() == 1 {
        let _ = write!(
            text,
            " All of these are of {0}: if it is occasionally slow on its own, the factors do not show it.",
            first.batcher
        );
    }
    Some(text)
}
