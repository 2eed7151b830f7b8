//! Opens files so that nothing but a regular file is ever read, and writes them whole or not at all.
//!
//! Folders of results, caches and data come from other people and other machines. A pipe in place of a file
//! would block its reader forever, `/dev/zero` would fill its memory, and a link would lead a writer to a file
//! outside. So everything that such a folder holds or names is opened here:
//!
//! * [`open`], [`read`], [`read_text`]: files of our own, where a link is refused;
//! * [`open_data`]: files of the user, who may link data sets from another disk;
//! * [`open_to_change`] and [`open_to_lock`]: the few files that are changed in place (journals), or locked;
//! * [`atomic_write`]: every other file that is written.

mod write;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

pub use write::{
    atomic_write, atomic_write_unsynced, atomic_write_with, make_folder, remove_unfinished, rename,
    sync_folder,
};

/// Limit of length for texts about results: configurations, manifests, lists of cells.
pub const MAX_TEXT: u64 = 64 << 20;

/// Opens a regular file for reading. A symbolic link is refused.
///
/// # Errors
/// A file that cannot be opened, or anything but a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    open_regular(path, OpenOptions::new().read(true), false)
}

/// Opens a regular file of the user for reading. Links are followed.
///
/// # Errors
/// As [`open`].
pub fn open_data(path: &Path) -> io::Result<File> {
    open_regular(path, OpenOptions::new().read(true), true)
}

/// Opens a regular file that is changed in place. A symbolic link is refused, and so is a file with several
/// names (hard links), because the file under the other name would change too.
///
/// # Errors
/// As [`open`].
pub fn open_to_change(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = open_regular(path, options, false)?;
    match n_name(&file.metadata()?) {
        0 | 1 => Ok(file),
        n => Err(invalid(format!(
            "the file has {n} names (hard links) and would change under all of them; put a copy in its place"
        ))),
    }
}

/// Opens a regular file to lock it, and makes it if it is to be. For writing, because some network file systems
/// lock nothing else; for reading where that is all that is allowed.
///
/// # Errors
/// As [`open`].
pub fn open_to_lock(path: &Path, create: bool) -> io::Result<File> {
    let open = |write, create| {
        let mut options = OpenOptions::new();
        open_regular(path, options.read(true).write(write).create(create), false)
    };
    let is_denied = |error: &io::Error| error.kind() == ErrorKind::PermissionDenied;
    // In a folder for all, the system may refuse to create a file that is there and another user's.
    let mut file = open(true, create);
    for write in [true, false] {
        if file.as_ref().is_err_and(is_denied) {
            file = open(write, false);
        }
    }
    file
}

/// The content of a regular file of no more than `max_len` bytes. A symbolic link is refused.
///
/// # Errors
/// As [`open`]; a longer file.
pub fn read(path: &Path, max_len: u64) -> io::Result<Vec<u8>> {
    read_limited(open(path)?, max_len)
}

/// As [`read`], for UTF-8 text.
///
/// # Errors
/// As [`read`]; other bytes.
pub fn read_text(path: &Path, max_len: u64) -> io::Result<String> {
    text(read(path, max_len)?)
}

/// The content of a regular file of the user, of no more than `max_len` bytes. Links are followed.
///
/// # Errors
/// As [`read`].
pub fn read_data(path: &Path, max_len: u64) -> io::Result<Vec<u8>> {
    read_limited(open_data(path)?, max_len)
}

/// The text of a file that the user named, of no more than `max_len` bytes. It may be a pipe, as a shell makes
/// one for `<(command)`.
///
/// # Errors
/// A file that cannot be read; a longer one; other bytes than UTF-8.
pub fn read_named_text(path: &Path, max_len: u64) -> io::Result<String> {
    text(read_limited(File::open(path)?, max_len)?)
}

/// Bytes as UTF-8 text.
///
/// # Errors
/// Other bytes, with the place of the first.
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
    // It may have grown since, or be something that states no length.
    file.take(max_len + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_len { Err(too_long()) } else { Ok(bytes) }
}

fn open_regular(path: &Path, options: &mut OpenOptions, follow: bool) -> io::Result<File> {
    // A pipe is not waited for.
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
        // The system's words for a link or a pipe ("No such device or address") explain nothing.
        _ => refuse_others(path, follow).err().unwrap_or(error),
    })?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    refuse_others(path, follow)?;
    Err(invalid("it is not a regular file".to_owned()))
}

/// Says what a path leads to, if that is not a regular file.
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
