//! `SHA256SUMS`: which files a folder holds, and what they are. `sha256sum -c` reads them too.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use batchlab_files::{MAX_TEXT, atomic_write, open_data, read_data, text};

use crate::FetchError;
use crate::part::hash;

pub const NAME: &str = "SHA256SUMS";

/// One file that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub path: PathBuf,
    /// Its SHA-256 as listed.
    pub expected: String,
    /// As computed; `None` where there is no file.
    pub found: Option<String>,
}

/// Names and hashes of a folder; empty where it has no such file.
///
/// # Errors
/// A line of another form, or a name that leads out of the folder.
pub fn read(folder: &Path) -> Result<BTreeMap<String, String>, FetchError> {
    let path = folder.join(NAME);
    let text = match read_data(&path, MAX_TEXT).and_then(text) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(FetchError::Io { path, source }),
    };
    let mut sums = BTreeMap::new();
    for (line, text) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = || {
            let found = text.chars().filter(|c| !c.is_control()).take(100).collect();
            FetchError::Sums { path: path.clone(), line: line + 1, found }
        };
        let (sum, name) = text.split_once(' ').ok_or_else(wrong)?;
        let name = name.strip_prefix([' ', '*']).ok_or_else(wrong)?;
        let is_hash = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        let stays = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !is_hash || !stays || name.is_empty() {
            return Err(wrong());
        }
        sums.insert(name.to_owned(), sum.to_ascii_lowercase());
    }
    Ok(sums)
}

/// Adds hashes to those of a folder.
pub fn add(folder: &Path, new: BTreeMap<String, String>) -> Result<(), FetchError> {
    let mut sums = read(folder)?;
    sums.extend(new);
    let mut text = String::new();
    for (name, sum) in &sums {
        text.extend([sum, "  ", name, "\n"]);
    }
    write_whole(&folder.join(NAME), text.as_bytes())
}

/// Files of a folder that are not as listed, and how many are listed.
///
/// # Errors
/// A list or a file that cannot be read.
pub fn check(folder: &Path) -> Result<(usize, Vec<Difference>), FetchError> {
    let sums = read(folder)?;
    let mut differences = Vec::new();
    for (name, expected) in &sums {
        let path = folder.join(name);
        let found = match open_data(&path).and_then(|mut file| hash(&mut file)) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(source) => return Err(FetchError::Io { path, source }),
        };
        if found.as_ref() != Some(expected) {
            differences.push(Difference { path, expected: expected.clone(), found });
        }
    }
    Ok((sums.len(), differences))
}

pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FetchError> {
    atomic_write(path, bytes).map_err(|source| FetchError::Io { path: path.to_owned(), source })
}
