//! The 15 properties of QM9 and the targets derived from them.
//!
//! Energies are absolute and large (-40 to -700 hartree), so everything stays in `f64` until the
//! energies of the free atoms are subtracted; `f32` would lose about 3e-5 hartree.

use crate::energies::free_atoms;
use crate::molecule::Molecule;

/// Electronvolts in one hartree, as in the study (CODATA 2010).
pub(crate) const ELECTRONVOLT_PER_HARTREE: f64 = 27.211_386_02;

pub(crate) const N_PROPERTY: usize = 15;

/// One column of QM9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Property {
    /// The name used here.
    pub(crate) name: &'static str,
    /// Accepted keys, of which a molecule may have one: those of extended XYZ, and those of the
    /// study's databases.
    pub(crate) keys: &'static [&'static str],
    /// The column in the `MoleculeNet` table.
    pub(crate) column: &'static str,
    /// The unit in the files.
    pub(crate) unit: &'static str,
}

/// The properties in the order of QM9's own files.
pub(crate) const PROPERTIES: [Property; N_PROPERTY] = [
    property(&["A", "rotA"], "A", "GHz"),
    property(&["B", "rotB"], "B", "GHz"),
    property(&["C", "rotC"], "C", "GHz"),
    property(&["mu"], "mu", "D"),
    property(&["alpha"], "alpha", "bohr^3"),
    property(&["homo", "epsHOMO"], "homo", "hartree"),
    property(&["lumo", "epsLUMO"], "lumo", "hartree"),
    property(&["gap", "epsgap"], "gap", "hartree"),
    property(&["r2", "<R2>"], "r2", "bohr^2"),
    property(&["zpve"], "zpve", "hartree"),
    property(&["U0"], "u0", "hartree"),
    property(&["U", "U300"], "u298", "hartree"),
    property(&["H", "H300"], "h298", "hartree"),
    property(&["G", "G300"], "g298", "hartree"),
    property(&["Cv"], "cv", "cal/(mol K)"),
];

/// The column of U0; U, H and G follow.
pub(crate) const U0: usize = 10;

const fn property(
    keys: &'static [&'static str],
    column: &'static str,
    unit: &'static str,
) -> Property {
    Property { name: keys[0], keys, column, unit }
}

/// How to compute a target from a molecule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Conversion {
    /// A column times a factor.
    Scaled {
        /// Index into [`PROPERTIES`].
        column: usize,
        /// From the unit in the file to the unit of the target.
        factor: f64,
    },
    /// An energy relative to free atoms, in eV.
    Atomisation {
        /// 0 to 3: U0, U, H, G.
        energy: usize,
    },
}

/// A learnable number per molecule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// The unit of the values returned by [`Target::of`].
    pub(crate) unit: &'static str,
    pub(crate) description: &'static str,
    pub(crate) conversion: Conversion,
}

/// Every target, in the order of the files; atomisation energies come last.
pub(crate) const TARGETS: [Target; N_PROPERTY + 4] = [
    raw(0, "rotational constant A; 0 for linear molecules"),
    raw(1, "rotational constant B"),
    raw(2, "rotational constant C"),
    raw(3, "dipole moment"),
    raw(4, "isotropic polarisability"),
    electronvolt(5, "energy of the highest occupied orbital"),
    electronvolt(6, "energy of the lowest unoccupied orbital"),
    electronvolt(7, "lumo - homo"),
    raw(8, "electronic spatial extent"),
    electronvolt(9, "zero-point vibrational energy"),
    electronvolt(10, "total internal energy at 0 K"),
    electronvolt(11, "total internal energy at 298.15 K"),
    electronvolt(12, "total enthalpy at 298.15 K"),
    electronvolt(13, "total free energy at 298.15 K"),
    raw(14, "heat capacity at 298.15 K"),
    atomisation(0, "U0_atom", "U0 less the energies of the free atoms: the study's target"),
    atomisation(1, "U_atom", "U less the energies of the free atoms"),
    atomisation(2, "H_atom", "H less the energies of the free atoms"),
    atomisation(3, "G_atom", "G less the energies of the free atoms"),
];

const fn raw(column: usize, description: &'static str) -> Target {
    let Property { name, unit, .. } = PROPERTIES[column];
    Target { name, unit, description, conversion: Conversion::Scaled { column, factor: 1.0 } }
}

const fn electronvolt(column: usize, description: &'static str) -> Target {
    let conversion = Conversion::Scaled { column, factor: ELECTRONVOLT_PER_HARTREE };
    Target { name: PROPERTIES[column].name, unit: "eV", description, conversion }
}

const fn atomisation(energy: usize, name: &'static str, description: &'static str) -> Target {
    Target { name, unit: "eV", description, conversion: Conversion::Atomisation { energy } }
}

impl Target {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// The value for a molecule, in the target's unit; total per molecule, not per atom. `None`
    /// without properties.
    pub(crate) fn of(&self, molecule: &Molecule) -> Option<f64> {
        let property = molecule.property.as_ref()?;
        Some(match self.conversion {
            Conversion::Scaled { column, factor } => property[column] * factor,
            Conversion::Atomisation { energy } => {
                let free = free_atoms(&molecule.atomic_number, energy);
                (property[U0 + energy] - free) * ELECTRONVOLT_PER_HARTREE
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Methane as in `dsgdb9nsd_000001.xyz`.
    fn methane() -> Molecule {
        Molecule {
            gdb_index: Some(1),
            atomic_number: vec![6, 1, 1, 1, 1],
            position: vec![[0.0; 3]; 5],
            property: Some([
                157.7118,
                157.70997,
                157.70699,
                0.0,
                13.21,
                -0.3877,
                0.1171,
                0.5048,
                35.3641,
                0.044_749,
                -40.478_93,
                -40.476_062,
                -40.475_117,
                -40.498_597,
                6.469,
            ]),
        }
    }

    fn check(name: &str, unit: &str, expected: f64) {
        let target = Target::named(name).expect("a target");
        assert_eq!(target.unit, unit);
        let value = target.of(&methane()).expect("properties");
        assert!((value - expected).abs() < 1e-9 * expected.abs().max(1.0), "{name}: {value}");
    }

    #[test]
    fn each_target_has_its_unit_and_conversion() {
        check("A", "GHz", 157.7118);
        check("B", "GHz", 157.70997);
        check("C", "GHz", 157.70699);
        check("mu", "D", 0.0);
        check("alpha", "bohr^3", 13.21);
        check("homo", "eV", -0.3877 * 27.211_386_02);
        check("lumo", "eV", 0.1171 * 27.211_386_02);
        check("gap", "eV", 0.5048 * 27.211_386_02);
        check("r2", "bohr^2", 35.3641);
        check("zpve", "eV", 0.044_749 * 27.211_386_02);
        check("U0", "eV", -40.478_93 * 27.211_386_02);
        check("U", "eV", -40.476_062 * 27.211_386_02);
        check("H", "eV", -40.475_117 * 27.211_386_02);
        check("G", "eV", -40.498_597 * 27.211_386_02);
        check("Cv", "cal/(mol K)", 6.469);
    }

    #[test]
    fn atomisation_energies_are_differences_to_the_free_atoms() {
        // -40.47893 - (-37.846772 - 4 * 0.500273) = -0.631066 hartree, and likewise.
        check("U0_atom", "eV", -0.631_066 * 27.211_386_02);
        check("U_atom", "eV", -0.635_279 * 27.211_386_02);
        check("H_atom", "eV", -0.639_058 * 27.211_386_02);
        check("G_atom", "eV", -0.593_572 * 27.211_386_02);
    }

    #[test]
    fn names_are_unique_and_unknown_ones_are_not_found() {
        for (at, target) in TARGETS.iter().enumerate() {
            assert!(TARGETS[..at].iter().all(|other| other.name != target.name), "{}", target.name);
            assert!(!target.description.is_empty());
        }
        assert!(Target::named("u0").is_none() && Target::named("Cv_atom").is_none());
    }
}
