//! What holds for all samples.

#![allow(clippy::float_cmp, reason = "what must be equal to the last bit")]

use batchlab_stats::{
    Pairing, Replication, StatsError, holm, interval_of_blocks, median, ratio_of_blocks,
    ratio_of_medians, student_t_test,
};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exchanging_the_samples_changes_the_sign_alone(
        a in vec(0.5f64..2.0, 4..20),
        b in vec(0.5f64..2.0, 4..20),
    ) {
        let [one, other] = [student_t_test(&a, &b)?, student_t_test(&b, &a)?];
        prop_assert!((one.statistic + other.statistic).abs() < 1e-9);
        prop_assert!((one.p_value - other.p_value).abs() < 1e-12);
        prop_assert!((0.0..=1.0).contains(&one.p_value));
    }

    #[test]
    fn the_interval_holds_the_estimate_and_scales(
        a in vec(0.5f64..2.0, 6..20),
        factor in 0.1f64..10.0,
        seed: u64,
    ) {
        let b: Vec<f64> = a.iter().rev().copied().collect();
        let interval = ratio_of_medians(&a, &b, Pairing::Independent, 0.95, seed)?;
        prop_assert!(interval.contains(interval.estimate));
        let scaled: Vec<f64> = a.iter().map(|x| factor * x).collect();
        let other = ratio_of_medians(&scaled, &b, Pairing::Independent, 0.95, seed)?;
        prop_assert!((other.low / interval.low / factor - 1.0).abs() < 1e-9);
        prop_assert!((other.high / interval.high / factor - 1.0).abs() < 1e-9);
        // Equal paired samples cannot differ.
        let same = ratio_of_medians(&a, &a, Pairing::Paired, 0.95, seed)?;
        prop_assert_eq!([same.low, same.high], [1.0, 1.0]);
    }

    #[test]
    fn intervals_of_blocks_are_those_of_ratios(
        cells in vec(vec((0.5f64..2.0, 0.5f64..2.0), 4..9), 2..8),
        factor in 0.1f64..10.0,
        seed: u64,
    ) {
        let of = |cells: &[Vec<(f64, f64)>]| interval_of_blocks(cells, 0.95, seed).unwrap();
        let ratio = of(&cells);
        let expected = if cells.len() < 5 { Replication::Blocks } else { Replication::Cells };
        prop_assert_eq!(ratio.replication, expected);
        let interval = ratio.interval;
        prop_assert!(interval.low < interval.estimate && interval.estimate < interval.high);
        prop_assert!((ratio_of_blocks(&cells).unwrap() / interval.estimate - 1.0).abs() < 1e-12);
        // A disturbance of both strategies of a block cancels.
        let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
        let mut disturbed = cells.clone();
        for (i, pair) in disturbed.iter_mut().flatten().enumerate() {
            let disturbance = 1.0 + i as f64;
            *pair = (pair.0 * disturbance * factor, pair.1 * disturbance);
        }
        let other = of(&disturbed).interval;
        prop_assert!(close(other.low, factor * interval.low) && close(other.high, factor * interval.high));
        let narrow = interval_of_blocks(&cells, 0.5, seed).unwrap().interval;
        prop_assert!(interval.low < narrow.low && narrow.high < interval.high);
    }

    #[test]
    fn corrected_probabilities_keep_their_order(p in vec(0.0f64..1.0, 0..20)) {
        let corrected = holm(&p);
        for i in 0..p.len() {
            prop_assert!(corrected[i] >= p[i] && corrected[i] <= 1.0);
            for j in 0..p.len() {
                prop_assert!(p[i] > p[j] || corrected[i] <= corrected[j]);
            }
        }
    }

    #[test]
    fn medians_lie_between_least_and_largest(sample in vec(-10f64..10.0, 1..20)) {
        let value = median(&sample).unwrap();
        let least = sample.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = sample.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        prop_assert!((least..=largest).contains(&value));
        let half = |side: fn(&f64, &f64) -> bool| {
            2 * sample.iter().filter(|x| side(x, &value)).count() >= sample.len()
        };
        prop_assert!(half(f64::le) && half(f64::ge));
    }
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let few = [1.0];
    let some = [1.0, 2.0, 3.0, 4.0];
    assert_eq!(student_t_test(&few, &some), Err(StatsError::TooFew { needed: 2, got: 1 }));
    assert_eq!(student_t_test(&some, &[1.0, f64::NAN]), Err(StatsError::NotFinite { index: 1 }));
    assert_eq!(student_t_test(&[1.0, 1.0], &[2.0, 2.0]), Err(StatsError::NoSpread));
    let five = [1.0, 2.0, 3.0, 4.0, 5.0];
    let ratio = |a: &[f64], confidence| {
        ratio_of_medians(a, &five[..a.len()], Pairing::Paired, confidence, 0).unwrap_err()
    };
    assert_eq!(ratio(&[0.0, 1.0, 2.0, 3.0, 4.0], 0.95), StatsError::NotPositive);
    assert_eq!(ratio(&five, 95.0), StatsError::Confidence);
    let six = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let unpaired = ratio_of_medians(&five, &six, Pairing::Paired, 0.95, 0).unwrap_err();
    assert_eq!(unpaired, StatsError::Unpaired { first: 5, second: 6 });
    assert_eq!(ratio(&some, 0.95), StatsError::TooFew { needed: 5, got: 4 });
    let cell = |n: usize| vec![(1.1, 1.0); n];
    let refused = |cells: &[Vec<(f64, f64)>]| interval_of_blocks(cells, 0.95, 0).unwrap_err();
    assert_eq!(refused(&[cell(4)]), StatsError::TooFew { needed: 5, got: 4 });
    assert_eq!(refused(&[cell(8), cell(2)]), StatsError::TooFew { needed: 3, got: 2 });
    assert_eq!(refused(&[cell(8), cell(0)]), StatsError::TooFew { needed: 1, got: 0 });
    assert_eq!(refused(&[vec![(1.0, 0.0); 5]]), StatsError::NotPositive);
    assert_eq!(refused(&[vec![(f64::NAN, 1.0); 5]]), StatsError::NotFinite { index: 0 });
    assert_eq!(refused(&[]), StatsError::TooFew { needed: 5, got: 1 });
    assert_eq!(median(&[]), None);
}
