//! What goes to standard output: results for people and programs.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

pub(crate) fn print(text: &str) -> Result<ExitCode> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Aligns columns: the first to the left, the others to the right. Shorter lines are allowed.
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
