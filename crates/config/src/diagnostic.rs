//! An error in a configuration, with its place and a remedy.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use batchlab_core::registry::nearest;
use serde_json::Value;

use crate::forms;
use crate::misplaced::right_place;

/// An error with its place and hints. Its text names file, line and column, and underlines the place.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    message: String,
    place: Place,
    help: Vec<String>,
}

#[derive(Debug, Clone)]
enum Place {
    Unknown,
    File(String),
    /// Bytes of a text: of a file, or of the command line.
    Span {
        origin: String,
        text: String,
        span: Range<usize>,
        /// A second place, and what it is.
        other: Option<Box<(Range<usize>, &'static str)>>,
    },
}

impl Diagnostic {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: Place::Unknown, help: Vec::new() }
    }

    pub(crate) fn at(mut self, origin: &str, text: &str, span: Range<usize>) -> Self {
        let (origin, text) = (origin.to_owned(), text.to_owned());
        self.place = Place::Span { origin, text, span, other: None };
        self
    }

    /// Shows a second place of the same text.
    pub(crate) fn beside(mut self, span: Range<usize>, what: &'static str) -> Self {
        if let Place::Span { other, .. } = &mut self.place {
            *other = Some(Box::new((span, what)));
        }
        self
    }

    #[must_use]
    pub fn within(mut self, file: &str) -> Self {
        self.place = Place::File(file.to_owned());
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Adds what helps against a message of serde, which lists the allowed names, and says its types in words.
    /// `typed` is what is wrong, `schema` what may stand there, and `here` the table that was read.
    pub(crate) fn with_remedy(
        mut self,
        message: &str,
        typed: &str,
        schema: Option<&Value>,
        here: &str,
    ) -> Self {
        let wants_table =
            message.contains(", expected struct") || message.contains(", expected a map");
        if message == "wanted string or table" {
            "this is a word or a table".clone_into(&mut self.message);
        } else if message.starts_with("wanted exactly 1 element") {
            "this is a table with one key".clone_into(&mut self.message);
        } else if let (true, Some((found, _))) = (wants_table, message.rsplit_once(", expected ")) {
            self.message = format!("{found}, expected a table");
        } else {
            self.message = in_words(self.message, schema.and_then(forms::minimum));
        }
        if let Some(number) = whole_number(message).or_else(|| share(message)) {
            return self.help(format!("write {number}"));
        }
        if message.starts_with("wanted ") || wants_table {
            let instead = schema.and_then(|schema| forms::instead(schema, typed));
            return instead.into_iter().fold(self, |all, form| all.help(format!("write {form}")));
        }
        let mut quoted = message.split('`').skip(1).step_by(2);
        let is_field = message.starts_with("unknown field");
        let is_unknown = is_field || message.starts_with("unknown variant");
        let (true, Some(typed)) = (is_unknown, quoted.next()) else { return self };
        let known: Vec<&str> = quoted.collect();
        let near = nearest(typed, &known).map(|name| format!("did you mean \"{name}\"?"));
        let near = near.or_else(|| is_field.then(|| right_place(typed, here)).flatten());
        near.into_iter().fold(self, Self::help)
    }
}

/// A message of serde with its types as a user of the command line calls them.
fn in_words(message: String, minimum: Option<u64>) -> String {
    let Some((before, expected)) = message.rsplit_once(", expected ") else { return message };
    let minimum = match expected {
        "a nonzero u64" | "a nonzero u32" => minimum.unwrap_or(1),
        "u64" | "u32" | "usize" => minimum.unwrap_or(0),
        "i64" => return format!("{before}, expected a whole number"),
        "f64" | "f32" => return format!("{before}, expected a number"),
        _ => return message,
    };
    format!("{before}, expected a whole number, {minimum} or more")
}

/// The count, or the two next to it, that was written as a number with a point or an exponent.
fn whole_number(message: &str) -> Option<String> {
    let (number, expected) =
        message.strip_prefix("invalid type: floating point `")?.split_once("`, expected ")?;
    let is_count = ["u64", "u32", "u16", "usize", "nonzero", "integer", "i64"]
        .iter()
        .any(|count| expected.contains(count));
    let number: f64 = number.parse().ok()?;
    if !is_count || !(1.0..9e15).contains(&number) {
        return None;
    }
    let (below, above) = (number.floor(), number.ceil());
    Some(if below < above { format!("{below} or {above}") } else { number.to_string() })
}

/// The share that was written in percent.
fn share(message: &str) -> Option<String> {
    let (percent, _) =
        message.strip_prefix("invalid type: string \"")?.split_once("%\", expected f")?;
    percent.trim().parse::<f64>().ok().map(|percent| (percent / 100.0).to_string())
}

impl std::error::Error for Diagnostic {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = match &self.place {
            Place::File(file) => format!("{file}: {}", self.message),
            _ => self.message.clone(),
        };
        let snippet = match &self.place {
            Place::Span { origin, text, span, other } => Some(
                Snippet::source(text.as_str())
                    .path(origin.as_str())
                    .annotation(AnnotationKind::Primary.span(span.clone()))
                    .annotations(other.as_deref().into_iter().map(|(span, what)| {
                        AnnotationKind::Context.span(span.clone()).label(*what)
                    })),
            ),
            _ => None,
        };
        if snippet.is_none() && self.help.is_empty() {
            return write!(f, "error: {message}");
        }
        let mut group = Level::ERROR.primary_title(message).elements(snippet);
        for help in &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        f.write_str(&Renderer::plain().render(&[group]))
    }
}
