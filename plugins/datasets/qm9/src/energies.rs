//! In which unit a file gives energies, and from which zero they count.

use crate::molecule::{Element, N_PROPERTY};
use crate::properties::{ELECTRONVOLT_PER_HARTREE, PROPERTIES, U0};

/// What a value that is none of these should have been.
pub(crate) const EXPECTED: &str = "a total energy in hartree or eV, or an energy of atomisation in eV, and the same of \
    these for every molecule";

/// In which unit energies are, and from which zero they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Convention {
    /// Total energies in hartree, as in QM9's own files.
    Hartree,
    /// Total energies in eV.
    Electronvolt,
    /// Energies less those of the free atoms, in eV.
    AtomisationElectronvolt,
}

impl Convention {
    /// Told from U0 of a molecule: bonds make up less than 3 % of the total energy of a molecule of
    /// QM9, and an electronvolt is 1/27 of a hartree. `None` if U0 can be none of these.
    pub(crate) fn of(property: &[f64; N_PROPERTY], atomic_number: &[u8]) -> Option<Self> {
        match property[U0] / free_atoms(atomic_number, 0) {
            0.97..1.1 => Some(Self::Hartree),
            26.0..30.0 => Some(Self::Electronvolt),
            0.0..0.9 => Some(Self::AtomisationElectronvolt),
            _ => None,
        }
    }

    /// Brings energies to hartree and total energies.
    pub(crate) fn convert(self, property: &mut [f64; N_PROPERTY], atomic_number: &[u8]) {
        if self == Self::Hartree {
            return;
        }
        for (value, named) in property.iter_mut().zip(&PROPERTIES) {
            if named.unit == "hartree" {
                *value /= ELECTRONVOLT_PER_HARTREE;
            }
        }
        if self == Self::AtomisationElectronvolt {
            for energy in 0..4 {
                property[U0 + energy] += free_atoms(atomic_number, energy);
            }
        }
    }
}

/// U0, U, H or G of the free atoms, in hartree.
fn free_atoms(atomic_number: &[u8], energy: usize) -> f64 {
    let atoms = atomic_number.iter().filter_map(|&z| Element::of(z));
    atoms.map(|element| element.reference[energy]).sum()
}
