//! Programs that train in turns, timed in mirrored pairs of blocks.

use batchlab_stats::disturbed;

use crate::blocks::{order, with_repeated};

/// How many programs take turns, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arms {
    /// Number of programs.
    pub n: usize,
    /// Mirrored pairs of blocks; up to a third more are trained if some were disturbed.
    pub pairs: u32,
    /// Seed for the order of programs within blocks.
    pub seed: u64,
}

/// Trains block after block: `train(arm, block)` returns seconds per output. Block 0 is the
/// warm-up; blocks 1 and 2, 3 and 4, ... mirror each other.
///
/// # Errors
/// The first error of `train`, which ends the comparison.
pub fn interleave<E>(
    arms: Arms,
    mut train: impl FnMut(usize, u64) -> Result<f64, E>,
) -> Result<(), E> {
    // Log time per output in both blocks of each pair.
    let mut logs: Vec<Vec<[f64; 2]>> = Vec::new();
    let (mut block, mut n_pair) = (0, u64::from(arms.pairs));
    while block <= 2 * n_pair {
        if block % 2 == 1 {
            logs.push(vec![[0.0; 2]; arms.n]);
        }
        for arm in order(arms.seed, block, arms.n) {
            let log_time = train(arm, block)?.ln();
            if let Some(pair) = logs.last_mut() {
                pair[arm][usize::from(block % 2 == 0)] = log_time;
            }
        }
        if block == 2 * n_pair {
            let n_disturbed = disturbed(&logs).len() as u64;
            n_pair = with_repeated(arms.pairs.into(), n_pair, n_disturbed).unwrap_or(n_pair);
        }
        block += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_in_mirrored_pairs_and_a_disturbed_pair_is_repeated() {
        let mut blocks: Vec<Vec<usize>> = Vec::new();
        let arms = Arms { n: 3, pairs: 9, seed: 5 };
        let train = |arm, block: u64| {
            blocks.resize(block as usize + 1, Vec::new());
            blocks[block as usize].push(arm);
            // One block of one program is ten times as long as all others, which vary a little.
            let noise = 1.0 + 0.001 * ((7 * block + arm as u64) % 5) as f64;
            Ok::<_, ()>(if (arm, block) == (1, 4) { 10.0 } else { noise })
        };
        interleave(arms, train).unwrap();
        assert_eq!(blocks.len(), 1 + 2 * (9 + 1));
        for pair in blocks[1..].chunks(2) {
            let reversed: Vec<usize> = pair[1].iter().rev().copied().collect();
            assert_eq!(pair[0], reversed);
        }
    }
}
