//! A configuration error with its position and a remedy.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// An error with its position and hints. Its text names file, line and column, and underlines the
/// position.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    message: String,
    location: Location,
    help: Vec<String>,
}

#[derive(Debug, Clone)]
enum Location {
    Unknown,
    File(String),
    /// A byte range of a text: of a file, or of the command line.
    Span {
        origin: String,
        text: String,
        span: Range<usize>,
        /// A second position, and its description.
        other: Option<Box<(Range<usize>, &'static str)>>,
    },
}

impl Diagnostic {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), location: Location::Unknown, help: Vec::new() }
    }

    pub(crate) fn at(mut self, origin: &str, text: &str, span: Range<usize>) -> Self {
        let (origin, text) = (origin.to_owned(), text.to_owned());
        self.location = Location::Span { origin, text, span, other: None };
        self
    }

    /// Adds a second position in the same text.
    pub(crate) fn beside(mut self, span: Range<usize>, what: &'static str) -> Self {
        if let Location::Span { other, .. } = &mut self.location {
            *other = Some(Box::new((span, what)));
        }
        self
    }

    #[must_use]
    pub fn within(mut self, file: &str) -> Self {
        self.location = Location::File(file.to_owned());
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}

impl std::error::Error for Diagnostic {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = match &self.location {
            Location::File(file) => format!("{file}: {}", self.message),
            _ => self.message.clone(),
        };
        let snippet = match &self.location {
            Location::Span { origin, text, span, other } => Some(
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
