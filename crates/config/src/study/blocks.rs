//! How the runs of a cell take turns.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::Positive;

/// Training in turns: in every block, each run of a cell does the same number of steps. The order
/// within a block is random, and reversed in the next block (ABBA), so that neither the position in a
/// block nor a slow drift of the machine favours a batcher. Two such blocks are a pair, the unit of
/// every comparison of times.
///
/// Block 0 is the warm-up of all runs; it enters no comparison.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Blocks {
    /// Least number of steps in a turn.
    pub steps: NonZeroU64,
    /// Least duration of a turn of the fastest run, in seconds.
    pub seconds: Positive,
    /// Least number of mirrored pairs of blocks. Where `training.steps` are too few for them, the runs
    /// of a cell go on for timing alone, without evaluations and checkpoints. 0: only as many as
    /// `training.steps` give.
    pub pairs: u32,
    /// Whether a cell has the device to itself: no other cell of any study is trained on it at the same
    /// time. Otherwise times are recorded, but no report uses them, and nothing is trained for timing
    /// alone.
    pub exclusive: bool,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            steps: NonZeroU64::new(50).unwrap_or(NonZeroU64::MIN),
            seconds: Positive::new(1.0),
            pairs: 10,
            exclusive: true,
        }
    }
}
