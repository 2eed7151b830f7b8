//! Interim analyses: what the mirrored pairs so far show, and how many more are needed.

use batchlab_stats::{compare_with_best, detectable, pairs_needed};
use serde::Serialize;

/// Numbers of pairs after which a cell with a width-based stopping rule is analysed. It is analysed
/// at no other time, because testing after every pair finds differences that do not exist.
pub const LOOKS: [u64; 6] = [5, 10, 20, 40, 80, 160];

/// Significance level: probability that a statement about a cell is wrong.
const LEVEL: f64 = 0.05;

/// Minimum number of pairs from which the variation can be estimated.
pub(crate) const FEWEST: u64 = 3;

/// The next number of pairs with an interim analysis.
#[must_use]
pub fn next_look(n_pair: u64) -> Option<u64> {
    LOOKS.into_iter().find(|&look| look > n_pair)
}

/// Result of an interim analysis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InterimAnalysis {
    pub n_pair: u64,
    /// Columns of the strategies that may still be the fastest.
    pub best: Vec<usize>,
    /// Half width of the widest of their intervals, relative to the time of the best.
    pub half_width: f64,
}

/// `rows` are mirrored pairs in chronological order, with the logarithm of the time per output of
/// every strategy. Each interim analysis uses its share of the significance level, so that the
/// overall level holds. `None`: no statement is possible from these pairs.
pub(crate) fn look(rows: &[Vec<f64>]) -> Option<InterimAnalysis> {
    let compared = compare_with_best(rows, level_of_a_look()).ok()?;
    let standings = compared.strategies.iter().enumerate();
    let best: Vec<_> = standings.filter(|(_, standing)| standing.may_be_best).collect();
    let half_widths = best.iter().map(|(_, s)| (s.log_high.exp() - s.log_low.exp()) / 2.0);
    Some(InterimAnalysis {
        n_pair: rows.len() as u64,
        half_width: half_widths.fold(0.0, f64::max),
        best: best.into_iter().map(|(column, _)| column).collect(),
    })
}

fn level_of_a_look() -> f64 {
    LEVEL / LOOKS.len() as f64
}

/// Variation of the logarithms of times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scatter {
    n_strategy: usize,
    n_pair: usize,
    sd: f64,
}

impl Scatter {
    /// `None`: no statement is possible from these pairs.
    #[must_use]
    pub fn of(rows: &[Vec<f64>]) -> Option<Self> {
        let sd = compare_with_best(rows, LEVEL).ok()?.sd;
        Some(Self { n_strategy: rows[0].len(), n_pair: rows.len(), sd })
    }

    /// The relative difference that this many pairs detect with 80 % power.
    #[must_use]
    pub fn detectable(self, n_pair: u64, has_looks: bool) -> Option<f64> {
        let level = if has_looks { level_of_a_look() } else { LEVEL };
        detectable(self.n_strategy, n_pair, self.sd, level).map(f64::exp_m1)
    }

    /// The interim analysis at which intervals are likely to be this narrow. Since an interval
    /// extends from 1 to its end, this is where differences of twice the half width are detected.
    #[must_use]
    pub fn look_for(self, half_width: f64) -> u64 {
        let difference = (2.0 * half_width).ln_1p();
        let Self { n_strategy, n_pair, sd } = self;
        let needed = pairs_needed(n_strategy, n_pair, sd, difference, level_of_a_look());
        let last = LOOKS[LOOKS.len() - 1];
        needed.map_or(last, |(plain, _)| next_look(plain.saturating_sub(1)).unwrap_or(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two strategies that differ by this much, with variation 0.01.
    fn rows(n: u64, difference: f64) -> Vec<Vec<f64>> {
        let scatter = |i: u64| 0.01 * (f64::from((i * 7 % 11) as u32) - 5.0) / 3.0;
        (0..n).map(|i| vec![scatter(i), difference + scatter(i + 5)]).collect()
    }

    #[test]
    fn looks_are_those_of_the_schedule() {
        let mut n_pair = 0;
        let mut looks = Vec::new();
        while let Some(next) = next_look(n_pair) {
            looks.push(next);
            n_pair = next;
        }
        assert_eq!(looks, LOOKS);
        assert_eq!(next_look(13), Some(20));
    }

    #[test]
    fn one_that_is_left_has_a_width_of_0() {
        let clear = look(&rows(10, 0.5)).unwrap();
        assert_eq!((clear.n_pair, clear.best, clear.half_width), (10, vec![0], 0.0));
        let alike = look(&rows(10, 0.001)).unwrap();
        assert_eq!(alike.best, [0, 1]);
        assert!(alike.half_width > 0.002 && alike.half_width < 0.05, "{alike:?}");
        assert!(look(&rows(20, 0.001)).unwrap().half_width < alike.half_width);
        assert_eq!(look(&rows(2, 0.5)), None);
    }

    #[test]
    fn more_pairs_show_less() {
        let scatter = Scatter::of(&rows(10, 0.0)).unwrap();
        let few = scatter.detectable(10, false).unwrap();
        assert!(few > scatter.detectable(40, false).unwrap());
        assert!(few < scatter.detectable(10, true).unwrap(), "looks cost something");
        assert!(scatter.look_for(0.1) < scatter.look_for(0.01));
        assert!(LOOKS.contains(&scatter.look_for(0.05)));
        assert_eq!(scatter.look_for(1e-6), 160);
    }
}
