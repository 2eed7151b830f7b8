//! Files that appear only when they are complete, and survive the end of the machine.

#[cfg(unix)]
use std::fs::Permissions;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

/// What the names of incomplete files begin with.
const UNFINISHED: &str = ".unfinished-";

/// Writes a file so that its place holds what was there before or all of `bytes`, whatever happens. A link in
/// its place is replaced, not followed; the folder is made if necessary.
///
/// # Errors
/// A file that cannot be written; what was there is kept then.
pub fn atomic_write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    atomic_write_with(path, |file| file.write_all(bytes))
}

/// As [`atomic_write`], without waiting for the disk: after a power cut the file may be empty.
///
/// # Errors
/// As [`atomic_write`].
pub fn atomic_write_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    make_folder(folder)?;
    let mut file = unfinished(folder)?;
    file.write_all(bytes)?;
    put_in_place(file, path)
}

/// As [`atomic_write`], with what `write` writes.
///
/// # Errors
/// As [`atomic_write`]; those of `write`.
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

/// A new file of an unpredictable name.
fn unfinished(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    // Temporary files are for their owner alone; what they become is for whom the umask says.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Not by `persist`, which renames past the C library: the tests that kill a process at each of its changes
/// would not see that one.
fn put_in_place(file: NamedTempFile, path: &Path) -> io::Result<()> {
    let temporary = file.into_temp_path();
    fs::rename(&temporary, path)?;
    // It has gone to its place, so there is nothing to remove.
    let _ = temporary.keep();
    Ok(())
}

/// Removes what killed processes have left of [`atomic_write`] in a folder. No other process may be writing
/// there.
pub fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            // It only takes room; the next time it is tried again.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Makes a folder and those above it, and makes their names durable.
///
/// # Errors
/// A folder that cannot be made.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let is_new = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let new: Vec<&Path> = folder.ancestors().take_while(is_new).collect();
    // Another process may remove an empty folder above in this moment; then it is made again.
    fs::create_dir_all(folder).or_else(|_| fs::create_dir_all(folder))?;
    for made in new {
        match sync_folder(folder_of(made)) {
            // That other process again.
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Makes the names in a folder durable. Only on Unix can a folder be opened and synchronised.
///
/// # Errors
/// A folder that cannot be opened, or a broken disk.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Renames, and makes the new name durable.
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
