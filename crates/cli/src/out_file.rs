//! Files that the command line writes where it is told to.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::exit::Usage;

/// Refuses a file whose ending says that it is of another format. A name without an ending says nothing.
pub(crate) fn check_ending(path: &Path, what: &str, endings: &[&str]) -> Result<()> {
    let Some(found) = path.extension() else { return Ok(()) };
    if endings.iter().any(|ending| found.eq_ignore_ascii_case(ending)) {
        return Ok(());
    }
    let endings: Vec<String> = endings.iter().map(|ending| format!(".{ending}")).collect();
    bail!(Usage(format!(
        "{}: {what} is written, and such a file ends in {}; rename it",
        path.display(),
        endings.join(" or ")
    )))
}

/// Writes a file that appears when it is complete; one that was there is kept until then.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    batchlab_run::replace(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// The file's name for a message, and whether it replaces another. To be asked before it is written.
pub(crate) fn place(path: &Path) -> String {
    let replaced = if path.is_file() { ", in place of the file that was there" } else { "" };
    format!("{}{replaced}", path.display())
}
