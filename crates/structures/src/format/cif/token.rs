//! Words, quoted texts and multi-line texts.

use super::At;
use crate::error::{Problem, shown};

#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    /// Quoted text is never a name or a keyword.
    quoted: bool,
    pub(super) line: usize,
}

impl<'a> Token<'a> {
    /// Whether the text stands for an unknown or omitted value.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self.text.trim(), "" | "?" | ".")
    }

    pub(super) fn keyword(&self) -> Option<&'a str> {
        (!self.quoted).then_some(self.text)
    }

    pub(super) fn is_value(&self) -> bool {
        self.keyword().is_none_or(|text| {
            !text.starts_with('_')
                && !text.eq_ignore_ascii_case("loop_")
                && strip_prefix(text, "data_").is_none()
        })
    }
}

pub(super) fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, At> {
    let mut tokens = Vec::new();
    let mut lines = text.split_inclusive('\n').enumerate().scan(0, |start, (at, line)| {
        let here = *start;
        *start += line.len();
        Some((at + 1, here, line))
    });
    while let Some((line, start, content)) = lines.next() {
        // A multi-line field: from a semicolon at the start of a line to the next such semicolon.
        if content.starts_with(';') {
            let open = start + 1;
            let close = lines.find(|(_, _, content)| content.starts_with(';'));
            let expected = "the semicolon that ends a text";
            let (_, end, after) = close.ok_or((line, Problem::Truncated { expected }))?;
            tokens.push(Token { text: text[open..end].trim_end(), quoted: true, line });
            words(&after[1..], line, &mut tokens)?;
            continue;
        }
        words(content, line, &mut tokens)?;
    }
    Ok(tokens)
}

fn words<'a>(content: &'a str, line: usize, tokens: &mut Vec<Token<'a>>) -> Result<(), At> {
    let mut rest = content.trim();
    while !rest.is_empty() && !rest.starts_with('#') {
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let end = if let Some(quote) = quote {
            // A quotation mark ends the text only before a blank.
            let ends = rest.match_indices(quote).map(|(at, _)| at).skip(1);
            let mut ends =
                ends.filter(|at| rest[at + 1..].chars().next().is_none_or(char::is_whitespace));
            let expected = "the end of a quoted text";
            let end =
                ends.next().ok_or((line, Problem::Expected { expected, value: shown(rest) }))?;
            tokens.push(Token { text: &rest[1..end], quoted: true, line });
            end + 1
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            tokens.push(Token { text: &rest[..end], quoted: false, line });
            end
        };
        rest = rest[end..].trim_start();
    }
    Ok(())
}
