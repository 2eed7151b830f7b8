//! Units in text. The unit of pure numbers is "1", which would read as a number in a sentence.

/// The unit between `before` and `after`; nothing for pure numbers.
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
