//! Numbers as QM9 spells them.

use crate::error::{Problem, shown};

/// A number that is finite also in single precision, in which positions are stored; `what` names
/// the quantity in errors.
///
/// QM9 was written by Mathematica: besides `0.`, `-0.` and `1.5e-3` there are exponents spelled
/// `-8.4813*^-6` (176 coordinates of the set).
pub(crate) fn finite(token: &str, what: &'static str) -> Result<f64, Problem> {
    let parsed = match token.split_once("*^") {
        Some((mantissa, exponent)) => format!("{mantissa}e{exponent}").parse::<f64>(),
        None => token.parse::<f64>(),
    };
    match parsed {
        Ok(number) if (number as f32).is_finite() => Ok(number),
        Ok(_) => Err(Problem::NotFinite { what, value: shown(token) }),
        Err(_) => Err(Problem::NotANumber { what, value: shown(token) }),
    }
}

/// QM9's 1-based index.
pub(crate) fn gdb_index(token: &str) -> Result<u32, Problem> {
    match token.parse() {
        Ok(index) if index > 0 => Ok(index),
        _ => Err(Problem::Index { value: shown(token) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: &str, expected: f64) {
        let number = finite(token, "x").expect("a number of QM9");
        assert_eq!(number.to_bits(), expected.to_bits(), "{token}");
    }

    #[test]
    fn every_spelling_of_qm9_is_read_to_the_last_bit() {
        check("0.", 0.0);
        check("-0.", -0.0);
        check("1.", 1.0);
        check("-8.4813*^-6", -8.4813e-6);
        check("8.3963*^-6", 8.3963e-6);
        check("2.2194*^-6", 2.2194e-6);
        check("1.5*^2", 150.0);
        check("-8.4813e-6", -8.4813e-6);
        check("157.7118", 157.7118);
    }

    #[test]
    fn what_is_no_finite_number_is_refused() {
        for token in ["nan", "NaN", "inf", "-inf", "1e999", "1*^999", "-1e39"] {
            assert_eq!(
                finite(token, "x"),
                Err(Problem::NotFinite { what: "x", value: token.to_owned() })
            );
        }
        for token in ["", "C", "1,5", "*^", "1*^", "1*^2*^3", "0x1"] {
            assert_eq!(
                finite(token, "x"),
                Err(Problem::NotANumber { what: "x", value: token.to_owned() })
            );
        }
    }

    #[test]
    fn an_index_starts_at_one() {
        assert_eq!(gdb_index("133885"), Ok(133_885));
        for token in ["0", "-1", "1.0", "", "4294967296"] {
            assert!(gdb_index(token).is_err(), "{token}");
        }
    }
}
