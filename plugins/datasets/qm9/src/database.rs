//! Molecules in a database of ASE (the Atomic Simulation Environment), with the keys of the study's
//! scripts.
//!
//! `rotA`, `rotB`, `rotC`, `mu`, `alpha`, `homo`, `lumo`, `gap`, `r2`, `zpve`, `U0`, `U300`, `H300`,
//! `G300`, `Cv`, and `index`. The study keeps energies in eV, and U0 to G300 less those of the free atoms;
//! what a file holds is told from its values.

use std::ops::ControlFlow;
use std::path::Path;

use batchlab_structures::{Entry, is_absent};

use crate::energies::{Convention, EXPECTED};
use crate::error::{Problem, Qm9Error};
use crate::molecule::{Element, Molecule, N_PROPERTY};
use crate::number::{finite, gdb_index};
use crate::properties::PROPERTIES;

/// The keys of the 15 properties, in the order of [`PROPERTIES`].
const KEYS: [&str; N_PROPERTY] = [
    "rotA", "rotB", "rotC", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "U0", "U300",
    "H300", "G300", "Cv",
];

/// All molecules of a database, by row.
pub(crate) fn read(path: &Path) -> Result<Vec<Molecule>, Qm9Error> {
    let mut molecules = Vec::new();
    let mut convention = None;
    let mut fault = None;
    let read = batchlab_structures::read(path, &mut |entry| {
        match molecule(&entry, &mut convention) {
            Ok(molecule) => molecules.push(molecule),
            Err(problem) => {
                fault = Some(Qm9Error::Row { path: path.to_owned(), row: entry.line, problem });
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    if let Some(fault) = fault {
        return Err(fault);
    }
    read.map_err(|error| Qm9Error::Database(Box::new(error)))?;
    if molecules.is_empty() {
        return Err(Qm9Error::EmptyFile { path: path.to_owned() });
    }
    Ok(molecules)
}

fn molecule(entry: &Entry, convention: &mut Option<Convention>) -> Result<Molecule, Problem> {
    let structure = entry.structure.clone().unwrap_or_default();
    if structure.cell.is_some() {
        return Err(Problem::Periodic { value: "T T T".into() });
    }
    let atomic_number = structure.atomic_number;
    if atomic_number.is_empty() {
        return Err(Problem::Expected { expected: "atoms", value: String::new() });
    }
    if let Some(other) = atomic_number.iter().find(|&&z| Element::of(z).is_none()) {
        return Err(Problem::UnknownElement { value: format!("number {other}") });
    }
    let has_any = KEYS.iter().any(|key| entry.property.contains_key(*key));
    let property =
        if has_any { Some(properties(entry, &atomic_number, convention)?) } else { None };
    // Some databases keep all values as floating point.
    let index = entry.text("index").filter(|text| !is_absent(text));
    let index = index.map(|text| text.strip_suffix(".0").unwrap_or(text));
    let gdb_index = index.map(gdb_index).transpose()?;
    Ok(Molecule { gdb_index, atomic_number, position: structure.position, property })
}

fn properties(
    entry: &Entry,
    atomic_number: &[u8],
    convention: &mut Option<Convention>,
) -> Result<[f64; N_PROPERTY], Problem> {
    let mut property = [0.0; N_PROPERTY];
    for ((value, key), named) in property.iter_mut().zip(KEYS).zip(&PROPERTIES) {
        let missing = || Problem::MissingProperty {
            name: named.name,
            spellings: "as in the study's databases",
        };
        let key = if entry.property.contains_key(key) { key } else { named.name };
        let text = entry.text(key).filter(|text| !is_absent(text)).ok_or_else(missing)?;
        *value = finite(text, named.name)?;
    }
    match Convention::of(&property, atomic_number) {
        Some(found) if *convention.get_or_insert(found) == found => {
            found.convert(&mut property, atomic_number);
            Ok(property)
        }
        _ => Err(Problem::Expected { expected: EXPECTED, value: property[10].to_string() }),
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
            cell: None,
        };
        let property = property.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let (path, structure) = ("x.db".into(), Some(structure));
        let entry = Entry { path, line: 1, structure, property: property.collect() };
        super::molecule(&entry, &mut None)
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
        let value = "1,5".to_owned();
        let fault = molecule(&[("rotA", "1,5")]).map(drop);
        assert_eq!(fault, Err(Problem::NotANumber { what: PROPERTIES[0].name, value }));
        let missing = molecule(&[("rotA", "nan")]).map(drop);
        assert!(matches!(missing, Err(Problem::MissingProperty { .. })), "{missing:?}");
    }
}
