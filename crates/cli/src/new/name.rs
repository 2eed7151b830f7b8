//! The name of a new component, and names derived from it.

use std::fmt;

/// Longer names would be hard to read in figures, and would overflow lines of the templates.
const MAX_LENGTH: usize = 24;

/// A name in kebab-case, for example `best-fit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// Words of lower-case letters and digits, joined by single hyphens, starting with a letter.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        let starts_with_letter = text.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts_with_letter || !text.split('-').all(is_word) {
            let hint = kebab(text).map_or_else(String::new, |name| format!("; try \"{name}\""));
            return Err(format!(
                "\"{text}\" is not a valid component name: use words of lower-case letters and digits, \
                 joined by hyphens, starting with a letter{hint}"
            ));
        }
        if text.len() > MAX_LENGTH {
            return Err(format!(
                "\"{text}\" has {} letters; a name has at most {MAX_LENGTH}",
                text.len()
            ));
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix of type names, for example `BestFit`.
    pub(super) fn camel(&self) -> String {
        let capital = |word: &str| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + rest
        };
        self.0.split('-').map(capital).collect()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn kebab(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.chars() {
        match c {
            'a'..='z' | '0'..='9' => name.push(c),
            'A'..='Z' => {
                if name.ends_with(|c: char| c.is_ascii_lowercase()) {
                    name.push('-');
                }
                name.push(c.to_ascii_lowercase());
            }
            '_' | '-' | ' ' if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    let name = name.trim_end_matches('-');
    (name.starts_with(|c: char| c.is_ascii_lowercase()) && name != text).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_refused(text: &str, reason: &str) {
        let error = Name::parse(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }

    #[test]
    fn kebab_case_is_a_name() {
        for text in ["a", "best-fit", "fit2", "k-2-hop"] {
            assert_eq!(Name::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_proposal() {
        check_refused("BestFit", "try \"best-fit\"");
        check_refused("best_fit", "try \"best-fit\"");
        check_refused("Best Fit", "try \"best-fit\"");
        check_refused("best--fit", "try \"best-fit\"");
        check_refused("-best", "try \"best\"");
        check_refused("best-", "try \"best\"");
        check_refused("", "is not a valid component name");
        check_refused("2fit", "starting with a letter");
        check_refused("../fit", "try \"fit\"");
        check_refused("größe", "is not a valid component name");
        check_refused(&"a".repeat(25), "at most 24");
    }
}
