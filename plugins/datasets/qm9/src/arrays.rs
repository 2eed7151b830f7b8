//! Molecules as arrays in an `.npz` file, in the format of `DimeNet`'s `qm9_eV.npz`.
//!
//! `N` `[n_molecule]`, `Z` `[n_atom]`, `R` `[n_atom, 3]` in angstrom, `id` `[n_molecule]`, and one
//! array per property, `[n_molecule]`. Energies are in hartree or in electronvolt, total or
//! relative to free atoms, which is detected from the values.

use std::io::{Read, Seek};
use std::path::Path;

use batchlab_core::MemoryBudget;
use batchlab_npz::{Archive, NpzError, Problem};

use crate::energies::{Convention, EXPECTED, free_atom};
use crate::molecule::Molecule;
use crate::properties::{N_PROPERTY, PROPERTIES, U0};

/// The largest array of QM9, `R` in double precision, has 58 MB.
const MAX_BYTE: u64 = 1 << 28;

/// Maximum number of atoms per molecule; QM9's largest has 29.
const MAX_ATOM: u32 = 1000;

/// Reads all molecules of a file, one at a time.
pub(crate) fn read<R: Read + Seek>(
    path: &Path,
    file: R,
    memory: &MemoryBudget,
) -> Result<impl Iterator<Item = Molecule> + use<R>, NpzError> {
    let mut file = Archive::open(path, file, MAX_BYTE, memory)?;
    let n_atom = file.counts("N", 1, MAX_ATOM)?;
    let numbers = file.counts("Z", 0, u32::MAX)?;
    let mut atomic_number = Vec::with_capacity(numbers.len());
    for (at, z) in numbers.into_iter().enumerate() {
        let Some(z) = u8::try_from(z).ok().filter(|&z| free_atom(z).is_some()) else {
            let (value, expected) = (z.to_string(), "the number of H, C, N, O or F".to_owned());
            return Err(file.fault("Z", Problem::Value { at, value, expected }));
        };
        atomic_number.push(z);
    }
    let position = file.vectors("R")?;
    let n_total = n_atom.iter().map(|&n| n as usize).sum::<usize>();
    for (array, got) in [("Z", atomic_number.len()), ("R", position.len())] {
        if got != n_total {
            let expected = format!("{n_total}, the sum of `N`");
            return Err(file.fault(array, Problem::Length { got, expected }));
        }
    }
    let index = if file.has("id") { Some(file.counts("id", 1, u32::MAX)?) } else { None };
    if let Some(index) = index.as_ref().filter(|index| index.len() != n_atom.len()) {
        let expected = format!("{}, the length of `N`", n_atom.len());
        return Err(file.fault("id", Problem::Length { got: index.len(), expected }));
    }
    let mut property = properties(&mut file, n_atom.len())?;
    if let Some(property) = &mut property {
        convert(&file, property, &n_atom, &atomic_number)?;
    }
    let mut end = 0;
    Ok(n_atom.into_iter().enumerate().map(move |(at, n_atom)| {
        let atoms = end..end + n_atom as usize;
        end = atoms.end;
        Molecule {
            gdb_index: index.as_ref().map(|index| index[at]),
            atomic_number: atomic_number[atoms.clone()].to_vec(),
            position: position[atoms].iter().map(|row| row.map(f64::from)).collect(),
            property: property.as_ref().map(|rows| rows[at]),
        }
    }))
}

/// Converts energies to the units of QM9's own files.
fn convert<R: Read + Seek>(
    file: &Archive<R>,
    property: &mut [[f64; N_PROPERTY]],
    n_atom: &[u32],
    mut atomic_number: &[u8],
) -> Result<(), NpzError> {
    let mut convention = None;
    for (at, (property, &n)) in property.iter_mut().zip(n_atom).enumerate() {
        let (atoms, rest) = atomic_number.split_at(n as usize);
        atomic_number = rest;
        match Convention::of(property, atoms) {
            Some(found) if *convention.get_or_insert(found) == found => {
                found.convert(property, atoms);
            }
            _ => {
                let (value, expected) = (property[U0].to_string(), EXPECTED.to_owned());
                return Err(file.fault("U0", Problem::Value { at, value, expected }));
            }
        }
    }
    Ok(())
}

/// The 15 properties in the order of QM9's own files; `None` if the file has none of them.
fn properties<R: Read + Seek>(
    file: &mut Archive<R>,
    n_molecule: usize,
) -> Result<Option<Vec<[f64; N_PROPERTY]>>, NpzError> {
    if !PROPERTIES.iter().any(|property| file.has(property.name)) {
        return Ok(None);
    }
    let n_byte = size_of::<[f64; N_PROPERTY]>() as u64 * n_molecule as u64;
    file.take("N", n_byte, "the properties")?;
    let mut rows = vec![[0.0; N_PROPERTY]; n_molecule];
    for (place, property) in PROPERTIES.iter().enumerate() {
        let column = file.doubles(property.name)?;
        if column.len() != n_molecule {
            let expected = format!("{n_molecule}, the length of `N`");
            return Err(file.fault(property.name, Problem::Length { got: column.len(), expected }));
        }
        for (row, value) in rows.iter_mut().zip(column) {
            row[place] = value;
        }
    }
    Ok(Some(rows))
}

#[cfg(test)]
pub(crate) mod tests;
