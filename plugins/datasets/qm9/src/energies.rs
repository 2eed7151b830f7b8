//! The unit and the zero of a file's energies.

use crate::properties::{ELECTRONVOLT_PER_HARTREE, N_PROPERTY, PROPERTIES, U0};

/// The expectation, for energies in none of these units.
pub(crate) const EXPECTED: &str = "a total energy in hartree or eV, or an energy of atomisation in eV, and the same of \
    these for every molecule";

/// U0, U, H and G of the free atoms of QM9's five elements in hartree (QM9's `atomref.txt`), by
/// atomic number.
const FREE_ATOMS: [(u8, [f64; 4]); 5] = [
    (1, [-0.500_273, -0.498_857, -0.497_912, -0.510_927]),
    (6, [-37.846_772, -37.845_355, -37.844_411, -37.861_317]),
    (7, [-54.583_861, -54.582_445, -54.581_501, -54.598_897]),
    (8, [-75.064_579, -75.063_163, -75.062_219, -75.079_532]),
    (9, [-99.718_730, -99.717_314, -99.716_370, -99.733_544]),
];

/// U0, U, H and G of a free atom in hartree; `None` for an element that QM9 does not have.
pub(crate) fn free_atom(atomic_number: u8) -> Option<[f64; 4]> {
    FREE_ATOMS.iter().find(|(known, _)| *known == atomic_number).map(|(_, energies)| *energies)
}

/// U0, U, H or G (0 to 3) of the free atoms of a molecule, in hartree.
pub(crate) fn free_atoms(atomic_number: &[u8], energy: usize) -> f64 {
    atomic_number.iter().filter_map(|&z| free_atom(z)).map(|energies| energies[energy]).sum()
}

/// Unit and zero of energies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Convention {
    /// Total energies in hartree, as in QM9's own files.
    Hartree,
    /// Total energies in eV.
    Electronvolt,
    /// Energies relative to free atoms, in eV.
    AtomisationElectronvolt,
}

impl Convention {
    /// Detects the convention from U0 of a molecule: bonds make up less than 3 % of the total
    /// energy of a QM9 molecule, and an electronvolt is 1/27 of a hartree. `None` if U0 fits none
    /// of them.
    pub(crate) fn of(property: &[f64; N_PROPERTY], atomic_number: &[u8]) -> Option<Self> {
        match property[U0] / free_atoms(atomic_number, 0) {
            0.97..1.1 => Some(Self::Hartree),
            26.0..30.0 => Some(Self::Electronvolt),
            0.0..0.9 => Some(Self::AtomisationElectronvolt),
            _ => None,
        }
    }

    /// Converts energies to total energies in hartree.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_five_elements_have_energies() {
        let known: Vec<u8> = (0..=u8::MAX).filter(|&z| free_atom(z).is_some()).collect();
        assert_eq!(known, [1, 6, 7, 8, 9]);
    }
}
