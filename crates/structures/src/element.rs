//! Chemical elements.

/// Symbols by atomic number, hydrogen first.
#[rustfmt::skip]
const ELEMENTS: [&str; 118] = [
    "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl",
    "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As",
    "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In",
    "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb",
    "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl",
    "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm", "Bk",
    "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn",
    "Nh", "Fl", "Mc", "Lv", "Ts", "Og",
];

/// The atomic number of a symbol in standard spelling, such as `Fe`.
#[must_use]
pub fn atomic_number(symbol: &str) -> Option<u8> {
    ELEMENTS.iter().position(|&known| known == symbol).map(|at| at as u8 + 1)
}

/// The atomic number of a symbol in any case, such as `CL` or `fe`; `D` and `T` are isotopes of
/// hydrogen.
pub(crate) fn any_case(symbol: &str) -> Option<u8> {
    let is_same = |known: &&str| known.eq_ignore_ascii_case(symbol);
    let found = ELEMENTS.iter().position(is_same).map(|at| at as u8 + 1);
    found.or_else(|| matches!(symbol, "D" | "T").then_some(1))
}

/// The symbol of the element with this atomic number.
#[must_use]
pub fn symbol(atomic_number: u8) -> Option<&'static str> {
    ELEMENTS.get(usize::from(atomic_number.checked_sub(1)?)).copied()
}

/// The symbol of an element, or the number itself if there is no such element.
#[must_use]
pub fn element_name(atomic_number: u8) -> String {
    symbol(atomic_number).map_or_else(|| atomic_number.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_and_numbers_agree() {
        for (z, name) in [(1, "H"), (8, "O"), (26, "Fe"), (47, "Ag"), (92, "U"), (118, "Og")] {
            assert_eq!((atomic_number(name), symbol(z)), (Some(z), Some(name)));
        }
        assert_eq!((symbol(0), symbol(119)), (None, None));
        let any_case = ["CL", "br", "h", "fE", "D", "T", "Xx", "X"].map(any_case);
        assert_eq!(any_case, [Some(17), Some(35), Some(1), Some(26), Some(1), Some(1), None, None]);
        assert_eq!(
            (atomic_number("fe"), atomic_number("Xx"), atomic_number("")),
            (None, None, None)
        );
    }
}
