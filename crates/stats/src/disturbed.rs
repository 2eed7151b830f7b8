//! Finds mirrored pairs of blocks in which one strategy was disturbed but the others were not.

/// A block is disturbed if its time is off by at least this factor, up or down, ...
const FACTOR: f64 = 1.5;
/// ... and deviates by this many standard deviations.
const DEVIATIONS: f64 = 8.0;
/// Ratio of the standard deviation of a normal distribution to its median absolute deviation.
const NORMAL: f64 = 1.4826;
/// Minimum number of pairs to keep.
const LEFT: usize = 3;

/// The most unusual block of a mirrored pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unusual {
    /// Index of the pair.
    pub pair: usize,
    /// Column of the strategy.
    pub strategy: usize,
    /// Deviation of its log time from the median of the strategy, relative to the other strategies
    /// in this pair.
    pub log: f64,
}

/// The pairs of a cell to exclude from all comparisons, in order. `pairs` are in chronological
/// order, with the log times of both blocks for each strategy.
///
/// The rule is blind to which strategy is affected. The median of its strategy and then the median
/// of its pair are subtracted from each number, since a slowdown of a whole pair cancels. A pair is
/// disturbed if one of its residuals exceeds 8 standard deviations (estimated by the median over
/// all numbers of the cell) and a factor of 1.5. At most a third of the pairs are excluded, the
/// most unusual ones, and at least three are kept: anything more frequent is not a disturbance.
/// With fewer than four pairs, none is excluded.
///
/// NaN is a block of which nothing is known; it is not judged. If there are infinite numbers, no pair
/// is disturbed.
#[must_use]
pub fn disturbed(pairs: &[Vec<[f64; 2]>]) -> Vec<Unusual> {
    let most = (pairs.len() / 3).min(pairs.len().saturating_sub(LEFT));
    let residuals = residuals(pairs);
    let all: Vec<f64> = known(residuals.iter().flatten().flatten()).map(f64::abs).collect();
    if most == 0 || all.is_empty() || all.iter().any(|e| !e.is_finite()) {
        return Vec::new();
    }
    let bound = (DEVIATIONS * NORMAL * median(&all)).max(FACTOR.ln());
    let mut found: Vec<Unusual> =
        worst(&residuals).into_iter().filter(|unusual| unusual.log.abs() > bound).collect();
    found.sort_by(|a, b| b.log.abs().total_cmp(&a.log.abs()).then(a.pair.cmp(&b.pair)));
    found.truncate(most);
    found.sort_by_key(|unusual| unusual.pair);
    found
}

/// The most unusual block of each pair.
#[must_use]
pub fn most_unusual(pairs: &[Vec<[f64; 2]>]) -> Vec<Unusual> {
    worst(&residuals(pairs))
}

fn worst(residuals: &[Vec<[f64; 2]>]) -> Vec<Unusual> {
    let of_pair = |(pair, row): (usize, &Vec<[f64; 2]>)| {
        let both = row.iter().enumerate().flat_map(|(i, both)| both.map(|log| (i, log)));
        let both = both.filter(|(_, log)| !log.is_nan());
        let (strategy, log) = both.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))?;
        Some(Unusual { pair, strategy, log })
    };
    residuals.iter().enumerate().filter_map(of_pair).collect()
}

fn residuals(pairs: &[Vec<[f64; 2]>]) -> Vec<Vec<[f64; 2]>> {
    let n_strategy = pairs.iter().map(Vec::len).min().unwrap_or(0);
    let usual: Vec<f64> = (0..n_strategy)
        .map(|i| median(&known(pairs.iter().flat_map(|row| &row[i])).collect::<Vec<_>>()))
        .collect();
    let of_pair = |row: &Vec<[f64; 2]>| {
        let mut rest: Vec<[f64; 2]> =
            row.iter().zip(&usual).map(|(both, usual)| both.map(|y| y - usual)).collect();
        let common = median(&known(rest.iter().flatten()).collect::<Vec<_>>());
        rest.iter_mut().flatten().for_each(|e| *e -= common);
        rest
    };
    pairs.iter().map(of_pair).collect()
}

fn known<'a>(numbers: impl Iterator<Item = &'a f64>) -> impl Iterator<Item = f64> {
    numbers.copied().filter(|number| !number.is_nan())
}

fn median(numbers: &[f64]) -> f64 {
    crate::median(numbers).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two strategies with times that scatter by a few percent; the second is 1.3 times slower.
    fn pairs(n: usize) -> Vec<Vec<[f64; 2]>> {
        let scatter = |i: usize| 0.01 * ((i * 7 % 11) as f64 - 5.0);
        let pair = |i: usize| {
            let slower = 1.3_f64.ln();
            vec![[scatter(i), scatter(i + 3)], [slower + scatter(i + 5), slower + scatter(i + 8)]]
        };
        (0..n).map(pair).collect()
    }

    #[test]
    fn a_stall_of_one_strategy_is_found_and_that_of_all_is_not() {
        assert_eq!(disturbed(&pairs(10)), []);
        let mut stalled = pairs(10);
        stalled[6][1][0] += 3.0_f64.ln();
        let [found] = disturbed(&stalled)[..] else { panic!("one pair") };
        assert_eq!((found.pair, found.strategy), (6, 1));
        assert!((found.log.exp() - 3.0).abs() < 0.3, "{found:?}");
        assert_eq!(most_unusual(&stalled)[6], found);
        let mut busy = pairs(10);
        busy[6].iter_mut().flatten().for_each(|log| *log += 3.0_f64.ln());
        assert_eq!(disturbed(&busy), []);
        // A few percent more are never a disturbance, however quiet the machine.
        let quiet: Vec<Vec<[f64; 2]>> =
            (0..10).map(|i| vec![[f64::from(i / 9) * 0.2, 0.0]; 2]).collect();
        assert_eq!(disturbed(&quiet), []);
    }

    #[test]
    fn at_most_a_third_is_left_out_and_three_stay() {
        for (n, most) in [(0, 0), (3, 0), (4, 1), (5, 1), (9, 3), (10, 3)] {
            let mut stalled = pairs(n);
            for row in stalled.iter_mut().step_by(2) {
                row[0][1] += 5.0_f64.ln();
            }
            assert!(disturbed(&stalled).len() <= most, "{n} pairs");
        }
        let mut stalled = pairs(4);
        stalled[0][0][0] += 5.0_f64.ln();
        assert_eq!(disturbed(&stalled).len(), 1);
    }

    #[test]
    fn what_is_no_number_disturbs_nothing() {
        let mut partly_known = pairs(10);
        partly_known[0][1] = [f64::NAN; 2];
        partly_known[1][1][0] = f64::NAN;
        assert_eq!(disturbed(&partly_known), []);
        partly_known[6][0][0] += 3.0_f64.ln();
        partly_known[0][0][1] += 3.0_f64.ln();
        let found: Vec<usize> = disturbed(&partly_known).iter().map(|found| found.pair).collect();
        assert_eq!(found, [0, 6]);
        let mut broken = pairs(10);
        broken[2][0][0] = f64::INFINITY;
        assert_eq!(disturbed(&broken), []);
        assert_eq!(disturbed(&vec![Vec::new(); 10]), []);
    }
}
