//! Standard output: results for people and programs. Text from files is sanitised here and in
//! `say!`, so that it cannot control a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

pub(crate) fn print(text: &str) -> Result<ExitCode> {
    std::io::stdout().write_all(visible(text).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Standard output, for text that is printed piecewise.
pub(crate) struct Out;

impl std::io::Write for Out {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        std::io::stdout().write_all(visible(&String::from_utf8_lossy(piece)).as_bytes())?;
        Ok(piece.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stdout().flush()
    }
}

/// Escapes control characters and bidirectional formatting marks as `\u001b`, as in JSON, so that
/// text from files can neither control a terminal nor reorder what it shows. Line feeds and tabs
/// are kept.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let written = |c: char| {
        if is_hidden(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }
    };
    Cow::Owned(text.chars().map(written).collect())
}

pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Aligns columns: the first to the left, the others to the right. Lines may have fewer columns.
pub(crate) fn columns(lines: &[Vec<String>]) -> String {
    let length = |cell: &String| cell.chars().count();
    let n_column = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width: Vec<usize> = (0..n_column)
        .map(|at| lines.iter().filter_map(|line| line.get(at)).map(length).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (at, (cell, &width)) in line.iter().zip(&width).enumerate() {
            let _ = match at {
                0 => write!(row, "{cell:<width$}"),
                _ => write!(row, "  {cell:>width$}"),
            };
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_files_commands_no_terminal() {
        let text = "a\u{1b}[2J\u{9b}2J\u{202e}b\r\n\tc ä\u{2066}";
        assert_eq!(visible(text), "a\\u001b[2J\\u009b2J\\u202eb\\u000d\n\tc ä\\u2066");
        // Such characters only occur within strings, so the JSON stays valid.
        let value = serde_json::json!({ "text": text });
        let printed = json(&value).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&visible(&printed)).unwrap(), value);
    }
}
