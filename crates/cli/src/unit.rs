//! Formats units.

/// The unit between `before` and `after`; empty without a unit.
pub(crate) fn around(before: &str, unit: Option<&str>, after: &str) -> String {
    unit.map(|unit| format!("{before}{unit}{after}")).unwrap_or_default()
}
