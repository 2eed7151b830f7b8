//! Molecules as arrays in an `.npz` file, as `DimeNet`'s `qm9_eV.npz` has them.
//!
//! `N` `[n_molecule]`, `Z` `[n_atom]`, `R` `[n_atom, 3]` in angstrom, `id` `[n_molecule]`, and one
//! array for each property, `[n_molecule]`. Energies are in hartree or in electronvolt, total or less
//! the free atoms; which of these, the values themselves say.

use std::io::{Read, Seek};
use std::path::Path;

use batchlab_npz::{Archive, NpzError, Problem};

use crate::molecule::{ELEMENTS, Element, Molecule, N_PROPERTY};
use crate::properties::{ELECTRONVOLT_PER_HARTREE, PROPERTIES, U0};
use crate::read::MAX_ATOM;

/// The largest array of QM9, `R` in double precision, has 58 MB.
const MAX_BYTE: u64 = 1 << 28;

/// All molecules of a file, given out one at a time.
pub(crate) struct Arrays {
    n_atom: Vec<u32>,
    atomic_number: Vec<u32>,
    position: Vec<[f32; 3]>,
    index: Option<Vec<u32>>,
    property: Option<Vec<Vec<f64>>>,
    next_molecule: usize,
    next_atom: usize,
}

impl Arrays {
    pub(crate) fn read<R: Read + Seek>(path: &Path, file: R) -> Result<Self, NpzError> {
        let mut file = Archive::open(path, file, MAX_BYTE)?;
        let n_atom = file.counts("N", 1, MAX_ATOM as u32)?;
        let [least, .., most] = ELEMENTS.map(|element| u32::from(element.atomic_number));
        let atomic_number = file.counts("Z", least, most)?;
        if let Some(at) = atomic_number.iter().position(|&z| Element::of(z as u8).is_none()) {
            let value = atomic_number[at].to_string();
            let expected = "the number of H, C, N, O or F".to_owned();
            return Err(file.fault("Z", Problem::Value { at, value, expected }));
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
        let property = properties(&mut file, n_atom.len())?;
        let mut arrays = Self {
            n_atom,
            atomic_number,
            position,
            index,
            property,
            next_molecule: 0,
            next_atom: 0,
        };
        arrays.convert_energies(&file)?;
        Ok(arrays)
    }

    /// Brings energies to hartree and total energies, the units of QM9's own files.
    fn convert_energies<R: Read + Seek>(&mut self, file: &Archive<R>) -> Result<(), NpzError> {
        let mut convention = None;
        let mut first_atom = 0;
        for (molecule, &n) in self.n_atom.iter().enumerate() {
            let Some(property) = &mut self.property else { return Ok(()) };
            let atoms = &self.atomic_number[first_atom..first_atom + n as usize];
            first_atom += n as usize;
            let free = |energy: usize| -> f64 {
                let atoms = atoms.iter().filter_map(|&z| Element::of(z as u8));
                atoms.map(|element| element.reference[energy]).sum()
            };
            let value = property[U0][molecule];
            let found = Convention::of(value, free(0));
            if found.is_none() || *convention.get_or_insert(found) != found {
                let expected =
                    "a total energy in hartree or eV, or an energy of atomisation in eV, \
                                and the same of these for every molecule"
                        .to_owned();
                let value = value.to_string();
                return Err(file.fault("U0", Problem::Value { at: molecule, value, expected }));
            }
            if found == Some(Convention::Hartree) {
                continue;
            }
            for (column, named) in property.iter_mut().zip(&PROPERTIES) {
                if named.unit == "hartree" {
                    column[molecule] /= ELECTRONVOLT_PER_HARTREE;
                }
            }
            if found == Some(Convention::AtomisationElectronvolt) {
                for energy in 0..4 {
                    property[U0 + energy][molecule] += free(energy);
                }
            }
        }
        Ok(())
    }
}

/// In which unit energies are, and from which zero they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Convention {
    Hartree,
    Electronvolt,
    AtomisationElectronvolt,
}

impl Convention {
    /// Told from U0 and the energy of the free atoms in hartree: bonds make up less than 3 % of the
    /// total energy of a molecule of QM9, and an electronvolt is 1/27 of a hartree.
    fn of(u0: f64, free_atoms: f64) -> Option<Self> {
        let ratio = u0 / free_atoms;
        match ratio {
            0.97..1.1 => Some(Self::Hartree),
            26.0..30.0 => Some(Self::Electronvolt),
            0.0..0.9 => Some(Self::AtomisationElectronvolt),
            _ => None,
        }
    }
}

/// The 15 properties in the order of QM9's own files; `None` where the file has none of them.
fn properties<R: Read + Seek>(
    file: &mut Archive<R>,
    n_molecule: usize,
) -> Result<Option<Vec<Vec<f64>>>, NpzError> {
    if !PROPERTIES.iter().any(|property| file.has(property.name)) {
        return Ok(None);
    }
    let mut columns = Vec::with_capacity(N_PROPERTY);
    for property in &PROPERTIES {
        let column = file.doubles(property.name)?;
        if column.len() != n_molecule {
            let expected = format!("{n_molecule}, the length of `N`");
            return Err(file.fault(property.name, Problem::Length { got: column.len(), expected }));
        }
        columns.push(column);
    }
    Ok(Some(columns))
}

impl Iterator for Arrays {
    type Item = Molecule;

    fn next(&mut self) -> Option<Molecule> {
        let at = self.next_molecule;
        let n_atom = *self.n_atom.get(at)? as usize;
        let atoms = self.next_atom..self.next_atom + n_atom;
        self.next_molecule += 1;
        self.next_atom = atoms.end;
        let property = self.property.as_ref().map(|columns| {
            let mut all = [0.0; N_PROPERTY];
            for (to, column) in all.iter_mut().zip(columns) {
                *to = column[at];
            }
            all
        });
        Some(Molecule {
            gdb_index: self.index.as_ref().map(|index| index[at]),
            atomic_number: self.atomic_number[atoms.clone()].iter().map(|&z| z as u8).collect(),
            position: self.position[atoms].iter().map(|row| row.map(f64::from)).collect(),
            property,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
