//! POSCAR and CONTCAR of VASP, version 5 (symbols in a separate line) and version 4 (symbols after
//! the positions, as written by AFLOW, or in the comment).

use std::io::BufRead;

use crate::cell;
use crate::element::atomic_number;
use crate::error::{Problem, shown};
use crate::format::aflow::Content;
use crate::limits::{MAX_ATOM, TRUSTED_ATOM};
use crate::lines::{Fault, Lines};
use crate::number::{finite, three};
use crate::structure::Structure;

const MODE: &str = "`Direct` or `Cartesian`";

/// Reads one structure and ignores the rest, such as velocities. Returns what was guessed about its
/// elements.
pub(crate) fn read(
    stream: impl BufRead,
    visit: &mut dyn FnMut(usize, Content) -> Result<(), Fault>,
) -> Result<Option<String>, (usize, Fault)> {
    let mut lines = Lines::new(stream);
    let (content, guess) = structure(&mut lines).map_err(|fault| (lines.number(), fault))?;
    visit(1, content).map_err(|fault| (1, fault))?;
    Ok(guess)
}

fn structure(lines: &mut Lines<impl BufRead>) -> Result<(Content, Option<String>), Fault> {
    let comment = lines.expect("a comment")?.trim().to_owned();
    let scale = scale(lines.expect("the scale of the cell")?)?;
    let mut cell = [[0.0; 3]; 3];
    for row in &mut cell {
        let line = lines.expect("a vector of the cell")?;
        *row = three(line, "a vector of the cell")?.0;
        if row.iter().all(|&x| x == 0.0) {
            let expected =
                "a vector of the cell with a length, since POSCAR repeats along all three";
            return Err(Problem::Expected { expected, value: shown(line) }.into());
        }
    }
    // A negative scale is the desired volume of the cell.
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

    let mut guess = None;
    let (symbols, counts, mode) = composition(lines)?;
    let n_atom: usize = counts.iter().sum();
    let of_all = |symbols: &[u8]| -> Vec<u8> {
        symbols.iter().zip(&counts).flat_map(|(&z, &n)| std::iter::repeat_n(z, n)).collect()
    };
    if symbols.len() > counts.len() {
        guess = Some(format!(
            "{} symbols, but {} numbers of atoms; the first symbols are taken",
            symbols.len(),
            counts.len()
        ));
    }
    let is_selective = mode.starts_with(['S', 's']);
    let mode = if is_selective { lines.expect(MODE)?.trim().to_owned() } else { mode };
    let is_cartesian = match mode.chars().next() {
        // `Fractional` is written by other programs.
        Some('D' | 'd' | 'F' | 'f') => false,
        Some('C' | 'c' | 'K' | 'k') => true,
        _ => return Err(Problem::Expected { expected: MODE, value: shown(&mode) }.into()),
    };

    let mut structure = Structure { cell: Some(cell), ..Structure::default() };
    structure.position.reserve(n_atom.min(TRUSTED_ATOM));
    let mut behind = Vec::new();
    for _ in 0..n_atom {
        let line = lines.expect("a position")?;
        let (at, words) = three(line, "a position")?;
        if symbols.is_empty() && behind.len() == structure.position.len() {
            let words: Vec<&str> = words.take_while(|word| !is_comment(word)).collect();
            let word = words.get(if is_selective && words.len() > 2 { 3 } else { 0 });
            behind.extend(word.map(|word| species(word)).transpose()?);
        }
        structure.position.push(if is_cartesian {
            [0, 1, 2].map(|axis| at[axis] * factor[axis])
        } else {
            cell::cartesian(at, &cell)
        });
    }
    structure.atomic_number = if !symbols.is_empty() {
        of_all(&symbols)
    } else if behind.len() == n_atom {
        behind
    } else {
        let symbols = symbols_of(&comment, counts.len()).ok_or(Problem::Missing {
            key: "symbol",
            remedy: "add a line of symbols before the numbers of atoms",
        })?;
        guess = Some(format!("the elements are taken from the comment `{}`", shown(&comment)));
        of_all(&symbols)
    };
    let property = [("comment".to_owned(), comment)].into();
    Ok(((Some(structure), property), guess))
}

/// The symbols (none in version 4), the numbers of atoms, and the line after them. VASP writes at
/// most 20 of each per line.
fn composition(lines: &mut Lines<impl BufRead>) -> Result<(Vec<u8>, Vec<usize>, String), Fault> {
    let is_number = |line: &str| line.trim_start().starts_with(|c: char| c.is_ascii_digit());
    let mut symbols = Vec::new();
    let mut line = lines.expect("the numbers of atoms")?.to_owned();
    while !is_number(&line) {
        if symbols.len() > MAX_ATOM {
            return Err(Problem::TooManyAtoms { max: MAX_ATOM }.into());
        }
        for word in line.split_whitespace().take_while(|word| !is_comment(word)) {
            symbols.push(species(word)?);
        }
        lines.expect("the numbers of atoms")?.clone_into(&mut line);
    }
    let mut numbers = counts(&line)?;
    let mut mode = lines.expect(MODE)?.trim().to_owned();
    while numbers.len() < symbols.len() && is_number(&mode) {
        numbers.extend(counts(&mode)?);
        lines.expect(MODE)?.trim().clone_into(&mut mode);
    }
    if numbers.iter().sum::<usize>() > MAX_ATOM {
        return Err(Problem::TooManyAtoms { max: MAX_ATOM }.into());
    }
    if !symbols.is_empty() && symbols.len() < numbers.len() {
        let value = format!("{} symbols and {} numbers", symbols.len(), numbers.len());
        let expected = "as many symbols as numbers of atoms";
        return Err(Problem::Expected { expected, value }.into());
    }
    Ok((symbols, numbers, mode))
}

fn is_comment(word: &str) -> bool {
    word.starts_with(['!', '#'])
}

/// The symbols in a comment such as `Na Cl`, `NaCl bulk` or `Na2 Cl2`, if there are as many as
/// numbers of atoms.
fn symbols_of(comment: &str, n: usize) -> Option<Vec<u8>> {
    let mut symbols: Vec<u8> = Vec::new();
    for word in comment.split_whitespace() {
        // For a formula, each element once.
        let mut formula = crate::structure::composition(word).unwrap_or_default();
        formula.dedup();
        symbols.append(&mut formula);
    }
    (symbols.len() == n).then_some(symbols)
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
    let wrong = || Problem::Expected { expected: "the numbers of atoms", value: shown(line) };
    let (mut counts, mut n_atom) = (Vec::new(), 0_usize);
    for word in line.split_whitespace() {
        match word.parse::<usize>() {
            Ok(count) => {
                n_atom = n_atom.saturating_add(count);
                counts.push(count);
            }
            // `2.0` and `3*1` are not counts; anything else is a comment.
            Err(_)
                if word
                    .trim_start_matches(['-', '+', '.'])
                    .starts_with(|c: char| c.is_ascii_digit()) =>
            {
                return Err(wrong());
            }
            Err(_) => break,
        }
    }
    match n_atom {
        0 => Err(wrong()),
        n if n > MAX_ATOM => Err(Problem::TooManyAtoms { max: MAX_ATOM }),
        _ => Ok(counts),
    }
}

/// A symbol, possibly with the name of its pseudopotential: `Cr_pv`, `O/1a2b`.
fn species(word: &str) -> Result<u8, Problem> {
    let symbol = word.split(['_', '/']).next().unwrap_or_default();
    atomic_number(symbol).ok_or_else(|| Problem::Element { value: shown(word) })
}
