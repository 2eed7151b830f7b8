//! Values computed by SciPy 1.17 for the same numbers.

use batchlab_stats::{Outcome, StatsError, welch_t_test};

const A: [f64; 9] = [1.0001, 1.0299, 0.9726, 0.9109, 0.9545, 0.9008, 1.006, 1.134, 0.9508];
const C: [f64; 13] = [
    0.5296, 0.7131, 0.5475, 1.0295, 0.7198, 1.1814, 1.147, 1.0439, 0.345, 0.9384, 1.0854, 1.134,
    0.641,
];

fn close(outcome: Outcome, statistic: f64, p_value: f64) {
    let equal = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
    assert!(equal(outcome.statistic, statistic), "{outcome:?}");
    assert!(equal(outcome.p_value, p_value), "{outcome:?}");
}

#[test]
fn welchs_test() {
    close(welch_t_test(&A, &C).unwrap(), 1.651_656_859_214_510_7, 0.120_661_631_118_782);
}

#[test]
fn small_probabilities_keep_their_digits() {
    let low = [1.0, 1.1, 1.2, 1.05, 1.15];
    let mut high = low.map(|x| x + 2.0);
    high[0] += 0.5;
    close(welch_t_test(&low, &high).unwrap(), -24.248_711_305_964_278, 7.772_042_437_573_706e-7);
}

#[test]
fn what_cannot_be_tested_is_refused() {
    let some = [1.0, 2.0, 3.0, 4.0];
    assert_eq!(welch_t_test(&[1.0], &some), Err(StatsError::TooFew { needed: 2, got: 1 }));
    assert_eq!(welch_t_test(&some, &[1.0, f64::NAN]), Err(StatsError::NotFinite { index: 1 }));
    assert_eq!(welch_t_test(&[1.0, 1.0], &[2.0, 2.0]), Err(StatsError::NoSpread));
}
