//! Units in text.

/// The unit between `before` and `after`; nothing for pure numbers.
pub(crate) fn around(before: &str, unit: Option<&str>, after: &str) -> String {
    unit.map(|unit| format!("{before}{unit}{after}")).unwrap_or_default()
}
