//! How the runs of a cell take turns.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Positive;

/// Training in turns: in every block, each run of a cell does the same number of steps. The order
/// within a block is random, and the next block has it backwards (ABBA), so that neither the place in
/// the block nor a slow drift of the machine favours a batcher.
///
/// Block 0 finds out how long steps take, and is no part of any comparison.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Blocks {
    /// A turn has at least so many steps.
    pub steps: NonZeroU64,
    /// A turn of the fastest run lasts at least so many seconds.
    pub seconds: Positive,
    /// Whether a cell keeps the device to itself: no other cell of any study is trained on it at the
    /// same time. Without that, times are recorded, but no report uses them.
    pub exclusive: bool,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            steps: NonZeroU64::new(50).unwrap_or(NonZeroU64::MIN),
            seconds: Positive(2.0),
            exclusive: true,
        }
    }
}
