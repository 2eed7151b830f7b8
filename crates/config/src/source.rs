//! The text of a configuration: a file, and changes from the command line.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::alternatives::{self, within};
use crate::diagnostic::Diagnostic;
use crate::forms;

/// A table with the places of its values in a [`Source`].
pub(crate) type Root = DeTable<'static>;

/// The file, then one line per change, as one string, so that one offset names every place. A
/// change is parsed after as many spaces as there is text before it, so that its spans are offsets
/// in the whole.
///
/// Its text is kept until the program ends, so that tables of it can be put together freely: a
/// configuration is read once, and is short.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(super) file: String,
    file_end: usize,
    text: &'static str,
    padded: Vec<&'static str>,
}

pub(crate) fn kept(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

impl Source {
    /// The changes are lines of TOML.
    pub(crate) fn new<'a>(
        file: &str,
        content: &str,
        changes: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        let mut text = format!("{content}\n");
        let file_end = text.len();
        let mut padded = Vec::new();
        for line in changes {
            padded.push(kept(" ".repeat(text.len()) + line));
            text.push_str(line);
            text.push('\n');
        }
        Self { file: file.to_owned(), file_end, text: kept(text), padded }
    }

    /// The tables of the file.
    pub(crate) fn parse(&self) -> Result<Spanned<Root>, Diagnostic> {
        DeTable::parse(&self.text[..self.file_end]).map_err(|error| self.no_toml(&error))
    }

    /// The changes, each as a table.
    pub(crate) fn changes(&self) -> Result<Vec<Root>, Diagnostic> {
        let parse =
            |line: &&'static str| Ok(DeTable::parse(line).map_err(|e| self.toml(&e))?.into_inner());
        self.padded.iter().map(parse).collect()
    }

    /// Applies a change, which replaces what the file has in its place.
    pub(crate) fn apply(&self, root: &mut Root, change: Root) -> Result<(), Diagnostic> {
        let merged = merge(root, change, alternatives::schema(), self.file_end);
        merged.map_err(|(message, span)| self.at(&span, message))
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
        if text.trim().is_empty() {
            return diagnostic.within(origin);
        }
        let span = span.start - start..(span.end - start).min(text.len());
        diagnostic.at(origin, text, span)
    }

    pub(crate) fn whole(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(message).within(&self.file)
    }

    /// A mistake that was found in text of which nothing else is known.
    pub(crate) fn toml(&self, error: &toml::de::Error) -> Diagnostic {
        self.mistake(error, "", &DeTable::new(), &Value::Null)
    }

    /// A mistake in the table `here`, which a schema describes.
    pub(crate) fn mistake(
        &self,
        error: &toml::de::Error,
        here: &str,
        table: &DeTable<'_>,
        schema: &Value,
    ) -> Diagnostic {
        let message = error.message().trim();
        // As serde tells of a word where a table such as { power = 2 } is meant.
        if let (Some(span), true) =
            (error.span(), message.starts_with("invalid type: unit variant"))
        {
            let word = self.text.get(span.clone()).unwrap_or_default().trim_matches(['"', '\'']);
            let message = format!("\"{word}\" needs a value");
            return self
                .at(&span, message)
                .help(format!("write {{ {word} = 2 }}, with your number"));
        }
        let diagnostic = match error.span() {
            Some(span) => self.at(&span, message),
            None => self.whole(message),
        };
        let typed = error.span().and_then(|span| self.text.get(span)).unwrap_or_default();
        let schema = error.span().and_then(|span| forms::at(schema, table, &span));
        diagnostic.with_remedy(message, typed, schema, here)
    }

    fn no_toml(&self, error: &toml::de::Error) -> Diagnostic {
        let diagnostic = self.toml(error);
        let text = &self.text[..self.file_end];
        if let (true, Some(span)) = (error.message().contains("duplicate key"), error.span()) {
            let again = self.at(&span, format!("\"{}\" is given twice", &text[span.clone()]));
            return match first_of_twice(text, &span) {
                Some(first) => again.beside(first, "first given here"),
                None => again,
            }
            .help("put both together, or remove one of them");
        }
        if looks_like_yaml(text) {
            return diagnostic.help(
                "this looks like YAML; a configuration is TOML: [training] on a line of its own, and steps = 200 \
                 below it",
            );
        }
        if text.trim_start().starts_with('{') {
            return diagnostic.help(
                "this looks like JSON; a configuration is TOML: [training] on a line of its own, and steps = 200 \
                 below it",
            );
        }
        diagnostic
    }
}

/// The first place of a key that is given again at `span`.
fn first_of_twice(text: &str, span: &Range<usize>) -> Option<Range<usize>> {
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let (before, line) = (DeTable::parse(&text[..start]).ok()?, &text[start..span.end]);
    let header =
        |line: &str| Some(line.trim_start().strip_prefix('[')?.trim_matches(['[', ']']).to_owned());
    let key = header(line).unwrap_or_else(|| {
        let mut above = text[..start].lines().rev();
        let table = above.find_map(|line| header(line.split('#').next()?.trim_end()));
        table.map_or_else(|| line.to_owned(), |table| format!("{table}.{line}"))
    });
    let (mut table, mut found) = (before.get_ref(), None);
    for name in key.split('.').map(|name| name.trim().trim_matches(['"', '\''])) {
        let (key, value) = table.get_key_value(name)?;
        found = Some(key.span());
        let last = |list: &'_ DeArray<'_>| list.len().checked_sub(1);
        table = match value.get_ref() {
            DeValue::Table(inner) => inner,
            DeValue::Array(list) => {
                match last(list).and_then(|last| list.get(last)?.get_ref().as_table()) {
                    Some(inner) => inner,
                    None => break,
                }
            }
            _ => break,
        };
    }
    found
}

/// Whether the first line that says something is `key:` or `key: value`.
fn looks_like_yaml(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    let is_word = |key: &str| key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    first.is_some_and(|line| {
        line == "---"
            || line.split_once(':').is_some_and(|(key, value)| {
                is_word(key) && !key.is_empty() && (value.is_empty() || value.starts_with(' '))
            })
    })
}

/// Puts one table over another: tables in it are merged, everything else is replaced.
pub(crate) fn overlay(root: &mut Root, changes: Root, schema: &Value) {
    for (key, value) in changes {
        let (span, name) = (value.span(), key.get_ref().as_ref());
        alternatives::make_way(root, name, value.get_ref(), schema, usize::MAX);
        let inner_schema = within(schema, root, name);
        match (root.get_mut(name).map(Spanned::get_mut), value.into_inner()) {
            (Some(DeValue::Table(inner)), DeValue::Table(changes)) => {
                overlay(inner, changes, inner_schema);
            }
            (_, value) => {
                root.insert(key, Spanned::new(span, value));
            }
        }
    }
}

/// Adds missing tables, recursively.
pub(crate) fn fill(root: &mut Root, defaults: Root) {
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

/// Applies `change` to `root`: tables are merged, everything else is replaced. The file ends at `end`.
fn merge(
    root: &mut Root,
    change: Root,
    schema: &Value,
    end: usize,
) -> Result<(), (String, Range<usize>)> {
    for (key, value) in change {
        let (span, of_value) = (key.span(), value.span());
        let name = key.get_ref().as_ref();
        alternatives::make_way(root, name, value.get_ref(), schema, end);
        let inner_schema = within(schema, root, name);
        match value.into_inner() {
            // Only a dotted key makes such a table: an inline table replaces what was there.
            DeValue::Table(inner) if is_dotted(&span, &inner) => {
                let entry = root.entry(key.clone()).or_insert_with(|| {
                    Spanned::new(span.clone(), DeValue::Table(DeTable::default()))
                });
                // A word such as "none" that may be a table too.
                let is_of_schema = |key: &str| !within(inner_schema, &inner, key).is_null();
                if matches!(entry.get_ref(), DeValue::String(_))
                    && inner.keys().all(|key| is_of_schema(key.get_ref()))
                {
                    *entry.get_mut() = DeValue::Table(DeTable::default());
                }
                match entry.get_mut() {
                    DeValue::Table(table) => merge(table, inner, inner_schema, end)?,
                    DeValue::Array(list) => merge_named(list, inner, &inner_schema["items"], end)?,
                    other => {
                        let (name, kind) = (key.get_ref(), other.type_str());
                        let message = format!("\"{name}\" is {kind} in the file, not a table");
                        return Err((message, span));
                    }
                }
            }
            value => {
                root.remove(&key);
                root.insert(key, Spanned::new(of_value, value));
            }
        }
    }
    Ok(())
}

/// In a list of components, the next key is the name of a component:
/// `sink.parquet.compression_level = 5`.
fn merge_named(
    list: &mut DeArray<'static>,
    change: Root,
    schema: &Value,
    end: usize,
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
            (Some(table), DeValue::Table(inner)) => merge(table, inner, schema, end)?,
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
        let changes: Vec<String> = overrides.iter().map(|&o| crate::study::line(o)).collect();
        let source = Source::new("test.toml", file, &changes);
        let resolve = || {
            let mut root = source.parse()?;
            for change in source.changes()? {
                source.apply(root.get_mut(), change)?;
            }
            Ok::<_, Diagnostic>(root)
        };
        match resolve() {
            Ok(table) => {
                use serde::Deserialize;
                use serde::de::IntoDeserializer;
                toml::Table::deserialize(table.into_deserializer()).unwrap().to_string()
            }
            Err(message) => message.to_string(),
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

    #[test]
    fn other_languages_are_named() {
        let yaml = "# a run\ndataset:\n  name: qm9\n";
        assert!(resolved(yaml, &[]).contains("this looks like YAML"));
        assert!(resolved("study: smoke\n", &[]).contains("this looks like YAML"));
        assert!(resolved("{ \"study\": 1 }", &[]).contains("this looks like JSON"));
        let slip = resolved("[training\nsteps = 3\n", &[]);
        assert!(!slip.contains("looks like"), "{slip}");
    }
}
