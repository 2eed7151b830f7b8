//! The largest change.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A positive number; 100 by default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(extend("exclusiveMinimum" = 0))]
pub struct Clip(f64);

impl Clip {
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Clip {
    fn default() -> Self {
        Self(100.0)
    }
}

impl TryFrom<f64> for Clip {
    type Error = String;
    fn try_from(clip: f64) -> Result<Self, String> {
        if clip > 0.0 && clip.is_finite() {
            Ok(Self(clip))
        } else {
            Err(format!("{clip} is not a valid limit; give a number above 0, or 1e30 to cut none"))
        }
    }
}

impl From<Clip> for f64 {
    fn from(clip: Clip) -> Self {
        clip.0
    }
}
