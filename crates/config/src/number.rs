//! Numbers with limits.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A whole number that results can hold, whose integers are signed: at most 2^63 - 1.
pub(crate) fn recordable<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Into<u64> + Copy,
{
    let number = T::deserialize(deserializer)?;
    let value: u64 = number.into();
    if i64::try_from(value).is_ok() {
        Ok(number)
    } else {
        let most = i64::MAX;
        Err(D::Error::custom(format!(
            "{value} is more than results can hold; give a number up to {most}"
        )))
    }
}

/// The same where it may be left out.
pub(crate) fn recordable_option<'de, D: Deserializer<'de>, T>(
    deserializer: D,
) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de> + Into<u64> + Copy,
{
    recordable(deserializer).map(Some)
}

/// A number from 0 up to, but not including, 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
pub struct Fraction(pub(crate) f64);

impl TryFrom<f64> for Fraction {
    type Error = String;
    fn try_from(value: f64) -> Result<Self, String> {
        if (0.0..1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("{value} is not a share: give a number from 0 up to, but not including, 1"))
        }
    }
}

impl From<Fraction> for f64 {
    fn from(fraction: Fraction) -> Self {
        fraction.0
    }
}

/// A finite number, at least 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(extend("minimum" = 0))]
pub struct NotNegative(pub(crate) f64);

impl TryFrom<f64> for NotNegative {
    type Error = String;
    fn try_from(value: f64) -> Result<Self, String> {
        if value.is_finite() && value >= 0.0 {
            Ok(Self(value))
        } else {
            Err(format!("{value} is not allowed: give a finite number, at least 0"))
        }
    }
}

impl From<NotNegative> for f64 {
    fn from(number: NotNegative) -> Self {
        number.0
    }
}

/// A finite number above 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(extend("exclusiveMinimum" = 0))]
pub struct Positive(pub(crate) f64);

impl TryFrom<f64> for Positive {
    type Error = String;
    fn try_from(value: f64) -> Result<Self, String> {
        if value.is_finite() && value > 0.0 {
            Ok(Self(value))
        } else {
            Err(format!("{value} is not allowed: give a finite number above 0"))
        }
    }
}

impl From<Positive> for f64 {
    fn from(positive: Positive) -> Self {
        positive.0
    }
}
