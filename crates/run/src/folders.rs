//! Base folders for relative paths of a configuration.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use batchlab_files::{MAX_TEXT, read_text};

/// The configuration recorded with a run.
pub(crate) const CONFIG: &str = "config.toml";

/// Prefix of the lines at the top of a recorded configuration that list these folders, so that it
/// works from anywhere.
const LINE: &str = "#:paths-from ";

/// Folders for resolving relative paths of a configuration: those it was recorded with, or else the
/// working directory, then its own folder.
#[must_use]
pub fn search_folders(config: &Path) -> Vec<PathBuf> {
    let recorded = recorded(config);
    if !recorded.is_empty() {
        return recorded;
    }
    let beside = config.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::iter::once(PathBuf::new()).chain(beside.map(Path::to_owned)).collect()
}

/// The folders listed in a recorded configuration; empty for any other.
pub(crate) fn recorded(config: &Path) -> Vec<PathBuf> {
    let text = read_text(config, MAX_TEXT).unwrap_or_default();
    let lines = text.lines().map_while(|line| line.strip_prefix(LINE));
    lines.map(PathBuf::from).collect()
}

/// Adds the lines that list its folders to a configuration, so that it can be recorded elsewhere.
pub(crate) fn with_folders(text: &str, config: &Path) -> String {
    let mut lines = String::new();
    for folder in search_folders(config) {
        let folder = std::path::absolute(folder.join(".")).unwrap_or(folder);
        let folder = folder.display().to_string();
        if !folder.contains('\n') {
            let _ = writeln!(lines, "{LINE}{}", folder.trim_end_matches("/."));
        }
    }
    lines + text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_configuration_finds_paths_where_the_first_one_did() {
        let folder = tempfile::tempdir().unwrap();
        let (first, recorded) = (folder.path().join("a/x.toml"), folder.path().join("b.toml"));
        let text = with_folders("study = \"x\"\n", &first);
        std::fs::write(&recorded, &text).unwrap();
        let here = std::env::current_dir().unwrap();
        assert_eq!(search_folders(&recorded), [here, folder.path().join("a")]);
        assert!(text.ends_with("study = \"x\"\n"));
        // Recording it again keeps them.
        assert_eq!(with_folders("study = \"x\"\n", &recorded), text);
    }
}
