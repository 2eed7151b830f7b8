//! What a reader hands over.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::element::atomic_number;
use crate::error::{Problem, shown};
use crate::limits::MAX_ATOM;

/// A molecule or a crystal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Structure {
    /// Proton numbers, `[n_atom]`, each of 1 to 118.
    pub atomic_number: Vec<u8>,
    /// In angstrom, `[n_atom, 3]`, finite; atoms need not lie inside the cell.
    pub position: Vec<[f64; 3]>,
    /// The three vectors of the cell as rows, in angstrom, finite; a structure with a cell repeats
    /// along all three, one without is open.
    pub cell: Option<[[f64; 3]; 3]>,
}

/// What a file says at one place.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The file; within an archive, the archive's path and the name inside.
    pub path: PathBuf,
    /// Where the entry begins, 1-based: a line, the row of a database, or the number of the entry in a
    /// JSON document.
    pub line: usize,
    /// Atoms and cell; `None` where the entry states properties only.
    pub structure: Option<Structure>,
    /// Everything else that is one value or a short list: keys as the file spells them.
    pub property: BTreeMap<String, Value>,
}

/// One property.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// In the file's unit, finite.
    Number(f64),
    /// Text; short lists are joined by commas.
    Text(String),
}

impl Entry {
    /// A property as a number: one that is written as text is understood, too.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<f64> {
        match self.property.get(key)? {
            Value::Number(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok().filter(|x: &f64| x.is_finite()),
        }
    }

    /// A property that is text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.property.get(key)? {
            Value::Text(text) => Some(text),
            Value::Number(_) => None,
        }
    }
}

/// The atoms of a formula in which every count is written, such as `Ag2Co2O4`: proton numbers in
/// the formula's order, `[n_atom]`. A missing count means 1.
///
/// # Errors
/// Text that is no formula, an unknown element, a count of 0, too many atoms.
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
        for many in ["H999999999", "H99999999999999999999999", "H90000He90000"] {
            assert!(composition(many).is_err(), "{many}");
        }
    }

    #[test]
    fn numbers_are_found_in_text_and_text_is_not_invented() {
        let text = |text: &str| Value::Text(text.to_owned());
        let property = [
            ("a", Value::Number(1.5)),
            ("b", text(" 6.8531")),
            ("c", text("metal")),
            ("d", text("inf")),
        ];
        let property = property.map(|(key, value)| (key.to_owned(), value)).into();
        let entry = Entry { path: PathBuf::new(), line: 1, structure: None, property };
        assert_eq!((entry.number("a"), entry.number("b")), (Some(1.5), Some(6.8531)));
        assert_eq!(["c", "d", "e"].map(|key| entry.number(key)), [None; 3]);
        assert_eq!((entry.text("a"), entry.text("c")), (None, Some("metal")));
    }
}
