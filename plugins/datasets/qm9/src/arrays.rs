//! Molecules as arrays in an `.npz` file, as `DimeNet`'s `qm9_eV.npz` has them.
//!
//! `N` `[n_molecule]`, `Z` `[n_atom]`, `R` `[n_atom, 3]` in angstrom, `id` `[n_molecule]`, and one
//! array for each property, `[n_molecule]`. Energies are in hartree or in electronvolt, total or less
//! the free atoms; which of these, the values themselves say.

use std::io::{Read, Seek};
use std::path::Path;

use batchlab_npz::{Archive, NpzError, Problem};

use crate::energies::{Convention, EXPECTED};
use crate::molecule::{ELEMENTS, Element, Molecule, N_PROPERTY};
use crate::properties::{PROPERTIES, U0};
use crate::read::MAX_ATOM;

/// The largest array of QM9, `R` in double precision, has 58 MB.
const MAX_BYTE: u64 = 1 << 28;

/// All molecules of a file, given out one at a time.
pub(crate) struct Arrays {
    n_atom: Vec<u32>,
    atomic_number: Vec<u8>,
    position: Vec<[f32; 3]>,
    index: Option<Vec<u32>>,
    property: Option<Vec<[f64; N_PROPERTY]>>,
    next_molecule: usize,
    next_atom: usize,
}

impl Arrays {
    pub(crate) fn read<R: Read + Seek>(path: &Path, file: R) -> Result<Self, NpzError> {
        let mut file = Archive::open(path, file, MAX_BYTE)?;
        let n_atom = file.counts("N", 1, MAX_ATOM as u32)?;
        let [least, .., most] = ELEMENTS.map(|element| u32::from(element.atomic_number));
        let atomic_number = file.counts("Z", least, most)?;
        let unknown = |&z: &u32| Element::of(z as u8).is_none();
        if let Some(at) = atomic_number.iter().position(unknown) {
            let value = atomic_number[at].to_string();
            let expected = "the number of H, C, N, O or F".to_owned();
            return Err(file.fault("Z", Problem::Value { at, value, expected }));
        }
        let atomic_number: Vec<u8> = atomic_number.into_iter().map(|z| z as u8).collect();
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
        Ok(Self {
            n_atom,
            atomic_number,
            position,
            index,
            property,
            next_molecule: 0,
            next_atom: 0,
        })
    }
}

/// Brings energies to the units of QM9's own files.
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

/// The 15 properties in the order of QM9's own files; `None` where the file has none of them.
fn properties<R: Read + Seek>(
    file: &mut Archive<R>,
    n_molecule: usize,
) -> Result<Option<Vec<[f64; N_PROPERTY]>>, NpzError> {
    if !PROPERTIES.iter().any(|property| file.has(property.name)) {
        return Ok(None);
    }
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

impl Iterator for Arrays {
    type Item = Molecule;

    fn next(&mut self) -> Option<Molecule> {
        let at = self.next_molecule;
        let n_atom = *self.n_atom.get(at)? as usize;
        let atoms = self.next_atom..self.next_atom + n_atom;
        self.next_molecule += 1;
        self.next_atom = atoms.end;
        Some(Molecule {
            gdb_index: self.index.as_ref().map(|index| index[at]),
            atomic_number: self.atomic_number[atoms.clone()].to_vec(),
            position: self.position[atoms].iter().map(|row| row.map(f64::from)).collect(),
            property: self.property.as_ref().map(|rows| rows[at]),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
