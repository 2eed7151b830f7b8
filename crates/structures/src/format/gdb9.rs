//! QM9's own text format, `dsgdb9nsd_XXXXXX.xyz`: XYZ with unnamed properties, atomic charges, and
//! three extra lines.
//!
//! ```text
//! number of atoms
//! gdb <index> <15 properties>
//! element x y z charge                     (one line per atom, angstrom and elementary charges)
//! harmonic frequencies in 1/cm
//! SMILES of GDB-17      SMILES of the relaxed geometry
//! InChI of GDB-17       InChI of the relaxed geometry
//! ```
//!
//! The number of frequencies is not checked: 433 molecules print their list twice.

use std::collections::BTreeMap;
use std::io::BufRead;

use crate::element::atomic_number;
use crate::error::{Problem, shown};
use crate::lines::{Fault, Lines};
use crate::number::finite;

/// The columns of the second line, after the word `gdb`.
const KEYS: [&str; 16] = [
    "gdb", "A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "U0", "U", "H", "G",
    "Cv",
];

/// Columns per atom.
pub(crate) const N_COLUMN: usize = 5;

/// Whether the second line of a structure belongs to this format.
pub(crate) fn is_comment(line: &str) -> bool {
    !line.contains('=') && line.split_whitespace().next() == Some("gdb")
}

/// Index and properties from the second line.
pub(crate) fn properties(line: &str) -> Result<BTreeMap<String, String>, Problem> {
    let mut words = line.split_whitespace().skip(1);
    let mut property = BTreeMap::new();
    for key in KEYS {
        let remedy = "`gdb` should be followed by an index and 15 properties; copy the file again";
        let value = words.next().ok_or(Problem::Missing { key, remedy })?;
        property.insert(key.to_owned(), value.to_owned());
    }
    match words.next() {
        None => Ok(property),
        Some(word) => {
            Err(Problem::Expected { expected: "nothing after 15 properties", value: shown(word) })
        }
    }
}

/// Reads the lines after the atoms.
pub(crate) fn rest(lines: &mut Lines<impl BufRead>, stated: usize) -> Result<(), Fault> {
    let expected = "the line of frequencies";
    let line = lines.expect(expected)?;
    let mut words = line.split_whitespace();
    match words.clone().next() {
        None => return Err(Problem::Expected { expected, value: String::new() }.into()),
        Some(first) if atomic_number(first).is_some() && words.clone().count() == N_COLUMN => {
            return Err(Problem::MoreAtoms { stated, value: shown(line) }.into());
        }
        Some(_) => words.try_for_each(|word| finite(word, "a frequency").map(drop))?,
    }
    let is_inchi = |word: &str| word.starts_with("InChI=");
    let expected = "the line of SMILES";
    let line = lines.expect(expected)?.trim();
    if line.is_empty() || is_inchi(line) {
        return Err(Problem::Expected { expected, value: shown(line) }.into());
    }
    let expected = "the line of InChI";
    let line = lines.expect(expected)?.trim();
    if line.is_empty() || !line.split_whitespace().all(is_inchi) {
        return Err(Problem::Expected { expected, value: shown(line) }.into());
    }
    Ok(())
}
