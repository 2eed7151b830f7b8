//! When the state of training is saved.

use std::num::{NonZeroU32, NonZeroU64};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Positive;

/// When the state of training is saved: after so many steps, after so many minutes, or at whichever
/// comes first; and after the last step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Fields", into = "Fields")]
#[schemars(with = "Fields")]
pub struct Checkpointing {
    /// Steps between two checkpoints.
    pub steps: Option<NonZeroU64>,
    /// Minutes between two checkpoints.
    pub minutes: Option<Positive>,
    /// So many are kept, the newest ones.
    pub keep: NonZeroU32,
}

/// When the state of training is saved: after `steps` steps, after `minutes` minutes, or at whichever
/// comes first; and after the last step. At least one of the two must be given.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fields {
    /// Steps between two checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    steps: Option<NonZeroU64>,
    /// Minutes between two checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minutes: Option<Positive>,
    /// So many are kept, the newest ones.
    #[serde(default = "default_keep")]
    keep: NonZeroU32,
}

/// If the newest one is damaged, there is the one before.
const fn default_keep() -> NonZeroU32 {
    const KEEP: NonZeroU32 = NonZeroU32::new(2).expect("2 is not 0");
    KEEP
}

impl Checkpointing {
    /// How many are kept where the configuration does not say.
    pub const KEEP: NonZeroU32 = default_keep();
}

impl TryFrom<Fields> for Checkpointing {
    type Error = &'static str;
    fn try_from(fields: Fields) -> Result<Self, &'static str> {
        let Fields { steps, minutes, keep } = fields;
        if steps.is_none() && minutes.is_none() {
            return Err("it does not say when: give steps or minutes, as in { steps = 1000 }");
        }
        Ok(Self { steps, minutes, keep })
    }
}

impl From<Checkpointing> for Fields {
    fn from(Checkpointing { steps, minutes, keep }: Checkpointing) -> Self {
        Self { steps, minutes, keep }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_steps_and_minutes_is_needed() {
        let parse = toml::from_str::<Checkpointing>;
        let checkpointing = parse("steps = 100").unwrap();
        assert_eq!(checkpointing.steps, NonZeroU64::new(100));
        assert_eq!((checkpointing.minutes, checkpointing.keep.get()), (None, 2));
        assert_eq!(toml::to_string(&checkpointing).unwrap(), "steps = 100\nkeep = 2\n");
        assert!(parse("minutes = 0.5\nkeep = 1").is_ok());
        for (text, part) in [
            ("keep = 1", "give steps or minutes"),
            ("steps = 0", "nonzero"),
            ("minutes = 0", "above 0"),
            ("every = 3", "unknown field `every`"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
