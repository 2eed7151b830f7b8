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
///
/// # Errors
/// A folder that cannot be opened, or a broken disk.
pub fn sync(folder: &Path) -> std::io::Result<()> {
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

/// Opens a file for a lock: a link is not followed, and a pipe is not waited for. With `create` it can be
/// written. Otherwise it is opened for reading where it may not be written, which is enough to lock it.
///
/// # Errors
/// A file that cannot be opened, or that is not a regular file.
pub fn open_regular(path: &Path, create: bool) -> std::io::Result<fs::File> {
    let open = |write: bool| {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(write).create(create && write).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        }
        options.open(path)
    };
    let file = open(true).or_else(|error| match error.kind() {
        ErrorKind::PermissionDenied if !create => open(false),
        _ => Err(error),
    })?;
    regular(file)
}

/// Opens a file to read it. A pipe in its place is not waited for.
///
/// # Errors
/// A file that cannot be opened, or that is not a regular file.
pub fn open_to_read(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(libc::O_NONBLOCK);
    }
    regular(options.open(path)?)
}

fn regular(file: fs::File) -> std::io::Result<fs::File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(std::io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

/// Refuses what lies at or above `path` in the folder `out` and is a link: through it, files outside of
/// the results would be changed.
///
/// # Errors
/// A link on the way.
pub(crate) fn refuse_links(out: &Path, path: &Path) -> Result<(), ResultsError> {
    let inside = path.ancestors().take_while(|ancestor| *ancestor != out);
    match inside.filter(|ancestor| ancestor.is_symlink()).last() {
        Some(link) => Err(ResultsError::Link { path: link.to_owned() }),
        None => Ok(()),
    }
}

/// A text from a file as a name below a folder.
///
/// # Errors
/// A text that is no name, or that leads out of the folder.
pub fn plain_name(text: &str) -> Result<&str, ResultsError> {
    let is_plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\');
    let is_name = !text.is_empty() && text.len() <= 200 && !matches!(text, "." | "..");
    if is_name && text.chars().all(is_plain) {
        Ok(text)
    } else {
        Err(ResultsError::Name { name: text.to_owned() })
    }
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
