//! POSCAR and CONTCAR of VASP, of version 5 (symbols in a line of their own) and version 4 (symbols
//! behind the positions, as AFLOW writes them).

use std::io::BufRead;

use crate::cell;
use crate::element::atomic_number;
use crate::error::{Problem, shown};
use crate::format::aflow::Content;
use crate::limits::{MAX_ATOM, TRUSTED_ATOM};
use crate::lines::{Fault, Lines};
use crate::number::{finite, three};
use crate::structure::Structure;

/// Reads one structure; what follows it, such as velocities, is not looked at.
pub(crate) fn read(
    stream: impl BufRead,
    visit: &mut dyn FnMut(usize, Content) -> Result<(), Fault>,
) -> Result<(), (usize, Fault)> {
    let mut lines = Lines::new(stream);
    let content = structure(&mut lines).map_err(|fault| (lines.number(), fault))?;
    visit(1, content).map_err(|fault| (1, fault))
}

fn structure(lines: &mut Lines<impl BufRead>) -> Result<Content, Fault> {
    let comment = lines.expect("a comment")?.trim().to_owned();
    let scale = scale(lines.expect("the scale of the cell")?)?;
    let mut cell = [[0.0; 3]; 3];
    for row in &mut cell {
        *row = three(lines.expect("a vector of the cell")?, "a vector of the cell")?.0;
    }
    // A negative scale is the volume that the cell should have.
    let factor = match scale[..] {
        [volume] if volume < 0.0 => [(-volume / cell::volume(&cell)).cbrt(); 3],
        [factor] => [factor; 3],
        _ => [scale[0], scale[1], scale[2]],
    };
    if factor.iter().any(|x| !(*x as f32).is_normal()) {
        let expected = "a scale other than 0 of a cell with a volume";
        return Err(Problem::Expected { expected, value: shown(&format!("{scale:?}")) }.into());
    }
    for row in &mut cell {
        *row = [0, 1, 2].map(|axis| row[axis] * factor[axis]);
    }

    let line = lines.expect("the numbers of atoms")?;
    let (symbols, counts) = if line.trim_start().starts_with(|c: char| c.is_ascii_digit()) {
        (None, counts(line)?)
    } else {
        let symbols = line.split_whitespace().map(species).collect::<Result<Vec<u8>, _>>()?;
        (Some(symbols), counts(lines.expect("the numbers of atoms")?)?)
    };
    let n_atom: usize = counts.iter().sum();
    let mut known = Vec::new();
    if let Some(symbols) = &symbols {
        if symbols.len() != counts.len() {
            let value = format!("{} symbols and {} numbers", symbols.len(), counts.len());
            return Err(Problem::Expected {
                expected: "as many symbols as numbers of atoms",
                value,
            }
            .into());
        }
        for (&z, &count) in symbols.iter().zip(&counts) {
            known.resize(known.len() + count, z);
        }
    }
    let mut mode = lines.expect("`Direct` or `Cartesian`")?.trim_start();
    if mode.starts_with(['S', 's']) {
        mode = lines.expect("`Direct` or `Cartesian`")?.trim_start();
    }
    let is_cartesian = match mode.chars().next() {
        Some('D' | 'd') => false,
        Some('C' | 'c' | 'K' | 'k') => true,
        _ => {
            return Err(Problem::Expected {
                expected: "`Direct` or `Cartesian`",
                value: shown(mode),
            }
            .into());
        }
    };

    let mut structure = Structure { cell: Some(cell), ..Structure::default() };
    structure.position.reserve(n_atom.min(TRUSTED_ATOM));
    for atom in 0..n_atom {
        let line = lines.expect("a position")?;
        let (at, mut words) = three(line, "a position")?;
        let z = match known.get(atom) {
            Some(&z) => z,
            None => {
                words.find(|word| !matches!(*word, "T" | "F")).map(species).transpose()?.ok_or(
                    Problem::Missing {
                        key: "symbol",
                        remedy: "add a line of symbols before the numbers of atoms",
                    },
                )?
            }
        };
        structure.atomic_number.push(z);
        structure.position.push(if is_cartesian {
            [0, 1, 2].map(|axis| at[axis] * factor[axis])
        } else {
            cell::cartesian(at, &cell)
        });
    }
    let property = [("comment".to_owned(), comment)].into();
    Ok((Some(structure), property))
}

fn scale(line: &str) -> Result<Vec<f64>, Problem> {
    let what = "the scale of the cell";
    // A comment may follow the numbers.
    let numbers = line.split_whitespace().take_while(|word| finite(word, what).is_ok());
    let numbers: Vec<f64> = numbers.map(|word| finite(word, what)).collect::<Result<_, _>>()?;
    match numbers.len() {
        1 | 3 => Ok(numbers),
        _ => Err(Problem::Expected { expected: "one scale or three", value: shown(line) }),
    }
}

fn counts(line: &str) -> Result<Vec<usize>, Problem> {
    let numbers = line.split_whitespace().map_while(|word| word.parse::<usize>().ok());
    let (mut counts, mut n_atom) = (Vec::new(), 0_usize);
    for count in numbers {
        n_atom = n_atom.saturating_add(count);
        counts.push(count);
    }
    match n_atom {
        0 => Err(Problem::Expected { expected: "the numbers of atoms", value: shown(line) }),
        n if n > MAX_ATOM => Err(Problem::TooManyAtoms { max: MAX_ATOM }),
        _ => Ok(counts),
    }
}

/// A symbol, which may carry the name of its pseudopotential: `Cr_pv`, `O/1a2b`.
fn species(word: &str) -> Result<u8, Problem> {
    let symbol = word.split(['_', '/']).next().unwrap_or_default();
    atomic_number(symbol).ok_or_else(|| Problem::Element { value: shown(word) })
}
