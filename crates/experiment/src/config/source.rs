//! The text of a configuration: a file, defaults for tables it lacks, and changes from the command
//! line.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;

/// All text that a configuration is made of, as one string, so that every place has one number.
///
/// First comes the file, then one line per override. An override is parsed behind as many spaces
/// as there is text before it, so that its places are places in the whole.
pub(super) struct Source {
    pub(super) file: String,
    file_end: usize,
    text: String,
    padded: Vec<String>,
}

impl Source {
    pub(super) fn new(file: &str, content: &str, overrides: &[String]) -> Self {
        let mut text = format!("{content}\n");
        let file_end = text.len();
        let mut padded = Vec::new();
        for line in overrides {
            let line = normalise(line);
            padded.push(" ".repeat(text.len()) + &line);
            text.push_str(&line);
            text.push('\n');
        }
        Self { file: file.to_owned(), file_end, text, padded }
    }

    /// Parses the file and puts the overrides into it.
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'_>>, Diagnostic> {
        let mut root = DeTable::parse(&self.text[..self.file_end]).map_err(|e| self.toml(&e))?;
        for line in &self.padded {
            let change = DeTable::parse(line).map_err(|e| self.toml(&e))?;
            merge(root.get_mut(), change.into_inner()).map_err(|e| self.at(&e.1, e.0))?;
        }
        Ok(root)
    }

    /// A mistake at a place.
    pub(super) fn at(&self, span: &Range<usize>, message: impl Into<String>) -> Diagnostic {
        let (origin, text, start) = if span.start >= self.file_end {
            ("command line", &self.text[self.file_end..], self.file_end)
        } else {
            (self.file.as_str(), &self.text[..self.file_end], 0)
        };
        let span = span.start - start..(span.end - start).min(text.len());
        Diagnostic::new(message).at(origin, text, span)
    }

    /// A mistake that concerns the file as a whole.
    pub(super) fn whole(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(message).within(&self.file)
    }

    /// A mistake that the TOML parser or serde found.
    pub(super) fn toml(&self, error: &toml::de::Error) -> Diagnostic {
        let message = error.message().trim();
        let diagnostic = match error.span() {
            Some(span) => self.at(&span, message),
            None => self.whole(message),
        };
        diagnostic.with_suggestion(message)
    }
}

/// `key=value` as a line of TOML. A value that is not TOML is a string: `dataset.target=U0` needs
/// no quotes.
fn normalise(line: &str) -> String {
    let line = line.replace('\n', " ");
    let Some((key, value)) = line.split_once('=') else { return line };
    let (key, value) = (key.trim(), value.trim());
    let plain = format!("{key} = {value}");
    if DeTable::parse(&plain).is_ok() || DeTable::parse(&format!("{key} = 0")).is_err() {
        return plain;
    }
    format!("{key} = {}", toml::Value::String(value.to_owned()))
}

/// Puts the leaves of `change` into `root`; tables are entered, everything else is replaced.
fn merge<'i>(root: &mut DeTable<'i>, change: DeTable<'i>) -> Result<(), (String, Range<usize>)> {
    for (key, value) in change {
        let span = key.span();
        match value.into_inner() {
            // Only a dotted key makes such a table: an inline table replaces what was there.
            DeValue::Table(inner) if is_dotted(&span, &inner) => {
                let entry = root.entry(key.clone()).or_insert_with(|| {
                    Spanned::new(span.clone(), DeValue::Table(DeTable::default()))
                });
                let DeValue::Table(table) = entry.get_mut() else {
                    let kind = entry.get_ref().type_str();
                    let name = key.get_ref();
                    let message =
                        format!("\"{name}\" is {kind} in the file, not a table; change it there");
                    return Err((message, span));
                };
                merge(table, inner)?;
            }
            value => {
                let end = span.end;
                root.remove(&key);
                root.insert(key, Spanned::new(span.start..end, value));
            }
        }
    }
    Ok(())
}

/// In `a.b = 1` the key `b` follows `a` at once, in `a = { b = 1 }` it does not.
fn is_dotted(key: &Range<usize>, inner: &DeTable<'_>) -> bool {
    inner.keys().next().is_some_and(|first| first.span().start == key.end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(file: &str, overrides: &[&str]) -> String {
        let overrides: Vec<String> = overrides.iter().map(|&o| o.to_owned()).collect();
        let source = Source::new("test.toml", file, &overrides);
        let table = source.parse().map_err(|e| e.to_string());
        match table {
            Ok(table) => {
                use serde::Deserialize;
                use serde::de::IntoDeserializer;
                toml::Table::deserialize(table.into_deserializer()).unwrap().to_string()
            }
            Err(message) => message,
        }
    }

    #[test]
    fn overrides_replace_add_and_quote() {
        assert_eq!(resolved("[a]\nb = 1\n", &["a.b=2"]), "[a]\nb = 2\n");
        assert_eq!(
            resolved("[a]\nb = 1\n", &["a.c.d = [1, 2]"]),
            "[a]\nb = 1\n\n[a.c]\nd = [1, 2]\n"
        );
        assert_eq!(
            resolved("", &["dataset.path=data/x.xyz"]),
            "[dataset]\npath = \"data/x.xyz\"\n"
        );
        assert_eq!(resolved("[a.p]\nx = 1", &["a.p={ y = 2 }"]), "[a.p]\ny = 2\n");
    }

    #[test]
    fn a_broken_override_is_shown_as_typed() {
        let message = resolved("a = 1\n", &["no value"]);
        assert!(message.contains("command line") && message.contains("no value"), "{message}");
    }

    #[test]
    fn a_value_cannot_be_entered() {
        let message = resolved("a = 1\n", &["a.b=2"]);
        assert!(message.contains("\"a\" is integer in the file"), "{message}");
    }
}
