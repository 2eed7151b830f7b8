//! Compares strategies measured side by side: which of them may be the best.

use crate::all_pairs::{Standing, standings};
use crate::error::check;
use crate::quantile::bonferroni;
use crate::{StatsError, mean};

/// Minimum number of rows for an interval.
const FEWEST: usize = 3;
/// Intervals from fewer rows than this are wide and should be flagged as based on few pairs.
pub const FEW_PAIRS: usize = 5;

/// A comparison of strategies over rows in each of which all of them were measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// One per column.
    pub strategies: Vec<Standing>,
    /// Residual standard deviation, after removing row and strategy effects.
    pub sd: f64,
    /// Degrees of freedom of `sd`.
    pub freedom: f64,
    /// Autocorrelation of the residuals of neighbouring rows.
    pub memory: f64,
    /// Factor by which this autocorrelation widens all intervals.
    pub widening: f64,
}

impl Best {
    /// The strategies that may be the best: none is known to be slower than another.
    pub fn set(&self) -> impl Iterator<Item = usize> {
        let strategies = self.strategies.iter().enumerate();
        strategies.filter(|(_, standing)| standing.may_be_best).map(|(i, _)| i)
    }
}

/// Compares all strategies with the best, which is itself unknown.
///
/// A row holds one number for every strategy, measured close together in time, for example the mean
/// of the logarithms of a mirrored pair of blocks. Rows are in chronological order. The statements
/// hold simultaneously with probability `1 - level`: every strategy outside the set is slower than
/// the best, and each interval covers the ratio to the best.
///
/// All pairs of strategies are compared with the Bonferroni-corrected t quantile and the larger of
/// two standard errors, one of the pair's differences and the pooled one; both are inflated
/// for autocorrelation between neighbouring rows. The best of the sample is therefore never the
/// reference of its own test. At a level of 5 % the error is up to 13 % if strategies have skewed
/// noise of different size (two strategies, 40 rows), and 17 % if each drifts independently (eight
/// strategies, five rows): the worst of all cases simulated in `tests/it/simulation.rs`.
///
/// # Errors
/// If there are fewer than two strategies or three rows, rows of different lengths, a non-finite
/// number, no spread at all (the clock is too coarse), or a level outside of (0, 1).
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

/// Simultaneous intervals of the log ratios to a reference strategy named before any measurement;
/// `(0, 0)` for the reference itself. Otherwise like [`compare_with_best`].
///
/// # Errors
/// As for [`compare_with_best`], or if `reference` is not a column.
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

/// Quantities shared by all comparisons of one table.
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
        // Rounding leaves residuals even if the numbers differ by strategy alone.
        let largest = rows.iter().flatten().fold(0.0, |largest: f64, y| largest.max(y.abs()));
        if squares.sqrt() <= 1e-13 * largest {
            return Err(StatsError::NoSpread);
        }
        let (rows, strategies) = (n as f64, k as f64);
        let freedom = (rows - 1.0) * (strategies - 1.0);
        let neighbours = residuals.windows(2).map(|pair| dot(&pair[0], &pair[1]));
        let memory = neighbours.sum::<f64>() / squares;
        // 1 / n corrects the bias of the estimate, as the means come from the same rows.
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

/// Residuals of all numbers after removing row and strategy effects.
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
