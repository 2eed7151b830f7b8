//! How the runs of a cell are interleaved.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::Positive;

/// Interleaved training: in every block, each run of a cell does the same number of steps. The
/// order within a block is random, and reversed in the next block (ABBA), so that neither the
/// position in a block nor a slow drift of the machine favours a batcher. Two such blocks form a
/// pair, the unit of every comparison of times.
///
/// Block 0 is the warm-up of all runs; it enters no comparison.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Blocks {
    /// Minimum number of steps of a run in a block.
    pub steps: NonZeroU64,
    /// Minimum duration of the fastest run's part of a block, in seconds.
    pub seconds: Positive,
    /// Minimum number of mirrored pairs of blocks. If `training.steps` is too small for them, the
    /// runs of a cell continue for timing only, without evaluations and checkpoints. 0: only as
    /// many as `training.steps` gives.
    pub pairs: u32,
    /// Whether a cell has exclusive use of the device: no other cell of any study is trained on it
    /// at the same time. If false, times are recorded, but no report uses them, and nothing is
    /// trained for timing only.
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
