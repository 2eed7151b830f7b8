//! QM9's own text format: `dsgdb9nsd_XXXXXX.xyz`, one molecule per file or many in a row.
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

use std::io::BufRead;

use crate::error::{Problem, shown};
use crate::lines::{LineFault, Lines};
use crate::molecule::{Molecule, N_PROPERTY, atomic_number, looks_like_symbol};
use crate::number::{finite, gdb_index};
use crate::properties::PROPERTIES;

/// Whether the second line of a molecule is one of this format.
pub(crate) fn is_comment(line: &str) -> bool {
    line.split_whitespace().next() == Some("gdb")
}

/// Index and properties from the second line.
pub(crate) fn comment(line: &str) -> Result<(u32, [f64; N_PROPERTY]), Problem> {
    let mut tokens = line.split_whitespace().skip(1);
    let index = gdb_index(tokens.next().unwrap_or_default())?;
    let mut property = [0.0; N_PROPERTY];
    for (value, named) in property.iter_mut().zip(&PROPERTIES) {
        let missing = || Problem::MissingProperty { name: named.name, spellings: named.spellings };
        *value = finite(tokens.next().ok_or_else(missing)?, named.name)?;
    }
    match tokens.next() {
        None => Ok((index, property)),
        Some(token) => Err(Problem::Trailing { after: "the 15 properties", value: shown(token) }),
    }
}

/// The rest of a molecule after its second line.
pub(crate) fn rest<R: BufRead>(
    lines: &mut Lines<R>,
    n_node: usize,
    (gdb_index, property): (u32, [f64; N_PROPERTY]),
) -> Result<Molecule, LineFault> {
    let mut atomic_numbers = Vec::with_capacity(n_node);
    let mut position = Vec::with_capacity(n_node);
    for found in 0..n_node {
        let (z, at) = atom(lines.expect("a line of an atom")?, n_node, found)?;
        atomic_numbers.push(z);
        position.push(at);
    }
    frequencies(lines.expect("the line of frequencies")?, n_node)?;
    let smiles = lines.expect("the line of SMILES")?;
    if smiles.trim().is_empty() || smiles.trim_start().starts_with("InChI=") {
        return Err(
            Problem::Expected { expected: "the line of SMILES", value: shown(smiles) }.into()
        );
    }
    let inchi = lines.expect("the line of InChI")?;
    if inchi.trim().is_empty() || !inchi.split_whitespace().all(|token| token.starts_with("InChI="))
    {
        return Err(Problem::Expected { expected: "the line of InChI", value: shown(inchi) }.into());
    }
    Ok(Molecule {
        gdb_index: Some(gdb_index),
        atomic_number: atomic_numbers,
        position,
        property: Some(property),
    })
}

/// Element and position of one line; the charge is checked and dropped.
fn atom(line: &str, stated: usize, found: usize) -> Result<(u8, [f64; 3]), Problem> {
    let mut tokens = line.split_whitespace();
    let symbol = tokens.next().unwrap_or_default();
    // The line of frequencies has come early: no symbol, but a number.
    if finite(symbol, "a frequency").is_ok() {
        return Err(Problem::TooFewAtoms { stated, found, value: shown(line) });
    }
    let columns = || Problem::Columns {
        expected: 5,
        found: line.split_whitespace().count(),
        value: shown(line),
    };
    let z = atomic_number(symbol)?;
    let mut position = [0.0; 3];
    for (value, what) in position.iter_mut().zip(["x", "y", "z"]) {
        *value = finite(tokens.next().ok_or_else(columns)?, what)?;
    }
    finite(tokens.next().ok_or_else(columns)?, "the Mulliken charge")?;
    if tokens.next().is_some() { Err(columns()) } else { Ok((z, position)) }
}

/// Checks that the line holds numbers and nothing else.
fn frequencies(line: &str, stated: usize) -> Result<(), Problem> {
    let mut tokens = line.split_whitespace();
    match tokens.clone().next() {
        None => {
            return Err(Problem::Expected {
                expected: "the line of frequencies",
                value: String::new(),
            });
        }
        Some(first) if looks_like_symbol(first) && tokens.clone().count() == 5 => {
            return Err(Problem::TooManyAtoms { stated, value: shown(line) });
        }
        Some(_) => {}
    }
    tokens.try_for_each(|token| finite(token, "a frequency").map(drop))
}
