//! Writes files atomically and durably.

#[cfg(unix)]
use std::fs::Permissions;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

/// Prefix of incomplete files.
const UNFINISHED: &str = ".unfinished-";

/// Writes a file atomically: in any case, the path holds either its old content or all of `bytes`.
/// A link at the path is replaced, not followed; the folder is created if necessary.
///
/// # Errors
/// A file that cannot be written; the old content is kept.
pub fn atomic_write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    atomic_write_with(path, |file| file.write_all(bytes))
}

/// Like [`atomic_write`], but without fsync: the file may be empty after a power failure.
///
/// # Errors
/// As for [`atomic_write`].
pub fn atomic_write_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    make_folder(folder)?;
    let mut file = unfinished(folder)?;
    file.write_all(bytes)?;
    put_in_place(file, path)
}

/// Like [`atomic_write`], with content from `write`.
///
/// # Errors
/// As for [`atomic_write`]; errors from `write`.
pub fn atomic_write_with<T, E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut NamedTempFile) -> Result<T, E>,
) -> Result<T, E> {
    let folder = folder_of(path);
    make_folder(folder)?;
    let mut file = unfinished(folder)?;
    let written = write(&mut file)?;
    file.as_file().sync_all()?;
    put_in_place(file, path)?;
    sync_folder(folder)?;
    Ok(written)
}

/// A new file with an unpredictable name.
fn unfinished(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    // Temporary files are private to their owner; the final file follows the umask.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Does not use `persist`, which renames without the C library: tests that kill a process at each
/// file system change would miss it.
fn put_in_place(file: NamedTempFile, path: &Path) -> io::Result<()> {
    let temporary = file.into_temp_path();
    fs::rename(&temporary, path)?;
    // The file has been moved, so there is nothing to remove.
    let _ = temporary.keep();
    Ok(())
}

/// Removes the remains of killed [`atomic_write`] calls in a folder. No other process may be
/// writing there.
pub fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            // Only a waste of space; the next call tries again.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Creates a folder and its parents durably.
///
/// # Errors
/// A folder that cannot be created.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let is_new = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let new: Vec<&Path> = folder.ancestors().take_while(is_new).collect();
    // Another process may just have removed an empty parent folder; it is then created again.
    fs::create_dir_all(folder).or_else(|_| fs::create_dir_all(folder))?;
    for made in new {
        match sync_folder(folder_of(made)) {
            // The same race with another process.
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Fsyncs a directory. Only possible on Unix.
///
/// # Errors
/// A folder that cannot be opened, or a failing disk.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Renames durably.
///
/// # Errors
/// A file that cannot be renamed.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(folder_of(to))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
