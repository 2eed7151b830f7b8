//! How the runs of a cell take turns, and for how long.

use batchlab_config::Blocks;
use batchlab_core::random::permutation;

use crate::Cell;
use crate::look::LOOKS;

/// Stopping rule of a cell. All planned steps are trained in any case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StoppingRule {
    /// After the planned steps.
    Planned,
    /// After this many mirrored pairs.
    Pairs(u64),
    /// When all intervals are this narrow, relative to the time of the best strategy; checked after
    /// [`LOOKS`] pairs.
    Width(f64),
}

impl StoppingRule {
    /// Without a comparison, nothing is trained for timing only.
    #[must_use]
    pub fn of(cell: &Cell, blocks: &Blocks, ci_width: Option<f64>) -> Self {
        match ci_width {
            _ if cell.runs.len() < 2 || !blocks.exclusive => Self::Planned,
            Some(width) => Self::Width(width),
            None if blocks.pairs == 0 => Self::Planned,
            None => Self::Pairs(blocks.pairs.into()),
        }
    }

    /// Minimum number of pairs before the rule can be satisfied.
    #[must_use]
    pub fn least_pairs(self) -> u64 {
        match self {
            Self::Planned => 0,
            Self::Pairs(n_pair) => n_pair,
            Self::Width(_) => LOOKS[0],
        }
    }
}

/// Steps of every run in block 0, the warm-up.
#[must_use]
pub fn first_block(cell: &Cell, blocks: &Blocks, rule: StoppingRule) -> u64 {
    let warm_up = cell.runs[0].config.training.warmup_steps.max(blocks.steps.get());
    match cell.info.n_step {
        n_step if rule == StoppingRule::Planned && n_step > 0 => warm_up.min(n_step),
        _ => warm_up,
    }
}

/// Minimum number of steps in a block, if the fastest run takes `step_s` seconds per step.
#[must_use]
pub fn least_steps(blocks: &Blocks, step_s: f64) -> u64 {
    let by_time = f64::from(blocks.seconds) / step_s.max(1e-9);
    #[allow(clippy::cast_sign_loss, reason = "times are not negative")]
    let by_time = by_time.ceil() as u64;
    by_time.max(blocks.steps.get())
}

/// Maximum number of blocks; beyond it, blocks become longer.
const MOST_BLOCKS: u64 = 1 << 16;

/// Lengths of mirrored pairs of blocks, at least `n_pair`, with at least `n_step` planned steps in
/// total. If `n_step` is enough for all pairs, the total is exactly `n_step` and the blocks are as
/// equal as possible.
#[must_use]
pub fn later_blocks(n_step: u64, n_pair: u64, least_steps: u64) -> Vec<u64> {
    let planned = n_step / (2 * least_steps);
    if planned < n_pair {
        return vec![least_steps; 2 * n_pair as usize];
    }
    // Steps that are too few for a pair still form one, if they can be divided.
    let n_block = (2 * planned.max(1)).min(n_step).min(MOST_BLOCKS);
    let until = |block: u64| u128::from(n_step) * u128::from(block) / u128::from(n_block);
    (0..n_block).map(|block| (until(block + 1) - until(block)) as u64).collect()
}

/// Required number of mirrored pairs after `n_pair` pairs, of which `n_disturbed` were disturbed,
/// if `n_asked` were requested: each disturbed pair is repeated, up to a third of the requested
/// pairs.
#[must_use]
pub fn with_repeated(n_asked: u64, n_pair: u64, n_disturbed: u64) -> Option<u64> {
    let goal = n_asked + n_disturbed.min((n_asked / 3).max(1));
    (goal > n_pair).then_some(goal)
}

/// The order in which `n` runs train in a block.
#[must_use]
pub fn order(seed: u64, block: u64, n: usize) -> Vec<usize> {
    // Block 0 has an order of its own; then 1 and 2, 3 and 4, ... mirror each other, and so do 1
    // and 3, 5 and 7, ...: otherwise a disturbance that recurs with every pair would always favour
    // the same strategy.
    let two_pairs = block.div_ceil(4);
    let mut order: Vec<usize> =
        permutation(seed, "turns", two_pairs, n).into_iter().map(|run| run as usize).collect();
    if block > 0 && matches!(block % 4, 2 | 3) {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_long_enough_in_steps_and_in_time() {
        let blocks = Blocks::default();
        assert_eq!(least_steps(&blocks, 0.004), 250);
        // Slow steps: at least 50 of them.
        assert_eq!(least_steps(&blocks, 1.0), 50);
    }

    #[test]
    fn planned_steps_that_are_enough_leave_no_rest() {
        assert_eq!(later_blocks(1000, 0, 200), [250; 4]);
        assert_eq!(later_blocks(1000, 2, 200), [250; 4]);
        assert_eq!(later_blocks(950, 0, 200), [237, 238, 237, 238]);
        // Steps that are too few for a pair still form one.
        assert_eq!(later_blocks(100, 0, 50), [50, 50]);
        assert_eq!(later_blocks(11, 0, 50), [5, 6]);
        assert_eq!(later_blocks(1, 0, 50), [1]);
        assert_eq!(later_blocks(0, 0, 50), [0; 0]);
        let most = later_blocks(i64::MAX as u64, 0, 50);
        assert_eq!((most.len(), most.iter().sum::<u64>()), (1 << 16, i64::MAX as u64));
    }

    #[test]
    fn planned_steps_that_are_too_few_are_followed_by_others() {
        assert_eq!(later_blocks(1000, 3, 200), [200; 6]);
        assert_eq!(later_blocks(0, 2, 200), [200; 4]);
        for n_step in 0..500 {
            for n_pair in 0..4 {
                let lengths = later_blocks(n_step, n_pair, 50);
                let sum: u64 = lengths.iter().sum();
                assert!(sum >= n_step && lengths.len() as u64 >= 2 * n_pair, "{n_step} {n_pair}");
                assert!(n_step == 1 || lengths.len().is_multiple_of(2), "{n_step} {n_pair}");
            }
        }
    }

    #[test]
    fn disturbed_pairs_are_repeated_a_few_times() {
        assert_eq!(with_repeated(10, 10, 0), None);
        assert_eq!(with_repeated(10, 10, 2), Some(12));
        assert_eq!(with_repeated(10, 12, 2), None);
        assert_eq!(with_repeated(10, 12, 9), Some(13));
        assert_eq!(with_repeated(10, 40, 9), None, "the planned steps gave enough");
    }

    #[test]
    fn every_second_block_is_the_one_before_backwards() {
        for block in [1, 3, 5, 99] {
            let forwards = order(7, block, 5);
            let mut backwards = order(7, block + 1, 5);
            backwards.reverse();
            assert_eq!(forwards, backwards);
        }
        for block in [1, 5, 9] {
            assert_eq!(order(7, block, 5), order(7, block + 3, 5), "two pairs are balanced");
            assert_eq!(order(7, block + 1, 5), order(7, block + 2, 5));
        }
    }

    #[test]
    fn every_run_has_every_place_equally_often() {
        let mut first = [0; 3];
        for block in 1..=600 {
            let order = order(1, block, 3);
            first[order[0]] += 1;
            let mut sorted = order;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2]);
        }
        assert!(first.iter().all(|&n| (160..240).contains(&n)), "{first:?}");
    }
}
