//! Numbers as printed by crystallographic and quantum-chemical programs.

use crate::error::{Problem, shown};

/// A number that is also finite in single precision, in which positions are stored.
///
/// Besides the usual notation: `1.5(3)` with an uncertainty (CIF), `1.5D+3` (Fortran), `1.5*^3`
/// (Mathematica). `what` names the quantity in messages.
///
/// # Errors
/// If the token is not such a number.
pub fn finite(token: &str, what: &'static str) -> Result<f64, Problem> {
    let fault = || Problem::Number { what, value: shown(token) };
    let trimmed = token.trim();
    let plain = match trimmed.split_once('(') {
        Some((number, rest)) if rest.ends_with(')') => number,
        _ => trimmed,
    };
    let parsed =
        plain.parse().or_else(|_| plain.replace("*^", "e").replace(['D', 'd'], "e").parse());
    parsed.ok().filter(|x: &f64| (*x as f32).is_finite()).ok_or_else(fault)
}

/// Three numbers at the beginning of a line, and the remaining words.
pub(crate) fn three<'a>(
    line: &'a str,
    what: &'static str,
) -> Result<([f64; 3], std::str::SplitWhitespace<'a>), Problem> {
    let mut words = line.split_whitespace();
    let mut vector = [0.0; 3];
    for x in &mut vector {
        let word =
            words.next().ok_or_else(|| Problem::Expected { expected: what, value: shown(line) })?;
        *x = finite(word, what)?;
    }
    Ok((vector, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp, reason = "parsing is exact")]
    fn spellings() {
        for (token, number) in [
            ("1.5", 1.5),
            ("-0", 0.0),
            ("2.", 2.0),
            ("1.5(3)", 1.5),
            ("1.5D+3", 1500.0),
            ("8.4*^-6", 8.4e-6),
            (" 7 ", 7.0),
        ] {
            assert_eq!(finite(token, "x").unwrap(), number, "{token}");
        }
        for token in ["", "nan", "inf", "1e39", "x", "1,5", "(3)", "infinityD"] {
            assert!(finite(token, "x").is_err(), "{token}");
        }
    }
}
