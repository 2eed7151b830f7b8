//! Numbers with limits.

use batchlab_core::checked_number;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// An integer that results can store: they are signed, so at most 2^63 - 1.
pub(crate) fn recordable<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Into<u64> + Copy,
{
    let number = T::deserialize(deserializer)?;
    let value: u64 = number.into();
    if i64::try_from(value).is_ok() {
        return Ok(number);
    }
    let max = i64::MAX;
    Err(D::Error::custom(format!(
        "{value} is more than results can hold; give a number up to {max}"
    )))
}

/// The same for an optional key.
pub(crate) fn recordable_option<'de, D: Deserializer<'de>, T>(
    deserializer: D,
) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de> + Into<u64> + Copy,
{
    recordable(deserializer).map(Some)
}

checked_number! {
    /// A number from 0 up to, but not including, 1.
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub struct Fraction(f64): value if (0.0..1.0).contains(&value),
    else "{value} is not a share: give a number from 0 up to, but not including, 1"
}

checked_number! {
    /// A finite number, at least 0.
    #[derive(Default)]
    #[schemars(extend("minimum" = 0))]
    pub struct NotNegative(f64): value if value.is_finite() && value >= 0.0,
    else "{value} is not allowed: give a finite number, at least 0"
}

checked_number! {
    /// A finite number above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub struct Positive(f64): value if value.is_finite() && value > 0.0,
    else "{value} is not allowed: give a finite number above 0"
}

impl Fraction {
    /// For defaults that are known to be valid.
    pub(crate) const fn new(value: f64) -> Self {
        Self(value)
    }
}

impl Positive {
    /// For defaults that are known to be valid.
    pub(crate) const fn new(value: f64) -> Self {
        Self(value)
    }
}
