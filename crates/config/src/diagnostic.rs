//! An error in a configuration, with its place and a remedy.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use batchlab_core::registry::nearest;

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
    },
}

impl Diagnostic {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: Place::Unknown, help: Vec::new() }
    }

    pub(crate) fn at(mut self, origin: &str, text: &str, span: Range<usize>) -> Self {
        self.place = Place::Span { origin: origin.to_owned(), text: text.to_owned(), span };
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
    pub(crate) fn with_remedy(mut self, message: &str) -> Self {
        self.message = in_words(self.message);
        if let Some(number) = whole_number(message).or_else(|| share(message)) {
            return self.help(format!("write {number}"));
        }
        if message == "wanted string or table" {
            return self.help("write a word in quotes, or a table such as { multiple = 64 }");
        }
        let mut quoted = message.split('`').skip(1).step_by(2);
        let is_field = message.starts_with("unknown field");
        let is_unknown = is_field || message.starts_with("unknown variant");
        let (true, Some(typed)) = (is_unknown, quoted.next()) else { return self };
        let known: Vec<&str> = quoted.collect();
        let near = nearest(typed, &known).map(|name| format!("did you mean \"{name}\"?"));
        let near = near.or_else(|| is_field.then(|| right_place(typed)).flatten());
        near.into_iter().fold(self, Self::help)
    }
}

/// A message of serde with its types as a user of the command line calls them.
fn in_words(message: String) -> String {
    let Some((before, expected)) = message.rsplit_once(", expected ") else { return message };
    let words = match expected {
        "a nonzero u64" | "a nonzero u32" => "a whole number, 1 or more",
        "u64" | "u32" | "usize" => "a whole number, 0 or more",
        "i64" => "a whole number",
        "f64" | "f32" => "a number",
        _ => return message,
    };
    format!("{before}, expected {words}")
}

/// The count that was written as a number with a point or an exponent.
fn whole_number(message: &str) -> Option<f64> {
    let (number, expected) =
        message.strip_prefix("invalid type: floating point `")?.split_once("`, expected ")?;
    let is_count = ["u64", "u32", "u16", "usize", "nonzero", "integer", "i64"]
        .iter()
        .any(|count| expected.contains(count));
    let number: f64 = number.parse().ok()?;
    let is_whole = number.fract() == 0.0 && (0.0..9e15).contains(&number);
    (is_count && is_whole).then_some(number)
}

/// The share that was written in percent.
fn share(message: &str) -> Option<f64> {
    let (percent, _) =
        message.strip_prefix("invalid type: string \"")?.split_once("%\", expected f")?;
    percent.trim().parse::<f64>().ok().map(|percent| percent / 100.0)
}

impl std::error::Error for Diagnostic {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = match &self.place {
            Place::File(file) => format!("{file}: {}", self.message),
            _ => self.message.clone(),
        };
        let snippet = match &self.place {
            Place::Span { origin, text, span } => Some(
                Snippet::source(text.as_str())
                    .path(origin.as_str())
                    .annotation(AnnotationKind::Primary.span(span.clone())),
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
