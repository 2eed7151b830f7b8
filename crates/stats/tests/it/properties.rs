//! Properties that hold for all samples.

#![allow(clippy::float_cmp, reason = "what must be equal to the last bit")]

use batchlab_stats::{compare_with_best, holm, median, welch_t_test};
use proptest::collection::vec;
use proptest::prelude::*;

fn table() -> impl Strategy<Value = Vec<Vec<f64>>> {
    (2..7usize).prop_flat_map(|k| vec(vec(-1.0f64..1.0, k), 3..20))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exchanging_the_samples_changes_the_sign_alone(
        a in vec(0.5f64..2.0, 4..20),
        b in vec(0.5f64..2.0, 4..20),
    ) {
        let [one, other] = [welch_t_test(&a, &b)?, welch_t_test(&b, &a)?];
        prop_assert!((one.statistic + other.statistic).abs() < 1e-9);
        prop_assert!((one.p_value - other.p_value).abs() < 1e-12);
        prop_assert!((0.0..=1.0).contains(&one.p_value));
    }

    #[test]
    fn the_least_mean_may_always_be_the_best_and_slower_means_an_interval_above_1(rows in table()) {
        let best = compare_with_best(&rows, 0.05)?;
        let least = best.strategies.iter().map(|s| s.mean).fold(f64::INFINITY, f64::min);
        for standing in &best.strategies {
            prop_assert!(standing.mean > least || standing.may_be_best);
            prop_assert_eq!(standing.may_be_best, standing.log_low == 0.0);
            let ratio = standing.mean - least;
            prop_assert!(standing.log_low <= ratio + 1e-12 && ratio <= standing.log_high + 1e-12);
        }
    }

    #[test]
    fn what_disturbs_all_strategies_of_a_row_alike_changes_nothing(
        rows in table(),
        disturbances in vec(-5.0f64..5.0, 20),
    ) {
        let disturbed: Vec<Vec<f64>> = rows.iter().zip(&disturbances)
            .map(|(row, by)| row.iter().map(|y| y + by).collect())
            .collect();
        let [one, other] = [compare_with_best(&rows, 0.05)?, compare_with_best(&disturbed, 0.05)?];
        for (a, b) in one.strategies.iter().zip(&other.strategies) {
            prop_assert!((a.log_low - b.log_low).abs() < 1e-9);
            prop_assert!((a.log_high - b.log_high).abs() < 1e-9);
        }
    }

    #[test]
    fn a_stricter_level_never_excludes_more(rows in table()) {
        let [loose, strict] = [0.05, 0.01].map(|level| compare_with_best(&rows, level));
        for (loose, strict) in loose?.strategies.iter().zip(strict?.strategies) {
            prop_assert!(strict.may_be_best || !loose.may_be_best);
            prop_assert!(strict.log_low <= loose.log_low && strict.log_high >= loose.log_high);
        }
    }

    #[test]
    fn the_median_halves_a_sample(sample in vec(-1e6f64..1e6, 1..50)) {
        let centre = median(&sample).unwrap();
        let below = sample.iter().filter(|x| **x < centre).count();
        let above = sample.iter().filter(|x| **x > centre).count();
        prop_assert!(2 * below <= sample.len() && 2 * above <= sample.len());
    }

    #[test]
    fn corrected_probabilities_keep_their_order(p in vec(0.0f64..=1.0, 1..20)) {
        let corrected = holm(&p);
        for i in 0..p.len() {
            prop_assert!(corrected[i] >= p[i] && corrected[i] <= 1.0);
            for j in 0..p.len() {
                prop_assert!(p[i] > p[j] || corrected[i] <= corrected[j]);
            }
        }
    }
}
