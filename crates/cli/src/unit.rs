//! Units in text. The unit of pure numbers is "1", which would read as a number in a sentence.

use batchlab_core::Level;

/// The unit between `before` and `after`; nothing for pure numbers.
pub(crate) fn around(before: &str, unit: &str, after: &str) -> String {
    match unit {
        "" | "1" => String::new(),
        unit => format!("{before}{unit}{after}"),
    }
}

/// What a run's outputs are called; `output` is that of the table of runs.
pub(crate) fn outputs(output: Option<&str>) -> &'static str {
    let level = if output == Some("node") { Level::Nodes } else { Level::Graphs };
    level.outputs()
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
