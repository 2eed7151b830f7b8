//! Units for a person. Data sets call the unit of pure numbers "1", as tables of units do; in a sentence
//! it would read as a number.

/// The unit with `before` and `after` around it, or nothing where there is none.
pub(crate) fn around(before: &str, unit: &str, after: &str) -> String {
    match unit {
        "" | "1" => String::new(),
        unit => format!("{before}{unit}{after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pure_numbers_have_no_unit_in_words() {
        assert_eq!(around(" [", "eV", "]"), " [eV]");
        assert_eq!(around(" [", "1", "]"), "");
        assert_eq!(around(" ", "", ""), "");
    }
}
