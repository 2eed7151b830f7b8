//! Molecules in a database of ASE (the Atomic Simulation Environment), with the keys of the study's
//! scripts.
//!
//! `rotA`, `rotB`, `rotC`, `mu`, `alpha`, `homo`, `lumo`, `gap`, `r2`, `zpve`, `U0`, `U300`, `H300`,
//! `G300`, `Cv`, and `index`. The study keeps energies in eV, and U0 to G300 less those of the free atoms;
//! what a file holds is told from its values.

use std::ops::ControlFlow;
use std::path::Path;

use batchlab_structures::Entry;

use crate::energies::{Convention, EXPECTED};
use crate::error::{Problem, Qm9Error};
use crate::molecule::{Element, Molecule, N_PROPERTY};
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
    let gdb_index = entry.number("index").filter(|index| (1.0..4e9).contains(index));
    #[allow(clippy::cast_sign_loss, reason = "checked to be positive")]
    let gdb_index = gdb_index.map(|index| index as u32);
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
        *value = entry.number(key).or_else(|| entry.number(named.name)).ok_or_else(missing)?;
    }
    match Convention::of(&property, atomic_number) {
        Some(found) if *convention.get_or_insert(found) == found => {
            found.convert(&mut property, atomic_number);
            Ok(property)
        }
        _ => Err(Problem::Expected { expected: EXPECTED, value: property[10].to_string() }),
    }
}
