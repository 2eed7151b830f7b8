//! Files and folders that survive the end of the process, and of the machine.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::ResultsError;

/// Removes a file or folder, if there is one.
pub(crate) fn remove(path: &Path) -> Result<(), ResultsError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(ResultsError::Write { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Makes a folder and those above it, and makes their names durable.
///
/// # Errors
/// A folder that cannot be made.
pub fn make(folder: &Path) -> Result<(), ResultsError> {
    let failed = |source| ResultsError::Write { path: folder.to_owned(), source };
    let is_new = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let new: Vec<&Path> = folder.ancestors().take_while(is_new).collect();
    // Another run that ends removes the empty folder above; then it is made again.
    fs::create_dir_all(folder).or_else(|_| fs::create_dir_all(folder)).map_err(failed)?;
    for made in new {
        match made.parent().map(sync) {
            // That other run again.
            Some(Err(error)) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Has the disk know the names in a folder. Only on Unix can a folder be opened and synchronised.
pub(crate) fn sync(folder: &Path) -> std::io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    fs::File::open(here)?.sync_all()
}

/// Writes a file and waits until the disk has it.
///
/// # Errors
/// A file that cannot be written.
pub fn write_synced(path: &Path, content: &str) -> Result<(), ResultsError> {
    let write = || {
        let mut file = fs::File::create(path)?;
        std::io::Write::write_all(&mut file, content.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| ResultsError::Write { path: path.to_owned(), source })
}

/// Renames, and makes the new name durable.
///
/// # Errors
/// A file that cannot be renamed.
pub fn rename(from: &Path, to: &Path) -> Result<(), ResultsError> {
    let rename = || {
        fs::rename(from, to)?;
        to.parent().map_or(Ok(()), sync)
    };
    rename().map_err(|source| ResultsError::Write { path: to.to_owned(), source })
}
