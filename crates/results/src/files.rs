//! Names and folders of results.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::ResultsError;

/// Removes a file or folder, if it exists.
pub(crate) fn remove(path: &Path) -> Result<(), ResultsError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(ResultsError::Write { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Rejects symbolic links at `path` or above it within `out`, because files outside of the results
/// could be changed through them.
///
/// # Errors
/// A symbolic link on the path.
pub(crate) fn refuse_links(out: &Path, path: &Path) -> Result<(), ResultsError> {
    let inside = path.ancestors().take_while(|ancestor| *ancestor != out);
    match inside.filter(|ancestor| ancestor.is_symlink()).last() {
        Some(link) => Err(ResultsError::Link { path: link.to_owned() }),
        None => Ok(()),
    }
}

/// Checks that a text from a file can be used as a name within a folder.
///
/// # Errors
/// A text that is not a name, or that would lead out of the folder.
pub(crate) fn plain_name(text: &str) -> Result<&str, ResultsError> {
    let is_plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\');
    let is_name = !text.is_empty() && text.len() <= 200 && !matches!(text, "." | "..");
    if is_name && text.chars().all(is_plain) {
        Ok(text)
    } else {
        Err(ResultsError::Name { name: text.to_owned() })
    }
}

/// Creates a folder durably.
pub(crate) fn make(folder: &Path) -> Result<(), ResultsError> {
    batchlab_files::make_folder(folder).map_err(ResultsError::write(folder))
}

/// Renames durably.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), ResultsError> {
    batchlab_files::rename(from, to).map_err(ResultsError::write(to))
}
