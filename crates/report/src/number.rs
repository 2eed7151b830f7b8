//! Number formatting.

use batchlab_core::number::grouped;

/// Three significant digits, without trailing zeros: `0.0526`, `1.94`, `12.4`, `1,234`.
pub(crate) fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let size = value.abs();
    if !(1e-4..1e7).contains(&size) {
        return format!("{value:.1e}");
    }
    if size >= 100.0 {
        let (sign, whole) = (if value < 0.0 { "-" } else { "" }, size.round() as i64);
        return format!("{sign}{}", grouped(whole.unsigned_abs()));
    }
    let text = significant(value, 3);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A number with `n_digit` significant digits, without an exponent.
pub(crate) fn significant(value: f64, n_digit: i32) -> String {
    let before = if value == 0.0 { 1 } else { value.abs().log10().floor() as i32 + 1 };
    let decimals = usize::try_from(n_digit - before).unwrap_or(0);
    format!("{value:.decimals$}")
}

pub(crate) fn factor(value: f64) -> String {
    format!("{value:.2}×")
}

/// A number of things: `1 run`, `2 runs`.
#[must_use]
pub fn count(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

/// `2 %`.
pub(crate) fn percent(share: f64) -> String {
    let text = format!("{:.2}", 100.0 * share);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A number of steps: `500`, `100k`, `2M`.
pub(crate) fn steps(n: i64) -> String {
    match n {
        n if n >= 1_000_000 && n % 100_000 == 0 => format!("{}M", short(n as f64 / 1e6)),
        n if n >= 1000 && n % 100 == 0 => format!("{}k", short(n as f64 / 1e3)),
        n => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_enough() {
        let texts = [0.0, 0.052_61, 1.0, 1.944, 12.44, 99.96, 123.4, 1234.4, 1e9, 2e-6].map(short);
        let good = ["0", "0.0526", "1", "1.94", "12.4", "100", "123", "1,234", "1.0e9", "2.0e-6"];
        assert_eq!(texts, good);
        assert_eq!(
            [300, 100_000, 2_000_000, 1_500_000, 1234].map(steps),
            ["300", "100k", "2M", "1.5M", "1234"]
        );
        assert_eq!(short(-1234.0), "-1,234");
    }
}
