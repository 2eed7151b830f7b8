//! Parses shares on the command line.

/// `2%` or `0.02`.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.trim().strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 100.0),
        None => (text.trim(), 1.0),
    };
    let share = number.parse::<f64>().map_err(|_| format!("{text:?} is not a share"))? / unit;
    if share > 0.0 && share < 1.0 {
        Ok(share)
    } else {
        Err(format!("{text} is not a share between 0 and 1; give for example 2% or 0.02"))
    }
}
