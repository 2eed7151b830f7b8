//! One molecule, as plain numbers in the units of QM9's own files, and the interpretation of the
//! keys of a file's entries.

use batchlab_structures::{Entry, finite, is_absent, symbol};

use crate::energies::{Convention, EXPECTED, free_atom};
use crate::error::{Problem, shown};
use crate::properties::{N_PROPERTY, PROPERTIES, U0};

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Molecule {
    /// QM9's 1-based index; `None` if the file does not state it.
    pub(crate) gdb_index: Option<u32>,
    /// Atomic numbers, `[n_node]`, each one of 1, 6, 7, 8, 9.
    pub(crate) atomic_number: Vec<u8>,
    /// Positions in angstrom, `[n_node, 3]`, finite.
    pub(crate) position: Vec<[f64; 3]>,
    /// In the order and units of [`PROPERTIES`], finite; `None` if the file has geometries only.
    pub(crate) property: Option<[f64; N_PROPERTY]>,
}

/// How to interpret the entries of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spelling {
    /// QM9's own files and extended XYZ: energies are in hartree.
    Text,
    /// An ASE database as written by the study's scripts: the unit of energies is detected from
    /// their values, and is the same for all molecules.
    Database(Option<Convention>),
}

impl Molecule {
    /// The molecule of an entry.
    pub(crate) fn of(entry: Entry, spelling: &mut Spelling) -> Result<Self, Problem> {
        let index = match spelling {
            Spelling::Text => "gdb",
            Spelling::Database(_) => "index",
        };
        // Some databases store all values as floating point.
        let index = entry.text(index).filter(|text| !is_absent(text));
        let index = index.map(|text| text.strip_suffix(".0").unwrap_or(text));
        let gdb_index = index.map(gdb_index).transpose()?;
        let mut property = properties(&entry)?;
        let structure = entry.structure.ok_or(Problem::NoGeometry)?;
        if structure.cell.is_some() {
            return Err(Problem::Periodic);
        }
        let (atomic_number, position) = (structure.atomic_number, structure.position);
        if let Some(atom) = atomic_number.iter().position(|&z| free_atom(z).is_none()) {
            let value = symbol(atomic_number[atom]).unwrap_or_default();
            return Err(Problem::UnknownElement { atom: atom + 1, value });
        }
        if let (Spelling::Database(convention), Some(property)) = (spelling, &mut property) {
            match Convention::of(property, &atomic_number) {
                Some(found) if *convention.get_or_insert(found) == found => {
                    found.convert(property, &atomic_number);
                }
                _ => return Err(Problem::Energy { expected: EXPECTED, value: property[U0] }),
            }
        }
        Ok(Self { gdb_index, atomic_number, position, property })
    }
}

/// All 15, or none.
fn properties(entry: &Entry) -> Result<Option<[f64; N_PROPERTY]>, Problem> {
    if !PROPERTIES.iter().flat_map(|named| named.keys).any(|key| entry.text(key).is_some()) {
        return Ok(None);
    }
    let mut property = [0.0; N_PROPERTY];
    for (value, named) in property.iter_mut().zip(&PROPERTIES) {
        let mut stated = named.keys.iter().filter_map(|key| Some((key, entry.text(key)?)));
        let missing = || Problem::MissingProperty { name: named.name, keys: named.keys };
        let (_, text) = stated.next().ok_or_else(missing)?;
        if let Some((key, _)) = stated.next() {
            return Err(Problem::RepeatedKey { name: named.name, key });
        }
        *value = finite(text, named.name)?;
    }
    Ok(Some(property))
}

/// QM9's 1-based index.
pub(crate) fn gdb_index(text: &str) -> Result<u32, Problem> {
    match text.parse() {
        Ok(index) if index > 0 => Ok(index),
        _ => Err(Problem::Index { value: shown(text) }),
    }
}

#[cfg(test)]
mod tests {
    use batchlab_structures::Structure;

    use super::*;

    fn molecule(property: &[(&str, &str)]) -> Result<Molecule, Problem> {
        let structure = Structure {
            atomic_number: vec![1, 1],
            position: vec![[0.0; 3], [0.0, 0.0, 0.74]],
            ..Structure::default()
        };
        let property = property.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let (path, structure) = ("x.db".into(), Some(structure));
        let entry = Entry { path, line: 1, structure, property: property.collect() };
        Molecule::of(entry, &mut Spelling::Database(None))
    }

    #[test]
    fn an_index_that_is_none_is_not_passed_over() {
        let index = |text| molecule(&[("index", text)]).map(|molecule| molecule.gdb_index);
        assert_eq!((index("7"), index("7.0"), index("nan")), (Ok(Some(7)), Ok(Some(7)), Ok(None)));
        for wrong in ["0", "-1", "1.5", "seven", "4294967296"] {
            assert_eq!(index(wrong), Err(Problem::Index { value: wrong.into() }));
        }
    }

    #[test]
    fn a_property_that_is_no_number_is_named() {
        for (key, value) in [("rotA", "1,5"), ("A", "1e39"), ("rotA", "nan"), ("A", "1*^2*^3")] {
            let (what, shown) = (PROPERTIES[0].name, value.to_owned());
            let number = batchlab_structures::Problem::Number { what, value: shown };
            assert_eq!(molecule(&[(key, value)]), Err(number.into()));
        }
        let missing = molecule(&[("rotA", "1")]).map(drop);
        assert!(matches!(missing, Err(Problem::MissingProperty { name: "B", .. })), "{missing:?}");
    }
}
