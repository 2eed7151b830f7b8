//! Values that SciPy 1.17 gives for the same numbers.

use batchlab_stats::{Outcome, paired_t_test, student_t_test, welch_t_test, wilcoxon_signed_rank};

const A: [f64; 9] = [1.0001, 1.0299, 0.9726, 0.9109, 0.9545, 0.9008, 1.006, 1.134, 0.9508];
const B: [f64; 9] = [0.9559, 1.178, 1.1514, 1.1011, 0.8939, 1.0741, 1.2191, 0.8112, 0.9885];
const C: [f64; 13] = [
    0.5296, 0.7131, 0.5475, 1.0295, 0.7198, 1.1814, 1.147, 1.0439, 0.345, 0.9384, 1.0854, 1.134,
    0.641,
];

fn close(outcome: Outcome, statistic: f64, p_value: f64, freedom: Option<f64>) {
    let equal = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
    assert!(equal(outcome.statistic, statistic), "{outcome:?}");
    assert!(equal(outcome.p_value, p_value), "{outcome:?}");
    match (outcome.degrees_of_freedom, freedom) {
        (Some(a), Some(b)) => assert!(equal(a, b), "{outcome:?}"),
        (a, b) => assert_eq!(a, b),
    }
}

#[test]
fn students_test() {
    close(
        student_t_test(&A, &C).unwrap(),
        1.395_679_846_283_748_7,
        0.178_114_280_315_182_06,
        Some(20.0),
    );
}

#[test]
fn small_probabilities_keep_their_digits() {
    let low = [1.0, 1.1, 1.2, 1.05, 1.15];
    let high = low.map(|x| x + 2.0);
    close(
        student_t_test(&low, &high).unwrap(),
        -39.999_999_999_999_99,
        1.678_571_887_914_580_5e-10,
        Some(8.0),
    );
}

#[test]
fn welchs_test() {
    close(
        welch_t_test(&A, &C).unwrap(),
        1.651_656_859_214_510_7,
        0.120_661_631_118_782,
        Some(14.119_532_575_131_732),
    );
}

#[test]
fn paired_test() {
    close(
        paired_t_test(&A, &B).unwrap(),
        -0.973_408_482_221_662_1,
        0.358_859_611_227_869_7,
        Some(8.0),
    );
}

/// SciPy gives the smaller of the two sums of ranks, 14 of 45.
#[test]
fn signed_ranks() {
    close(wilcoxon_signed_rank(&A, &B).unwrap(), 14.0 - 31.0, 0.359_375, None);
}

#[test]
fn signed_ranks_with_ties() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let y = [0.0, 3.0, 2.0, 2.0, 5.0, 4.0, 9.0, 5.0];
    close(wilcoxon_signed_rank(&x, &y).unwrap(), 21.0 - 7.0, 0.229_949_056_794_213_62, None);
}

#[test]
fn signed_ranks_of_many_pairs() {
    let x: Vec<f64> = (0..60).map(|i| f64::from(i) + 0.1).collect();
    let y: Vec<f64> = (0..60).map(|i| f64::from(i) * 1.01 + 0.001 * f64::from(i).powi(2)).collect();
    close(wilcoxon_signed_rank(&x, &y).unwrap(), 42.0 - 1788.0, 1.304_214_641_182_948_3e-10, None);
}
