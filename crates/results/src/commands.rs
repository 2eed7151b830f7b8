//! The commands that produced the results of a study.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use batchlab_files::{MAX_TEXT, open_to_change, read_text};

use crate::ResultsError;
use crate::files::make;

const NAME: &str = "commands.txt";

/// Records a command, unless already recorded.
///
/// # Errors
/// A file that cannot be written.
pub fn add(dir: &Path, command: &str) -> Result<(), ResultsError> {
    let command = command.replace('\n', " ");
    if all(dir).contains(&command) {
        return Ok(());
    }
    make(dir)?;
    let path = dir.join(NAME);
    let file = open_to_change(&path, OpenOptions::new().create(true).append(true));
    file.and_then(|mut file| writeln!(file, "{command}"))
        .map_err(|source| ResultsError::Write { path, source })
}

/// All commands, in the order in which they were first used; empty if unknown.
#[must_use]
pub fn all(dir: &Path) -> Vec<String> {
    let text = read_text(&dir.join(NAME), MAX_TEXT).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_stands_once() {
        let dir = tempfile::tempdir().unwrap();
        assert!(all(dir.path()).is_empty());
        for command in ["a", "b", "a"] {
            add(dir.path(), command).unwrap();
        }
        assert_eq!(all(dir.path()), ["a", "b"]);
    }
}
