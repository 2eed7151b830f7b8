//! An example worked by hand: three strategies in five pairs.

use batchlab_stats::{
    StatsError, compare_independent, compare_with, compare_with_best, detectable, pairs_needed,
};

const PAIRS: [[f64; 3]; 5] = [
    [0.00, 0.04, 0.30],
    [0.10, 0.15, 0.35],
    [0.05, 0.06, 0.38],
    [0.20, 0.27, 0.52],
    [0.15, 0.18, 0.40],
];

fn rows(order: [usize; 5]) -> Vec<Vec<f64>> {
    order.iter().map(|&row| PAIRS[row].to_vec()).collect()
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found}, but by hand {expected}");
}

#[test]
fn intervals_and_set() {
    let best = compare_with_best(&rows([0, 1, 2, 3, 4]), 0.05).unwrap();
    close(best.sd, 0.025_981);
    close(best.memory, -0.462_963);
    close(best.freedom, 8.0);
    close(best.widening, 1.0);
    assert_eq!(best.set().collect::<Vec<_>>(), [0, 1]);
    for (standing, (mean, low, high)) in best.strategies.iter().zip([
        (0.10, 0.0, 0.009_554),
        (0.14, 0.0, 0.089_554),
        (0.39, 0.238_643, 0.341_357),
    ]) {
        close(standing.mean, mean);
        close(standing.log_low, low);
        close(standing.log_high, high);
    }
    close(best.strategies[0].high(), 1.009_600);
    close(best.strategies[1].high(), 1.093_686);
    close(best.strategies[2].low(), 1.269_526);
    close(best.strategies[2].high(), 1.406_855);
}

#[test]
fn alike_neighbours_widen_the_intervals() {
    let best = compare_with_best(&rows([1, 4, 3, 0, 2]), 0.05).unwrap();
    close(best.memory, 0.179_012);
    close(best.widening, 1.490_193);
    let highs = best.strategies.iter().map(|standing| standing.log_high);
    for (high, expected) in highs.zip([0.033_845, 0.113_845, 0.366_531]) {
        close(high, expected);
    }
    close(best.strategies[2].log_low, 0.213_469);
}

#[test]
fn against_one_that_was_named_before() {
    let rows = rows([0, 1, 2, 3, 4]);
    let intervals = compare_with(0, &rows, 0.05).unwrap();
    assert_eq!(intervals[0], (0.0, 0.0));
    // Two comparisons instead of three: t[1 - 0.05 / 4, 8] = 2.751524 in place of 3.015763.
    let half_width = 2.751_524 * 0.016_432;
    close(intervals[1].0, 0.04 - half_width);
    close(intervals[1].1, 0.04 + half_width);
    assert_eq!(compare_with(3, &rows, 0.05), Err(StatsError::NoSuchStrategy));
}

#[test]
fn of_two_strategies_it_is_the_paired_t_interval() {
    let two: Vec<Vec<f64>> = PAIRS.iter().map(|row| vec![row[0], row[2]]).collect();
    let interval = compare_with(0, &two, 0.05).unwrap()[1];
    // Mean 0.29, standard error 0.017029, t[0.975, 4] = 2.776445.
    close(interval.0, 0.29 - 2.776_445 * 0.017_029_386);
    close(compare_with_best(&two, 0.05).unwrap().strategies[1].log_low, interval.0);
}

#[test]
fn strategies_that_were_measured_each_on_its_own() {
    let samples: Vec<Vec<f64>> =
        (0..2).map(|column| PAIRS.iter().map(|row| row[2 * column]).collect()).collect();
    let standings = compare_independent(&samples, 0.05).unwrap();
    // Means 0.10 and 0.39, variances 0.006250 and 0.006700: both forms of the standard error give
    // 0.050892, and Welch's t quantile with 7.990 degrees of freedom is the larger one.
    assert_eq!(standings.iter().map(|s| s.may_be_best).collect::<Vec<_>>(), [true, false]);
    assert!((standings[1].log_low - (0.29 - 2.3065 * 0.050_892)).abs() < 1e-4, "{standings:?}");
}

#[test]
fn how_many_pairs_are_needed() {
    let difference = 1.05_f64.ln();
    assert_eq!(pairs_needed(3, 5, 0.025_981, difference, 0.05), Some((8, 12)));
    close(detectable(3, 8, 0.025_981, 0.05).unwrap(), 0.046_581);
    close(detectable(3, 12, 0.034_286, 0.05).unwrap(), 0.048_284);
    // A 1 % effect in 100 % noise is out of reach.
    assert_eq!(pairs_needed(6, 5, 1.0, 0.0001, 0.05), None);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let of = |rows: &[Vec<f64>]| compare_with_best(rows, 0.05);
    assert_eq!(of(&rows([0; 5])), Err(StatsError::NoSpread));
    let three = rows([0, 1, 2, 3, 4])[..2].to_vec();
    assert_eq!(of(&three), Err(StatsError::TooFew { needed: 3, got: 2 }));
    assert_eq!(of(&vec![vec![1.0]; 5]), Err(StatsError::NothingToCompare));
    let mut ragged = rows([0, 1, 2, 3, 4]);
    ragged[3].pop();
    assert_eq!(of(&ragged), Err(StatsError::Ragged { first: 3, other: 2 }));
    ragged[3] = vec![1.0, f64::NAN, 1.0];
    assert_eq!(of(&ragged), Err(StatsError::NotFinite { index: 1 }));
    let rows = rows([0, 1, 2, 3, 4]);
    assert_eq!(compare_with_best(&rows, 0.0), Err(StatsError::Level));
}
