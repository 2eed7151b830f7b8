//! Successive verdicts about the same strategies.

use crate::mean;

/// Error probability of the first verdict.
const FIRST: f64 = 0.05;
/// Total error probability of all later verdicts.
const LATER: f64 = 0.01;

/// From this many groups of rows, each group counts as one row.
pub const GROUPS: usize = 5;

/// The level of the `n`-th verdict about the same strategies, from 1. Measuring until a verdict is
/// conclusive has a higher error rate than a single verdict. The first verdict, at the planned
/// sample size, gets 5 %; later ones get a half, a sixth, a twelfth, ... of 1 %, so that all of
/// them together err in at most 6 %, however many there are.
///
/// ```
/// # use batchlab_stats::level_of_verdict;
/// assert_eq!(level_of_verdict(1), 0.05);
/// let later: f64 = (2..=100_000).map(level_of_verdict).sum();
/// assert!(later < 0.01 && later > 0.0099);
/// ```
#[must_use]
pub fn level_of_verdict(n: usize) -> f64 {
    if n < 2 { FIRST } else { LATER / (n as f64 * (n as f64 - 1.0)) }
}

/// The rows for a comparison, from grouped rows: rows of one process, for example, share effects
/// that the next process does not have. With five or more groups, each group becomes one row, the
/// mean of its rows; otherwise all rows count, and the conclusion is limited to these groups.
#[must_use]
pub fn rows_of_groups(groups: Vec<Vec<Vec<f64>>>) -> Vec<Vec<f64>> {
    if groups.len() < GROUPS {
        return groups.into_iter().flatten().collect();
    }
    groups.iter().map(|rows| mean_row(rows)).collect()
}

fn mean_row(rows: &[Vec<f64>]) -> Vec<f64> {
    let column = |i: usize| rows.iter().map(|row| row[i]).collect::<Vec<f64>>();
    let n_column = rows.first().map_or(0, Vec::len);
    (0..n_column).map(|i| mean(&column(i)).unwrap_or(f64::NAN)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_groups_are_five_rows() {
        let group = |x: f64| vec![vec![x, 2.0 * x], vec![x + 2.0, 2.0 * x]];
        let groups = |n: i32| (0..n).map(|i| group(f64::from(i))).collect::<Vec<_>>();
        assert_eq!(rows_of_groups(groups(4)).len(), 8);
        let rows = rows_of_groups(groups(5));
        assert_eq!((rows.len(), rows[3].clone()), (5, vec![4.0, 6.0]));
        assert!(rows_of_groups(Vec::new()).is_empty());
    }
}
