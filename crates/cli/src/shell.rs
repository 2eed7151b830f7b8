//! Formats commands for a shell.

use std::path::Path;

use batchlab_core::quote::{shell, shell_word};

use crate::invocation::arguments;

/// The command with these arguments, quoted.
pub(crate) fn command(words: impl IntoIterator<Item = String>) -> String {
    let words = words.into_iter().map(|word| shell_word(&word));
    std::iter::once("batchlab".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// The running command, so that it works from any directory.
pub(crate) fn own_command() -> String {
    let words = arguments().into_iter().map(|word| word.to_string_lossy().into_owned());
    let command = command(words);
    match std::env::current_dir() {
        Ok(folder) => format!("cd {} && {command}", shell(&folder)),
        Err(_) => command,
    }
}

/// An absolute path.
pub(crate) fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_more_into_them() {
        let words = ["sweep", "a b.toml", "batchers=static-64,exact", "x={ a = 'b' }"];
        assert_eq!(
            command(words.map(str::to_owned)),
            r#"batchlab sweep 'a b.toml' batchers=static-64,exact "x={ a = 'b' }""#
        );
    }
}
