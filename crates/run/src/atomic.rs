//! Files that appear only when they are complete.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

// Arrays are written as they lie in memory, and safetensors is little-endian.
const _: () =
    assert!(cfg!(target_endian = "little"), "checkpoints are written in little-endian order");

/// Writes a file under a temporary name in its folder, which is made if necessary; synchronises it, and
/// renames it.
pub(crate) fn write_atomic(path: &Path, temporary: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let temporary = folder.join(temporary);
    let write = || {
        if !folder.is_dir() {
            fs::create_dir_all(folder)?;
            sync(folder.parent().unwrap_or(folder))?;
        }
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync(folder)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Writes a file that a person named, so that in its place there is what was there before or all of the
/// new. A link leads to the file that is replaced; what is no regular file, such as `/dev/stdout` or a
/// pipe, is written as it is.
///
/// # Errors
/// A file that cannot be written; the one before is still there then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let before = fs::metadata(path);
    if before.as_ref().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return File::options().write(true).open(path)?.write_all(bytes);
    }
    let path = if before.is_ok() { &fs::canonicalize(path)? } else { path };
    let name = path.file_name().ok_or_else(|| io::Error::other("the path has no file name"))?;
    let temporary = format!(".{}.{}.unfinished", name.display(), std::process::id());
    write_atomic(path, &temporary, bytes)
}

/// Makes the names in a folder durable. Only on Unix can a folder be opened and synchronised.
fn sync(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
