//! Structures, and the file entries that hold them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cell::Cell;
use crate::element::atomic_number;
use crate::error::{Problem, ReadError, shown};
use crate::limits::MAX_ATOM;

/// A molecule or a crystal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Structure {
    /// Atomic numbers, `[n_atom]`, each from 1 to 118.
    pub atomic_number: Vec<u8>,
    /// In angstrom, `[n_atom, 3]`, finite; atoms need not lie inside the cell.
    pub position: Vec<[f64; 3]>,
    /// The vectors of periodicity, as rows in angstrom, finite; a row of zeros where there is none
    /// (slabs, wires). `None` for a non-periodic structure.
    pub cell: Option<Cell>,
    /// Further per-atom arrays: those of [`Source::arrays`](crate::Source) that the file has.
    pub array: BTreeMap<String, AtomArray>,
    /// Names of all available arrays; only filled in if some were requested.
    pub known: Vec<String>,
}

/// Numbers with a row per atom, as stated in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct AtomArray {
    /// Numbers per row; 1 or more.
    pub width: usize,
    /// Row-major, `[n_atom, width]`.
    pub numbers: Numbers,
}

/// Numbers of one type.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// Finite in single precision.
    Float(Vec<f64>),
    Integer(Vec<i32>),
    Flag(Vec<bool>),
}

impl Structure {
    /// Whether the structure is periodic in some directions only: a slab or a wire.
    #[must_use]
    pub fn is_partly_periodic(&self) -> bool {
        self.cell.is_some_and(|cell| cell.contains(&[0.0; 3]))
    }
}

/// An entry of a file: a structure, its properties, or both.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The file; for an archive entry, the archive's path and the name inside.
    pub path: PathBuf,
    /// Start of the entry, 1-based: a line, the row of a database, or the number of the entry in a
    /// JSON document.
    pub line: usize,
    /// Atoms and cell; `None` if the entry only has properties.
    pub structure: Option<Structure>,
    /// Everything else that is a single value or a short list: keys and values as spelled in the
    /// file, so that `007` and `7` are different names. Lists are joined by commas; numbers stored
    /// as such (JSON, databases) have their shortest form.
    pub property: BTreeMap<String, String>,
}

impl Entry {
    /// A property as a number, in the file's unit; `None` if it does not exist, or its value stands
    /// for a missing one ([`is_absent`]).
    ///
    /// # Errors
    /// If the value is neither absent nor a finite number.
    pub fn number(&self, key: &str) -> Result<Option<f64>, Problem> {
        self.property.get(key).map_or(Ok(None), |value| number(key, value))
    }

    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.property.get(key).map(String::as_str)
    }

    /// An error located at the start of the entry.
    #[must_use]
    pub fn fault(&self, problem: Problem) -> ReadError {
        ReadError::Line { path: self.path.clone(), line: self.line, problem }
    }
}

/// The value of a property as a number; `None` if it is absent.
///
/// # Errors
/// If the value is neither absent nor a finite number.
pub fn number(key: &str, value: &str) -> Result<Option<f64>, Problem> {
    if is_absent(value) {
        return Ok(None);
    }
    let trimmed = value.trim();
    // Fortran writes 1.5D+3.
    let number = trimmed.parse().or_else(|_| trimmed.replace(['D', 'd'], "e").parse());
    let number = number.ok().filter(|x: &f64| x.is_finite());
    let wrong = || Problem::Property { key: shown(key), value: shown(value) };
    number.map(Some).ok_or_else(wrong)
}

/// Whether a value stands for a missing one: an empty text, `nan`, `null`, `None`, `NA` and the
/// like, as in pandas.
#[must_use]
pub fn is_absent(value: &str) -> bool {
    let absent = ["", "None", "nan", "NaN", "NAN", "null", "NULL", "NA", "N/A", "<NA>"];
    absent.contains(&value.trim())
}

/// The atoms of a formula in which every count is written, such as `Ag2Co2O4`: atomic numbers in
/// the formula's order, `[n_atom]`. A missing count means 1.
///
/// # Errors
/// If the text is not a formula, or has an unknown element, a count of 0, or too many atoms.
pub fn composition(formula: &str) -> Result<Vec<u8>, Problem> {
    let wrong = || Problem::Formula { value: shown(formula) };
    let mut atoms = Vec::new();
    let mut rest = formula.trim();
    while !rest.is_empty() {
        let lower = |c: char| c.is_ascii_lowercase();
        let end = 1 + rest.get(1..).ok_or_else(wrong)?.chars().take_while(|&c| lower(c)).count();
        let (name, after) = rest.split_at(end);
        let z = atomic_number(name).ok_or_else(|| Problem::Element { value: shown(name) })?;
        let digits = after.chars().take_while(char::is_ascii_digit).count();
        let (count, after) = after.split_at(digits);
        let count: usize = if digits == 0 { 1 } else { count.parse().map_err(|_| wrong())? };
        if count == 0 {
            return Err(wrong());
        }
        if count > MAX_ATOM - atoms.len() {
            return Err(Problem::TooManyAtoms { max: MAX_ATOM });
        }
        atoms.resize(atoms.len() + count, z);
        rest = after;
    }
    if atoms.is_empty() { Err(wrong()) } else { Ok(atoms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_name_every_atom() {
        assert_eq!(composition("Ag2Co1O3").unwrap(), [47, 47, 27, 8, 8, 8]);
        assert_eq!(composition("NaCl").unwrap(), [11, 17]);
        for wrong in ["", "ag2", "Ag0", "Xx2", "Ag2 Co", "2Ag", "Ag-1", "Ag1.5", "Ä2"] {
            assert!(composition(wrong).is_err(), "{wrong}");
        }
        for many in ["H999999999", "H99999999999999999999999", "H9000000He9000000"] {
            assert!(composition(many).is_err(), "{many}");
        }
    }

    #[test]
    fn what_is_absent_is_no_number_and_what_is_no_number_is_refused() {
        let entry = |value: &str| {
            let property = [("e".to_owned(), value.to_owned())].into();
            Entry { path: PathBuf::new(), line: 1, structure: None, property }
        };
        assert_eq!(entry(" 6.8531").number("e"), Ok(Some(6.8531)));
        assert_eq!(entry("-1.5D+01").number("e"), Ok(Some(-15.0)));
        assert_eq!(entry("007").text("e"), Some("007"));
        assert_eq!(entry("1").number("f"), Ok(None));
        for absent in ["", " ", "nan", "NaN", "null", "None", "N/A"] {
            assert_eq!(entry(absent).number("e"), Ok(None), "{absent}");
        }
        for wrong in ["2.0eV", "1,5", "oops", "1e400", "inf", "-inf", "-nan", "true"] {
            let fault = entry(wrong).number("e").unwrap_err().to_string();
            assert!(
                fault.starts_with(&format!("`e` is `{wrong}`, which is not a finite")),
                "{fault}"
            );
        }
    }
}
