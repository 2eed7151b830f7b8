//! Configuration numbers, and numbers in text.

/// Formats a count with thousands separators.
///
/// ```
/// use batchlab_core::number::grouped;
/// assert_eq!([999, 1_000, 1_234_567].map(grouped), ["999", "1,000", "1,234,567"]);
/// ```
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The next multiple of `step`, or `u32::MAX` on overflow.
pub(crate) fn next_multiple(n: u32, step: u32) -> u32 {
    n.checked_next_multiple_of(step).unwrap_or(u32::MAX)
}

/// Declares a configuration number, stored as `f64` and checked when it is read.
///
/// ```
/// batchlab_core::checked_number! {
///     /// A part of a whole.
///     pub struct Share(f64): share if (0.0..=1.0).contains(&share),
///     else "{share} is not a share; give a number from 0 to 1"
/// }
///
/// assert_eq!(Share::try_from(0.5)?.get(), 0.5);
/// assert_eq!(Share::try_from(2.0).unwrap_err(), "2 is not a share; give a number from 0 to 1");
/// # Ok::<(), String>(())
/// ```
#[macro_export]
macro_rules! checked_number {
    (
        $(#[$about:meta])*
        pub struct $name:ident(f64): $value:ident if $valid:expr, else $message:literal
    ) => {
        #[derive(
            Debug,
            Clone,
            Copy,
            PartialEq,
            $crate::__private::serde::Serialize,
            $crate::__private::serde::Deserialize,
            $crate::__private::schemars::JsonSchema,
        )]
        #[serde(crate = "batchlab_core::__private::serde", try_from = "f64", into = "f64")]
        #[schemars(crate = "batchlab_core::__private::schemars")]
        $(#[$about])*
        pub struct $name(f64);

        impl $name {
            /// The number, which is within its limits.
            #[must_use]
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = String;
            fn try_from($value: f64) -> Result<Self, String> {
                if $valid { Ok(Self($value)) } else { Err(format!($message)) }
            }
        }

        impl From<$name> for f64 {
            fn from(number: $name) -> Self {
                number.0
            }
        }
    };
}
