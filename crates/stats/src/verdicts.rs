//! One verdict after another about the same strategies.

use crate::mean;

/// Probability that anything that the first verdict says is wrong.
const FIRST: f64 = 0.05;
/// The same of all later ones together.
const LATER: f64 = 0.01;

/// From so many groups of rows on, a group is one row.
pub const GROUPS: usize = 5;

/// The level of the `n`-th verdict about the same strategies, from 1. Whoever goes on measuring until a
/// verdict says something errs more often than a single verdict does. The first, of as much as was planned
/// beforehand, has 5 %; the later ones have a half, a sixth, a twelfth, ... of 1 %, so that all of them
/// together err in at most 6 %, however many there are.
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

/// The rows that a comparison is made of, from rows in groups: those of one process, say, have something in
/// common that the next process does not have. From five groups on a group is one row, the mean of its
/// rows; else all rows count, and the comparison is about these groups alone.
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
