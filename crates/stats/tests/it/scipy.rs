//! Values that SciPy 1.17 gives for the same numbers.

use batchlab_stats::{Outcome, student_t_test};

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
fn students_test() {
    close(student_t_test(&A, &C).unwrap(), 1.395_679_846_283_748_7, 0.178_114_280_315_182_06);
}

#[test]
fn small_probabilities_keep_their_digits() {
    let low = [1.0, 1.1, 1.2, 1.05, 1.15];
    let high = low.map(|x| x + 2.0);
    close(
        student_t_test(&low, &high).unwrap(),
        -39.999_999_999_999_99,
        1.678_571_887_914_580_5e-10,
    );
}
