//! One molecule, as plain numbers in the units of the files, and the elements of QM9.

use crate::error::{Problem, shown};

/// Number of properties of each molecule.
pub const N_PROPERTY: usize = 15;

/// One molecule of QM9 in the files' own units.
#[derive(Debug, Clone, PartialEq)]
pub struct Molecule {
    /// QM9's 1-based index; `None` where the file does not state it.
    pub gdb_index: Option<u32>,
    /// Proton numbers, `[n_node]`, each of 1, 6, 7, 8, 9.
    pub atomic_number: Vec<u8>,
    /// Positions in angstrom, `[n_node, 3]`, finite.
    pub position: Vec<[f64; 3]>,
    /// The properties in the order and units of [`PROPERTIES`](crate::PROPERTIES), finite; `None`
    /// where the file has geometries only.
    pub property: Option<[f64; N_PROPERTY]>,
}

/// An element of QM9 with the energies of its free atom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Element {
    /// Chemical symbol.
    pub symbol: &'static str,
    /// Protons.
    pub atomic_number: u8,
    /// U0, U, H and G of the free atom in hartree (QM9's `atomref.txt`).
    pub reference: [f64; 4],
}

/// The five elements of QM9, by atomic number.
pub const ELEMENTS: [Element; 5] = [
    element("H", 1, [-0.500_273, -0.498_857, -0.497_912, -0.510_927]),
    element("C", 6, [-37.846_772, -37.845_355, -37.844_411, -37.861_317]),
    element("N", 7, [-54.583_861, -54.582_445, -54.581_501, -54.598_897]),
    element("O", 8, [-75.064_579, -75.063_163, -75.062_219, -75.079_532]),
    element("F", 9, [-99.718_730, -99.717_314, -99.716_370, -99.733_544]),
];

const fn element(symbol: &'static str, atomic_number: u8, reference: [f64; 4]) -> Element {
    Element { symbol, atomic_number, reference }
}

impl Element {
    /// The element with that many protons, if QM9 has it.
    #[must_use]
    pub fn of(atomic_number: u8) -> Option<&'static Self> {
        ELEMENTS.iter().find(|element| element.atomic_number == atomic_number)
    }
}

/// The proton number of a symbol.
pub(crate) fn atomic_number(symbol: &str) -> Result<u8, Problem> {
    match ELEMENTS.iter().find(|element| element.symbol == symbol) {
        Some(element) => Ok(element.atomic_number),
        None => Err(Problem::UnknownElement { value: shown(symbol) }),
    }
}

/// Whether a token has the form of an element's symbol, known or not.
pub(crate) fn looks_like_symbol(token: &str) -> bool {
    (1..=2).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_and_numbers_agree() {
        for element in &ELEMENTS {
            assert_eq!(atomic_number(element.symbol), Ok(element.atomic_number));
            assert_eq!(Element::of(element.atomic_number), Some(element));
        }
        assert_eq!(Element::of(2), None);
        assert_eq!(atomic_number("Si"), Err(Problem::UnknownElement { value: "Si".into() }));
        assert!(atomic_number("c").is_err());
    }

    #[test]
    fn a_symbol_is_one_or_two_letters() {
        assert!(looks_like_symbol("C") && looks_like_symbol("Xx"));
        assert!(!looks_like_symbol("") && !looks_like_symbol("1.5") && !looks_like_symbol("C#C"));
    }
}
