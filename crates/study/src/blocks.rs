//! How the runs of a cell take turns.

use batchlab_config::Blocks;
use batchlab_core::random::permutation;

#[must_use]
pub fn first_block(blocks: &Blocks, n_step: u64) -> u64 {
    blocks.steps.get().min(n_step)
}

/// Lengths of the blocks after block 0: as equal as can be, and none too short. `step_s` is the
/// time of a step of the fastest run, in seconds.
#[must_use]
pub fn later_blocks(blocks: &Blocks, n_step: u64, step_s: f64) -> Vec<u64> {
    let remaining = n_step - first_block(blocks, n_step);
    let by_time = f64::from(blocks.seconds) / step_s.max(1e-9);
    #[allow(clippy::cast_sign_loss, reason = "times are not negative")]
    let least = (by_time.ceil() as u64).max(blocks.steps.get());
    let n_block = match remaining {
        0 => 0,
        _ => (remaining / least).max(1),
    };
    let length = |block: u64| remaining * (block + 1) / n_block - remaining * block / n_block;
    (0..n_block).map(length).collect()
}

/// The order in which `n` runs train in a block.
#[must_use]
pub fn order(seed: u64, block: u64, n: usize) -> Vec<usize> {
    // Block 0 has an order of its own; then 1 and 2, 3 and 4, ... mirror each other.
    let pair = block.div_ceil(2);
    let mut order: Vec<usize> =
        permutation(seed, "turns", pair, n).into_iter().map(|run| run as usize).collect();
    if block > 0 && block.is_multiple_of(2) {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_long_enough_and_leave_no_rest() {
        let blocks = Blocks::default();
        // 2 s of 10 ms are 200 steps.
        assert_eq!(later_blocks(&blocks, 1050, 0.01), [200; 5]);
        assert_eq!(later_blocks(&blocks, 1000, 0.01), [237, 238, 237, 238]);
        // A slow step: at least 50 of them.
        assert_eq!(later_blocks(&blocks, 150, 1.0), [50, 50]);
        // What is too short for one block is one all the same.
        assert_eq!(later_blocks(&blocks, 60, 0.001), [10]);
        assert_eq!(later_blocks(&blocks, 50, 0.001), [0; 0]);
        assert_eq!((first_block(&blocks, 20), later_blocks(&blocks, 20, 0.1).len()), (20, 0));
    }

    #[test]
    fn every_second_block_is_the_one_before_backwards() {
        for block in [1, 3, 5, 99] {
            let forwards = order(7, block, 5);
            let mut backwards = order(7, block + 1, 5);
            backwards.reverse();
            assert_eq!(forwards, backwards);
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
