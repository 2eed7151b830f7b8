//! Intervals for two strategies that were measured alternately: pairs of blocks within cells.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::bootstrap::{FEWEST, Interval, N_RESAMPLE};
use crate::describe::quantile_of_sorted;
use crate::error::check;
use crate::{StatsError, mean};

/// With fewer blocks in a cell, its spread is not known.
const FEWEST_OF_CELL: usize = 3;

/// What was drawn with replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// Blocks within their cells: what follows holds for these cells, that is for these seeds and
    /// these processes.
    Blocks,
    /// Whole cells: what follows holds for other seeds and processes as well.
    Cells,
}

/// A ratio, where it lies, and what that was concluded from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatioOfBlocks {
    pub interval: Interval,
    pub replication: Replication,
}

/// Geometric mean of the ratios `a / b` of pairs of blocks; every cell counts the same. None
/// without pairs.
///
/// ```
/// let cells = [vec![(2.0, 1.0), (8.0, 1.0)], vec![(4.0, 1.0)]];
/// assert!((batchlab_stats::ratio_of_blocks(&cells).unwrap() - 4.0).abs() < 1e-12);
/// ```
#[must_use]
pub fn ratio_of_blocks(cells: &[Vec<(f64, f64)>]) -> Option<f64> {
    let means: Vec<f64> = cells.iter().filter_map(|cell| mean(&logs(cell))).collect();
    mean(&means).map(f64::exp)
}

/// [`ratio_of_blocks`] with a bootstrap-t interval (Efron and Tibshirani, An Introduction to the
/// Bootstrap, 1993, chapter 12) of the mean logarithm of the ratios: unlike a percentile interval
/// it is not too narrow for few units.
///
/// `cells[i]` holds the pairs of blocks of one cell; the two numbers of a pair were measured close
/// together in time, so that what disturbed one disturbed the other. From five cells on, whole cells
/// are drawn, as their blocks share what is peculiar to a process and its seeds (Davison and
/// Hinkley, Bootstrap Methods and their Application, 1997, section 3.8); with fewer, blocks are
/// drawn within each cell. Neighbouring blocks are not quite independent: pairs come in the order in
/// which they were measured, and where the ratios of neighbours are alike, with correlation r, the
/// interval is wider by sqrt(1 + 2 r), as the standard error of the mean of such a series is.
///
/// Equal `seed`s give equal intervals.
///
/// # Errors
/// Fewer than five cells that together have fewer than five units (a cell of n blocks has n, less
/// one for each cell after the first) or a cell of fewer than three blocks, numbers that are not
/// finite and above 0, a confidence outside of (0, 1).
pub fn interval_of_blocks(
    cells: &[Vec<(f64, f64)>],
    confidence: f64,
    seed: u64,
) -> Result<RatioOfBlocks, StatsError> {
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(StatsError::Confidence);
    }
    for cell in cells {
        let numbers: Vec<f64> = cell.iter().flat_map(|&(a, b)| [a, b]).collect();
        check(&numbers, 1)?;
        if numbers.iter().any(|&x| x <= 0.0) {
            return Err(StatsError::NotPositive);
        }
    }
    let cells: Vec<Vec<f64>> = cells.iter().map(|cell| logs(cell)).collect();
    let (strata, replication, widening) = if cells.len() >= FEWEST {
        let means = cells.iter().filter_map(|cell| mean(cell)).collect();
        (vec![means], Replication::Cells, 1.0)
    } else {
        enough(&cells)?;
        let likeness = lag_one_correlation(&cells);
        (cells, Replication::Blocks, (1.0 + 2.0 * likeness).sqrt())
    };
    let interval = bootstrap_t(&strata, widening, confidence, seed);
    let interval = Interval {
        estimate: interval.estimate.exp(),
        low: interval.low.exp(),
        high: interval.high.exp(),
    };
    Ok(RatioOfBlocks { interval, replication })
}

fn logs(cell: &[(f64, f64)]) -> Vec<f64> {
    cell.iter().map(|(a, b)| (a / b).ln()).collect()
}

/// Of few cells, whether their blocks are enough.
fn enough(cells: &[Vec<f64>]) -> Result<(), StatsError> {
    let n_block: usize = cells.iter().map(Vec::len).sum();
    let got = (n_block + 1).saturating_sub(cells.len());
    if got < FEWEST {
        return Err(StatsError::TooFew { needed: FEWEST, got });
    }
    match cells.iter().map(Vec::len).min() {
        Some(least) if least < FEWEST_OF_CELL => {
            Err(StatsError::TooFew { needed: FEWEST_OF_CELL, got: least })
        }
        _ => Ok(()),
    }
}

/// Autocorrelation at lag 1 within cells; 0 where it is negative.
fn lag_one_correlation(cells: &[Vec<f64>]) -> f64 {
    let (mut together, mut squares) = (0.0, 0.0);
    for cell in cells {
        let centre = mean(cell).unwrap_or_default();
        together +=
            cell.windows(2).map(|pair| (pair[0] - centre) * (pair[1] - centre)).sum::<f64>();
        squares += cell.iter().map(|x| (x - centre) * (x - centre)).sum::<f64>();
    }
    if squares > 0.0 { (together / squares).max(0.0) } else { 0.0 }
}

/// Mean over strata of their means; `widening` is a factor of its interval.
fn bootstrap_t(strata: &[Vec<f64>], widening: f64, confidence: f64, seed: u64) -> Interval {
    let (estimate, error) = mean_and_error(strata);
    if error <= 0.0 {
        return Interval { estimate, low: estimate, high: estimate };
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = strata.to_vec();
    let mut statistics = Vec::with_capacity(N_RESAMPLE);
    for _ in 0..N_RESAMPLE {
        for (drawn, stratum) in drawn.iter_mut().zip(strata) {
            drawn.fill_with(|| stratum[random.random_range(0..stratum.len())]);
        }
        let (centre, spread) = mean_and_error(&drawn);
        // A resample of one unit alone has no spread and is skipped.
        if spread > 1e-9 * error {
            statistics.push((centre - estimate) / spread);
        }
    }
    statistics.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    let error = widening * error;
    let end = |p| estimate - error * quantile_of_sorted(&statistics, p).unwrap_or(f64::NAN);
    Interval { estimate, low: end(1.0 - tail), high: end(tail) }
}

/// The mean over strata of their means, and its standard error. Strata have two numbers or more.
fn mean_and_error(strata: &[Vec<f64>]) -> (f64, f64) {
    let (mut centre, mut squared) = (0.0, 0.0);
    for stratum in strata {
        let n = stratum.len() as f64;
        let of_stratum = stratum.iter().sum::<f64>() / n;
        let deviations: f64 = stratum.iter().map(|x| (x - of_stratum) * (x - of_stratum)).sum();
        centre += of_stratum;
        squared += deviations / (n - 1.0) / n;
    }
    let n = strata.len() as f64;
    (centre / n, squared.sqrt() / n)
}
