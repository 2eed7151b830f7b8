//! Names the structures of a file, a directory or an archive.

use std::path::{Path, PathBuf};

use crate::error::shown_path;
use crate::structure::{Entry, is_absent};

/// Names structures by their property `id` if they have one, otherwise by their file; if it holds
/// several, an index is appended in the style of ASE: `frames.extxyz@0` is the first.
#[derive(Debug)]
pub struct Names {
    root: PathBuf,
    /// The current file.
    file: PathBuf,
    /// Number of structures in each file, by its display name.
    files: Vec<(String, u64)>,
    kept: Vec<Name>,
}

#[derive(Debug)]
enum Name {
    Own(String),
    /// The index of a file, and the position in it, from 0.
    Place(usize, u64),
}

impl Names {
    /// Files are named by their paths relative to `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        let (file, files, kept) = (PathBuf::new(), Vec::new(), Vec::new());
        Self { root: root.to_owned(), file, files, kept }
    }

    /// Counts a structure, whether or not it is kept.
    pub fn count(&mut self, entry: &Entry) {
        if self.files.is_empty() || self.file != entry.path {
            self.file.clone_from(&entry.path);
            let below = entry.path.strip_prefix(&self.root).unwrap_or(&entry.path);
            let is_root = below.as_os_str().is_empty();
            let own = Path::new(self.root.file_name().unwrap_or_default());
            self.files.push((shown_path(if is_root { own } else { below }), 0));
        }
        if let Some((_, n)) = self.files.last_mut() {
            *n += 1;
        }
    }

    /// Keeps the structure counted last, under its external name if it has one.
    pub fn keep(&mut self, entry: &Entry, elsewhere: Option<&str>) {
        let id = entry.text("id").map(str::trim).filter(|id| !is_absent(id));
        let n_before = self.files.last().map_or(0, |(_, n)| n.saturating_sub(1));
        self.kept.push(match elsewhere.or(id) {
            Some(name) => Name::Own(name.to_owned()),
            None => Name::Place(self.files.len().saturating_sub(1), n_before),
        });
    }

    /// The names of the kept structures.
    #[must_use]
    pub fn finish(self) -> Vec<String> {
        let files = self.files;
        let text = |name| match name {
            Name::Own(name) => name,
            Name::Place(file, place) => match &files[file] {
                (file, 1) => file.clone(),
                (file, _) => format!("{file}@{place}"),
            },
        };
        self.kept.into_iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_named_by_identifier_file_and_place() {
        let entry = |path: &str, id: Option<&str>| {
            let property = id.map(|id| ("id".to_owned(), id.to_owned())).into_iter().collect();
            Entry { path: path.into(), line: 1, structure: None, property }
        };
        let mut names = Names::new(Path::new("data/set.zip"));
        for (path, id, elsewhere, is_kept) in [
            ("data/set.zip/a/POSCAR", None, None, true),
            ("data/set.zip/frames.xyz", None, None, false),
            ("data/set.zip/frames.xyz", None, None, true),
            ("data/set.zip/frames.xyz", Some(" mp-7 "), None, true),
            ("data/set.zip/frames.xyz", Some("nan"), None, true),
            ("data/set.zip/frames.xyz", Some("mp-8"), Some("row"), true),
        ] {
            let entry = entry(path, id);
            names.count(&entry);
            if is_kept {
                names.keep(&entry, elsewhere);
            }
        }
        assert_eq!(names.finish(), ["a/POSCAR", "frames.xyz@1", "mp-7", "frames.xyz@3", "row"]);
        let mut one = Names::new(Path::new("data/one.cif"));
        let entry = entry("data/one.cif", None);
        one.count(&entry);
        one.keep(&entry, None);
        assert_eq!(one.finish(), ["one.cif"]);
    }
}
