//! When the state of training is saved.

use std::num::{NonZeroU32, NonZeroU64};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Positive;

/// When the state of training is saved: after `steps` steps, after `minutes` minutes, or at whichever
/// comes first; and after the last step. At least one of the two must be given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpointing {
    /// Steps between two checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<NonZeroU64>,
    /// Minutes between two checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<Positive>,
    /// How many of the newest checkpoints are kept.
    #[serde(default = "default_keep")]
    pub keep: NonZeroU32,
}

impl Checkpointing {
    /// How many are kept by default: if the newest is damaged, there is the one before.
    pub const KEEP: NonZeroU32 = NonZeroU32::new(2).expect("2 is not 0");
}

fn default_keep() -> NonZeroU32 {
    Checkpointing::KEEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_minutes_are_positive() {
        let parse = toml::from_str::<Checkpointing>;
        let checkpointing = parse("steps = 100").unwrap();
        assert_eq!(checkpointing.steps, NonZeroU64::new(100));
        assert_eq!((checkpointing.minutes, checkpointing.keep.get()), (None, 2));
        assert_eq!(toml::to_string(&checkpointing).unwrap(), "steps = 100\nkeep = 2\n");
        assert!(parse("minutes = 0.5\nkeep = 1").is_ok());
        for (text, part) in [
            ("steps = 0", "nonzero"),
            ("minutes = 0", "above 0"),
            ("every = 3", "unknown field `every`"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
