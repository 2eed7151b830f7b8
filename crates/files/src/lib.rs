//! Opens regular files only, and writes files atomically.
//!
//! Folders of results, caches and data may come from other people and other machines. A pipe in
//! place of a file would block its reader forever, `/dev/zero` would fill the memory, and a link
//! could redirect a writer to a file outside. Everything in such a folder, or named by a file in
//! it, is therefore opened through this crate:
//!
//! * [`open`], [`read`], [`read_text`]: files written by this program; links are rejected;
//! * [`open_data`]: the user's files, such as data sets linked from another disk;
//! * [`open_to_change`] and [`open_to_lock`]: the few files that are changed in place (journals) or
//!   locked;
//! * [`atomic_write`]: all other files that are written.

mod write;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

pub use write::{
    atomic_write, atomic_write_unsynced, atomic_write_with, make_folder, remove_unfinished, rename,
    sync_folder,
};

/// Maximum length of text files in results: configurations, manifests, lists of cells.
pub const MAX_TEXT: u64 = 64 << 20;

/// Opens a regular file for reading. Symbolic links are rejected.
///
/// # Errors
/// A file that cannot be opened or is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    open_regular(path, OpenOptions::new().read(true), false)
}

/// Opens a regular file of the user for reading. Links are followed.
///
/// # Errors
/// As for [`open`].
pub fn open_data(path: &Path) -> io::Result<File> {
    open_regular(path, OpenOptions::new().read(true), true)
}

/// Opens a regular file for changes in place. Rejects symbolic links, and files with several names
/// (hard links), which would change under all names.
///
/// # Errors
/// As for [`open`].
pub fn open_to_change(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = open_regular(path, options, false)?;
    match n_name(&file.metadata()?) {
        0 | 1 => Ok(file),
        n => Err(invalid(format!(
            "the file has {n} names (hard links) and would change under all of them; put a copy in its place"
        ))),
    }
}

/// Opens a regular file for locking, creating it if requested. Opens it for writing, because some
/// network file systems only lock such files, or for reading if that is all that is permitted.
///
/// # Errors
/// As for [`open`].
pub fn open_to_lock(path: &Path, create: bool) -> io::Result<File> {
    let open = |write, create| {
        let mut options = OpenOptions::new();
        open_regular(path, options.read(true).write(write).create(create), false)
    };
    let is_denied = |error: &io::Error| error.kind() == ErrorKind::PermissionDenied;
    // In a shared folder, the system may refuse to create a file that exists and belongs to another
    // user.
    let mut file = open(true, create);
    for write in [true, false] {
        if file.as_ref().is_err_and(is_denied) {
            file = open(write, false);
        }
    }
    file
}

/// Reads a regular file of at most `max_len` bytes. Symbolic links are rejected.
///
/// # Errors
/// As for [`open`]; a longer file.
pub fn read(path: &Path, max_len: u64) -> io::Result<Vec<u8>> {
    read_limited(open(path)?, max_len)
}

/// Like [`read`], for UTF-8 text.
///
/// # Errors
/// As for [`read`]; invalid UTF-8.
pub fn read_text(path: &Path, max_len: u64) -> io::Result<String> {
    text(read(path, max_len)?)
}

/// Reads a regular file of the user of at most `max_len` bytes. Links are followed.
///
/// # Errors
/// As for [`read`].
pub fn read_data(path: &Path, max_len: u64) -> io::Result<Vec<u8>> {
    read_limited(open_data(path)?, max_len)
}

/// Reads text of at most `max_len` bytes from a file named by the user, which may be a pipe, such
/// as `<(command)` in a shell.
///
/// # Errors
/// A file that cannot be read; a longer file; invalid UTF-8.
pub fn read_named_text(path: &Path, max_len: u64) -> io::Result<String> {
    text(read_limited(File::open(path)?, max_len)?)
}

/// Converts bytes to UTF-8 text.
///
/// # Errors
/// Invalid UTF-8, with the position of the first invalid byte.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(ErrorKind::InvalidData, format!("it is not UTF-8 text (byte {at})"))
    })
}

fn read_limited(file: File, max_len: u64) -> io::Result<Vec<u8>> {
    let too_long =
        || invalid(format!("it is longer than {max_len} bytes, the limit for such files"));
    let len = file.metadata()?.len();
    if len > max_len {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(len as usize);
    // The file may have grown, or have no fixed length.
    file.take(max_len + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_len { Err(too_long()) } else { Ok(bytes) }
}

fn open_regular(path: &Path, options: &mut OpenOptions, follow: bool) -> io::Result<File> {
    // Does not block on a pipe.
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(libc::O_NONBLOCK | if follow { 0 } else { libc::O_NOFOLLOW });
    }
    if !cfg!(unix) {
        refuse_others(path, follow)?;
    }
    let file = options.open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::PermissionDenied => error,
        // The system's error for a link or a pipe ("No such device or address") is not helpful.
        _ => refuse_others(path, follow).err().unwrap_or(error),
    })?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    refuse_others(path, follow)?;
    Err(invalid("it is not a regular file".to_owned()))
}

/// Reports what a path refers to, if it is not a regular file.
fn refuse_others(path: &Path, follow: bool) -> io::Result<()> {
    let found = if follow { fs::metadata(path) } else { fs::symlink_metadata(path) };
    match found.as_ref().map(kind_of) {
        Ok(Some(kind)) => Err(invalid(format!("it is {kind}, not a regular file"))),
        _ => Ok(()),
    }
}

fn kind_of(found: &Metadata) -> Option<&'static str> {
    if found.is_file() {
        return None;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        let kind = found.file_type();
        if kind.is_fifo() {
            return Some("a pipe");
        }
        if kind.is_socket() {
            return Some("a socket");
        }
    }
    Some(match found.is_dir() {
        true => "a folder",
        false if found.is_symlink() => "a symbolic link",
        false => "a device",
    })
}

#[cfg(unix)]
fn n_name(found: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(found)
}

#[cfg(not(unix))]
fn n_name(_: &Metadata) -> u64 {
    1
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, reason)
}

#[cfg(all(test, unix))]
mod tests;
