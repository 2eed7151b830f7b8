//! The formats, and their detection from the first bytes of a file.

pub(crate) mod aflow;
#[cfg(feature = "ase")]
pub(crate) mod ase;
pub(crate) mod cif;
mod gdb9;
pub(crate) mod json;
mod pairs;
pub(crate) mod poscar;
pub(crate) mod table;
pub(crate) mod xyz;

use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// An `aflowlib.json`, or an AFLUX response.
    Json,
    /// `aflowlib.out`.
    AflowOut,
    /// CSV with AFLOW's columns or a column of CIF text.
    Table,
    Poscar,
    Xyz,
    Cif,
    /// ASE's `SQLite` database.
    Ase,
}

impl Format {
    /// Upper bound on the memory needed per byte of an entry: two or a few bytes of text can become
    /// a JSON value or a map item, eight an atom.
    pub(crate) fn bytes_per_byte(self) -> u64 {
        match self {
            Self::Json => 128,
            Self::AflowOut | Self::Table | Self::Cif => 64,
            Self::Poscar | Self::Xyz | Self::Ase => 12,
        }
    }
}

/// The format of a file at `path` that begins with `head`.
pub(crate) fn recognise(head: &[u8], path: &Path) -> Option<Format> {
    if head.starts_with(b"SQLite format 3\0") {
        return Some(Format::Ase);
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.to_ascii_lowercase();
    let has_end = |end: &str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(end));
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches(['\n', '\r']);
    let first = text.lines().next()?;
    let is_poscar = ["poscar", "contcar"].iter().any(|start| name.starts_with(start))
        || ["vasp", "poscar"].into_iter().any(has_end);
    // `POSCAR_1.cif` was converted from one.
    let is_other =
        name.split('.').skip(1).any(|end| ["json", "cif", "xyz", "extxyz", "csv"].contains(&end));
    // The comment of a POSCAR may be any text, so the lines after it count more.
    if looks_like_poscar(text) || (is_poscar && !is_other) {
        return Some(Format::Poscar);
    }
    if first.trim_start().starts_with(['{', '[']) {
        return Some(Format::Json);
    }
    if table::is_header(first) {
        return Some(Format::Table);
    }
    if first.contains(" | ") && first.contains('=') {
        return Some(Format::AflowOut);
    }
    if first.trim().parse::<usize>().is_ok() {
        return Some(Format::Xyz);
    }
    if has_end("cif") || text.lines().any(|line| line.starts_with("data_")) {
        return Some(Format::Cif);
    }
    None
}

/// Whether a scale and three vectors follow the first line. Atom lines in XYZ have more than three
/// words.
fn looks_like_poscar(text: &str) -> bool {
    let is_number = |word: &str| crate::number::finite(word, "").is_ok();
    let numbers = |line: Option<&str>| {
        line.map(|line| line.split_whitespace().take_while(|word| is_number(word)).count())
    };
    let mut lines = text.lines().skip(1);
    matches!(numbers(lines.next()), Some(1 | 3)) && (0..3).all(|_| numbers(lines.next()) == Some(3))
}

pub(crate) fn is_xyz(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = [".xz", ".gz", ".bz2"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    name.ends_with("xyz")
}
