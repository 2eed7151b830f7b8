//! Strategies that were measured side by side: which of them may be the best.

use crate::all_pairs::{Standing, standings};
use crate::error::check;
use crate::quantile::bonferroni;
use crate::{StatsError, mean};

/// With fewer rows there is no interval.
const FEWEST: usize = 3;
/// Intervals of fewer rows than this are wide, and are to be marked as those of few pairs.
pub const FEW_PAIRS: usize = 5;

/// A comparison of strategies over rows in which each of them was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// One for each column.
    pub strategies: Vec<Standing>,
    /// Standard deviation of a number once the effects of its row and its strategy are taken off.
    pub sd: f64,
    /// Degrees of freedom of `sd`.
    pub freedom: f64,
    /// Correlation of neighbouring rows, of what is left of a number in `sd`.
    pub memory: f64,
    /// By what factor all intervals are wider because of it.
    pub widening: f64,
}

impl Best {
    /// The strategies of which none is known to be slower than another.
    pub fn set(&self) -> impl Iterator<Item = usize> {
        let strategies = self.strategies.iter().enumerate();
        strategies.filter(|(_, standing)| standing.may_be_best).map(|(i, _)| i)
    }
}

/// Compares all strategies with the best, which is not known either.
///
/// A row holds one number for every strategy, measured close together in time: the mean of the logarithms
/// of a mirrored pair of blocks, say. Rows come in the order of time. The statements hold together with
/// probability `1 - level`: every strategy that is not in the set is slower than the best, and each
/// interval holds the ratio to the best.
///
/// All pairs of strategies are compared with the t quantile of Bonferroni and the larger of two standard
/// errors, that of the differences of the two and that of all strategies together; both are wider where
/// neighbouring rows are alike. The best of a sample is therefore never the reference of its own test.
/// At a level of 5 % the error is up to 13 % where strategies differ in noise that is skewed (two strategies, 40
/// rows), and 17 % where each drifts on its own (eight strategies, five rows): the worst of all cases that
/// `tests/it/simulation.rs` simulates.
///
/// # Errors
/// Fewer than two strategies or three rows, rows of different lengths, a number that is not finite, no
/// spread at all (the clock is too coarse), a level outside of (0, 1).
pub fn compare_with_best(rows: &[Vec<f64>], level: f64) -> Result<Best, StatsError> {
    let scatter = Scatter::of(rows)?;
    let k = scatter.means.len();
    let quantile = bonferroni(level, k * (k - 1) / 2, scatter.freedom)?;
    let half_width = |i, j| quantile * scatter.error(rows, i, j);
    Ok(Best {
        strategies: standings(&scatter.means, half_width),
        sd: scatter.sd,
        freedom: scatter.freedom,
        memory: scatter.memory,
        widening: scatter.widening,
    })
}

/// Simultaneous intervals of the logarithms of the ratios to one strategy that was named before anything
/// was measured; `(0, 0)` for that strategy itself. Otherwise as [`compare_with_best`].
///
/// # Errors
/// As [`compare_with_best`], and a `reference` that is no column.
pub fn compare_with(
    reference: usize,
    rows: &[Vec<f64>],
    level: f64,
) -> Result<Vec<(f64, f64)>, StatsError> {
    let scatter = Scatter::of(rows)?;
    let means = &scatter.means;
    let of_reference = *means.get(reference).ok_or(StatsError::NoSuchStrategy)?;
    let quantile = bonferroni(level, means.len() - 1, scatter.freedom)?;
    let interval = |i: usize| {
        let difference = means[i] - of_reference;
        let half_width = quantile * scatter.error(rows, i, reference);
        if i == reference { (0.0, 0.0) } else { (difference - half_width, difference + half_width) }
    };
    Ok((0..means.len()).map(interval).collect())
}

/// What is common to all comparisons of one table.
struct Scatter {
    means: Vec<f64>,
    sd: f64,
    freedom: f64,
    memory: f64,
    widening: f64,
}

impl Scatter {
    fn of(rows: &[Vec<f64>]) -> Result<Self, StatsError> {
        let (n, k) = (rows.len(), rows.first().map_or(0, Vec::len));
        if n < FEWEST {
            return Err(StatsError::TooFew { needed: FEWEST, got: n });
        }
        if k < 2 {
            return Err(StatsError::NothingToCompare);
        }
        for row in rows {
            if row.len() != k {
                return Err(StatsError::Ragged { first: k, other: row.len() });
            }
            check(row, k)?;
        }
        let means: Vec<f64> = (0..k).map(|i| column_mean(rows, i)).collect();
        let residuals = residuals(rows, &means);
        let squares: f64 = residuals.iter().flatten().map(|e| e * e).sum();
        // Rounding leaves something of numbers that differ by their strategy alone.
        let largest = rows.iter().flatten().fold(0.0, |largest: f64, y| largest.max(y.abs()));
        if squares.sqrt() <= 1e-13 * largest {
            return Err(StatsError::NoSpread);
        }
        let (rows, strategies) = (n as f64, k as f64);
        let freedom = (rows - 1.0) * (strategies - 1.0);
        let neighbours = residuals.windows(2).map(|pair| dot(&pair[0], &pair[1]));
        let memory = neighbours.sum::<f64>() / squares;
        // 1 / n takes off what the estimate is too small by, as the means are those of the same rows.
        let likeness = (memory + 1.0 / rows).clamp(0.0, 0.9);
        Ok(Self {
            means,
            sd: (squares / freedom).sqrt(),
            freedom,
            memory,
            widening: ((1.0 + likeness) / (1.0 - likeness)).sqrt(),
        })
    }

    /// Standard error of the difference of two means.
    fn error(&self, rows: &[Vec<f64>], i: usize, j: usize) -> f64 {
        let n = rows.len() as f64;
        let difference = self.means[i] - self.means[j];
        let squares: f64 = rows.iter().map(|row| (row[i] - row[j] - difference).powi(2)).sum();
        let own = (squares / (n - 1.0) / n).sqrt();
        let pooled = self.sd * (2.0 / n).sqrt();
        self.widening * own.max(pooled)
    }
}

/// What is left of every number without the effects of its row and its strategy.
fn residuals(rows: &[Vec<f64>], means: &[f64]) -> Vec<Vec<f64>> {
    let grand = mean(means).unwrap_or_default();
    let of_row = |row: &Vec<f64>| {
        let centre = mean(row).unwrap_or_default();
        row.iter().zip(means).map(|(y, mean)| y - mean - centre + grand).collect()
    };
    rows.iter().map(of_row).collect()
}

fn column_mean(rows: &[Vec<f64>], column: usize) -> f64 {
    rows.iter().map(|row| row[column]).sum::<f64>() / rows.len() as f64
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
