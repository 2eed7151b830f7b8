//! The text of a configuration, from a file and command-line overrides, parsed into tables with
//! source positions.

pub(crate) mod diagnostic;
pub(crate) mod merge;
pub(crate) mod overrides;

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use diagnostic::Diagnostic;

pub(crate) type Span = Range<usize>;
/// A table whose keys and values have positions in a [`Source`].
pub(crate) type Table<'t> = DeTable<'t>;
pub(crate) type Value<'t> = Spanned<DeValue<'t>>;

/// The file, followed by one line per override, as a single string, so that one offset identifies a
/// position in either.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: String,
    text: String,
    file_end: usize,
}

impl Source {
    pub(crate) fn new(file: &str, content: &str) -> Self {
        let text = format!("{content}\n");
        Self { file: file.to_owned(), file_end: text.len(), text }
    }

    /// Adds an override, a line of TOML; returns its position.
    pub(crate) fn add(&mut self, line: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(line);
        self.text.push('\n');
        start..self.text.len() - 1
    }

    /// Parses the file.
    pub(crate) fn parse(&self) -> Result<Spanned<Table<'_>>, Diagnostic> {
        let text = &self.text[..self.file_end];
        DeTable::parse(text).map_err(|error| self.no_toml(text, &error))
    }

    /// Parses an override.
    pub(crate) fn parse_change(&self, line: &Span) -> Result<Table<'_>, Diagnostic> {
        let moved = |span: Span| span.start + line.start..span.end + line.start;
        match DeTable::parse(&self.text[line.clone()]) {
            Ok(table) => Ok(placed(table.into_inner(), &moved)),
            Err(error) => Err(self.at(&moved(error.span().unwrap_or(0..0)), error.message())),
        }
    }

    pub(crate) fn is_change(&self, span: &Span) -> bool {
        span.start >= self.file_end
    }

    /// The text at a position.
    pub(crate) fn text(&self, span: &Span) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    pub(crate) fn at(&self, span: &Span, message: impl Into<String>) -> Diagnostic {
        self.locate(Diagnostic::new(message), span)
    }

    pub(crate) fn locate(&self, diagnostic: Diagnostic, span: &Span) -> Diagnostic {
        let (origin, start, end) = if self.is_change(span) {
            let start = self.text[..span.start].rfind('\n').map_or(0, |at| at + 1);
            let length = self.text[start..].find('\n').unwrap_or(0);
            ("command line", start, start + length)
        } else {
            (self.file.as_str(), 0, self.file_end)
        };
        let text = &self.text[start..end];
        if text.trim().is_empty() {
            return diagnostic.within(origin);
        }
        diagnostic.at(origin, text, span.start - start..(span.end - start).min(text.len()))
    }

    pub(crate) fn whole(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(message).within(&self.file)
    }

    fn no_toml(&self, text: &str, error: &Error) -> Diagnostic {
        let span = error.span().unwrap_or(0..0);
        if error.message().contains("duplicate key") {
            let again = self.at(&span, format!("\"{}\" is given twice", self.text(&span)));
            return match first_of_twice(text, &span) {
                Some(first) => again.beside(first, "first given here"),
                None => again,
            }
            .help("put both together, or remove one of them");
        }
        let diagnostic = self.at(&span, error.message());
        let language = if looks_like_yaml(text) {
            "YAML"
        } else if text.trim_start().starts_with('{') {
            "JSON"
        } else {
            return diagnostic;
        };
        diagnostic.help(format!(
            "this looks like {language}; a configuration is TOML: [training] on a line of its own, and \
             steps = 200 below it"
        ))
    }
}

/// The earlier position of the key that is duplicated at `span`: the nearest one of this name in
/// the lines before.
fn first_of_twice(text: &str, span: &Span) -> Option<Span> {
    fn places(table: &Table<'_>, name: &str, found: &mut Vec<Span>) {
        for (key, value) in table {
            found.extend((key.get_ref() == name).then(|| key.span()));
            let items = value.get_ref().as_array().into_iter().flat_map(|list| list.iter());
            for value in items.chain([value]) {
                if let DeValue::Table(inner) = value.get_ref() {
                    places(inner, name, found);
                }
            }
        }
    }
    let line = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let before = DeTable::parse(&text[..line]).ok()?;
    let mut found = Vec::new();
    places(before.get_ref(), text[span.clone()].trim_matches(['"', '\'']), &mut found);
    found.into_iter().max_by_key(|place| place.start)
}

/// Whether the first non-empty, non-comment line is `key:` or `key: value`.
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

/// The same table with other positions. Items of a list move along with the list.
pub(crate) fn placed<'t>(table: Table<'t>, place: &dyn Fn(Span) -> Span) -> Table<'t> {
    let move_one = |(key, value): (Spanned<_>, Value<'t>)| {
        let key = Spanned::new(place(key.span()), key.into_inner());
        (key, placed_value(value, place))
    };
    table.into_iter().map(move_one).collect()
}

fn placed_value<'t>(value: Value<'t>, place: &dyn Fn(Span) -> Span) -> Value<'t> {
    let span = place(value.span());
    let value = match value.into_inner() {
        DeValue::Table(inner) => DeValue::Table(placed(inner, place)),
        DeValue::Array(list) => {
            let mut items = toml::de::DeArray::new();
            list.into_iter().for_each(|item| items.push(placed_value(item, place)));
            DeValue::Array(items)
        }
        value => value,
    };
    Spanned::new(span, value)
}

/// The value of a key, if it is a string.
pub(crate) fn word<'a>(table: &'a Table<'_>, key: &str) -> Option<&'a str> {
    table.get(key)?.get_ref().as_str()
}

/// The table of a key.
pub(crate) fn inner<'a, 't>(table: &'a Table<'t>, key: &str) -> Option<&'a Table<'t>> {
    table.get(key)?.get_ref().as_table()
}

/// Moves keys out of a table.
pub(crate) fn take<'t>(table: &mut Table<'t>, keys: &[&str]) -> Table<'t> {
    keys.iter().filter_map(|&key| table.remove_entry(key)).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde::de::IntoDeserializer;

    use super::merge::Inline;
    use super::*;

    fn resolved(file: &str, overrides: &[&str]) -> String {
        let mut source = Source::new("test.toml", file);
        let lines: Vec<Span> =
            overrides.iter().map(|change| source.add(&overrides::line(change))).collect();
        let resolve = || {
            let mut root = source.parse()?;
            for line in &lines {
                let change = source.parse_change(line)?;
                source.merge(root.get_mut(), change, &serde_json::Value::Null, Inline::Replaces)?;
            }
            Ok::<_, Diagnostic>(toml::Table::deserialize(root.into_deserializer()).unwrap())
        };
        resolve().map_or_else(|error| error.to_string(), |table| table.to_string())
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
    fn every_change_has_its_place() {
        let message = resolved("a = 1\n", &["b=2", "c=[1]", "a.b=2"]);
        assert!(message.contains("command line:1:1") && message.contains("a.b = 2"), "{message}");
    }

    #[test]
    fn the_first_of_two_keys_is_shown() {
        let message = resolved("[a]\nx = 1\n[b]\nx = 2\ny = { x = 3 }\n[c]\n[b]\n", &[]);
        assert!(message.contains("3 | [b]") && message.contains("first given here"), "{message}");
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
