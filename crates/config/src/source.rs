//! The text of a configuration: a file, defaults for missing tables, and changes from the command line.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::diagnostic::Diagnostic;

/// The file, then one line per override, as one string, so that one offset names every place. An
/// override is parsed after as many spaces as there is text before it, so that its spans are offsets
/// in the whole.
pub(crate) struct Source {
    pub(super) file: String,
    file_end: usize,
    text: String,
    padded: Vec<String>,
}

impl Source {
    pub(crate) fn new(file: &str, content: &str, overrides: &[String]) -> Self {
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

    /// Parses the file, adds missing tables from `defaults`, and applies the overrides.
    pub(crate) fn parse<'s>(
        &'s self,
        defaults: &'s str,
    ) -> Result<Spanned<DeTable<'s>>, Diagnostic> {
        let mut root = DeTable::parse(&self.text[..self.file_end]).map_err(|e| self.toml(&e))?;
        let defaults = DeTable::parse(defaults).map_err(|e| Diagnostic::new(e.message()))?;
        fill(root.get_mut(), defaults.into_inner());
        for line in &self.padded {
            let change = DeTable::parse(line).map_err(|e| self.toml(&e))?;
            merge(root.get_mut(), change.into_inner()).map_err(|e| self.at(&e.1, e.0))?;
        }
        Ok(root)
    }

    pub(crate) fn at(&self, span: &Range<usize>, message: impl Into<String>) -> Diagnostic {
        self.locate(Diagnostic::new(message), span)
    }

    pub(crate) fn locate(&self, diagnostic: Diagnostic, span: &Range<usize>) -> Diagnostic {
        let (origin, text, start) = if span.start >= self.file_end {
            ("command line", &self.text[self.file_end..], self.file_end)
        } else {
            (self.file.as_str(), &self.text[..self.file_end], 0)
        };
        let span = span.start - start..(span.end - start).min(text.len());
        diagnostic.at(origin, text, span)
    }

    pub(crate) fn whole(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(message).within(&self.file)
    }

    pub(crate) fn toml(&self, error: &toml::de::Error) -> Diagnostic {
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
    // A line without a value is refused as invalid TOML.
    let Some((key, value)) = line.split_once('=') else { return line + " = ?" };
    let key: Vec<&str> = key.split('.').map(str::trim).collect();
    let (key, value) = (key.join("."), value.trim());
    let plain = format!("{key} = {value}");
    if DeTable::parse(&plain).is_ok() || DeTable::parse(&format!("{key} = 0")).is_err() {
        return plain;
    }
    format!("{key} = {}", toml::Value::String(value.to_owned()))
}

/// Adds missing tables, recursively.
fn fill<'i>(root: &mut DeTable<'i>, defaults: DeTable<'i>) {
    for (key, value) in defaults {
        // A component is taken whole or not at all: its keys belong to its name.
        let is_component = value.get_ref().as_table().is_some_and(|t| t.contains_key("name"));
        match (root.get_mut(key.get_ref().as_ref()), value.into_inner()) {
            (None, value) => {
                root.insert(key, Spanned::new(0..0, value));
            }
            (Some(present), DeValue::Table(inner)) if !is_component => {
                if let DeValue::Table(table) = present.get_mut() {
                    fill(table, inner);
                }
            }
            (Some(_), _) => {}
        }
    }
}

/// Applies `change` to `root`: tables are merged, everything else is replaced.
fn merge<'i>(root: &mut DeTable<'i>, change: DeTable<'i>) -> Result<(), (String, Range<usize>)> {
    for (key, value) in change {
        let span = key.span();
        match value.into_inner() {
            // Only a dotted key makes such a table: an inline table replaces what was there.
            DeValue::Table(inner) if is_dotted(&span, &inner) => {
                let entry = root.entry(key.clone()).or_insert_with(|| {
                    Spanned::new(span.clone(), DeValue::Table(DeTable::default()))
                });
                match entry.get_mut() {
                    DeValue::Table(table) => merge(table, inner)?,
                    DeValue::Array(list) => merge_named(list, inner)?,
                    other => {
                        let (name, kind) = (key.get_ref(), other.type_str());
                        let message = format!("\"{name}\" is {kind} in the file, not a table");
                        return Err((message, span));
                    }
                }
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

/// In a list of components, the next key is the name of a component:
/// `sink.parquet.compression_level = 5`.
fn merge_named<'i>(
    list: &mut DeArray<'i>,
    change: DeTable<'i>,
) -> Result<(), (String, Range<usize>)> {
    for (key, value) in change {
        let name = key.get_ref().as_ref();
        let is_named = |table: &DeTable<'_>| {
            table.iter().any(|(k, v)| k.get_ref() == "name" && v.get_ref().as_str() == Some(name))
        };
        let found = list.iter_mut().find_map(|item| match item.get_mut() {
            DeValue::Table(table) if is_named(table) => Some(table),
            _ => None,
        });
        match (found, value.into_inner()) {
            (Some(table), DeValue::Table(inner)) => merge(table, inner)?,
            (None, _) => return Err((format!("the list has no \"{name}\""), key.span())),
            (Some(_), _) => return Err((format!("name a key of \"{name}\""), key.span())),
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
        let table = source.parse("").map_err(|e| e.to_string());
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
    fn spaces_around_dots_do_not_matter() {
        let file = "[a]\nb = 1\nc = 2\n";
        assert_eq!(resolved(file, &["a . b = 3"]), resolved(file, &["a.b=3"]));
    }

    #[test]
    fn components_in_a_list_are_found_by_name() {
        let file = "[[sink]]\nname = \"x\"\nlevel = 1\n";
        assert!(resolved(file, &["sink.x.level=3"]).contains("level = 3"));
        assert!(resolved(file, &["sink.y.level=3"]).contains("the list has no \"y\""));
    }

    #[test]
    fn an_override_needs_a_value() {
        assert!(resolved("", &[""]).contains("command line"));
        assert!(resolved("", &["a"]).contains("command line"));
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
