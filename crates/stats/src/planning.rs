//! Sample size planning.

use crate::quantile::{bonferroni, chi_squared, student};

/// Statistical power: probability of detecting a difference.
const POWER: f64 = 0.8;
/// More pairs than this are out of reach.
const MOST: u64 = 100_000;

/// Number of rows that [`compare_with_best`](crate::compare_with_best) needs to detect a difference
/// of logarithms between two of `k` strategies with 80 % power, given the standard deviation of `n`
/// rows: a plain estimate, and one that suffices in 8 of 10 cases even though `sd` is itself
/// uncertain. `None` if that is out of reach, or there is no basis for an estimate.
#[must_use]
pub fn pairs_needed(
    k: usize,
    n: usize,
    sd: f64,
    difference: f64,
    level: f64,
) -> Option<(u64, u64)> {
    let freedom = degrees(k, n as f64);
    let safe = sd * (freedom / chi_squared(1.0 - POWER, freedom)?).sqrt();
    let enough = |sd: f64| least(|n| detectable(k, n, sd, level).is_some_and(|d| d <= difference));
    Some((enough(sd)?, enough(safe)?))
}

/// The difference of logarithms that `n` rows of `k` strategies detect with 80 % power. `None` for
/// fewer than two rows or strategies.
#[must_use]
pub fn detectable(k: usize, n: u64, sd: f64, level: f64) -> Option<f64> {
    if k < 2 || n < 2 {
        return None;
    }
    let n = n as f64;
    let freedom = degrees(k, n);
    let quantiles =
        bonferroni(level, k * (k - 1) / 2, freedom).ok()? + student(POWER, freedom).ok()?;
    Some(quantiles * sd * (2.0 / n).sqrt())
}

fn degrees(k: usize, n: f64) -> f64 {
    (n - 1.0) * (k as f64 - 1.0)
}

/// The smallest number from 2 that suffices, if all larger ones do.
fn least(is_enough: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut below, mut above) = (1, 2);
    while !is_enough(above) {
        if above >= MOST {
            return None;
        }
        (below, above) = (above, above * 2);
    }
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        if is_enough(middle) { above = middle } else { below = middle }
    }
    Some(above)
}
