//! The maximum change.

batchlab_core::checked_number! {
    /// A positive number; 100 by default.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub struct Clip(f64): clip if clip > 0.0 && clip.is_finite(),
    else "{clip} is not a valid limit; give a number above 0, or 1e30 to cut none"
}

impl Default for Clip {
    fn default() -> Self {
        Self(100.0)
    }
}
