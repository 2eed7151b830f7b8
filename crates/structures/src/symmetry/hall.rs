//! Hall symbols: generators of a space group, written as text (S. R. Hall, Acta Cryst. A37 (1981)
//! 517; International Tables B, appendix A1.4.2).

use crate::symmetry::{COMMON_PARTS, Operation, PARTS, generate};

/// One twelfth, the unit of origins in Hall symbols, in parts of a cell.
const TWELFTH: i32 = PARTS / 12;

/// The operations of a Hall symbol, `None` if the text is not one.
pub(crate) fn operations(symbol: &str) -> Option<Vec<Operation>> {
    // Some files write underscores for blanks, `^` for `'` and `=` for `"`.
    let symbol = symbol.replace('_', " ").replace('^', "'").replace('=', "\"");
    let (symbol, origin) = match symbol.split_once('(') {
        Some((symbol, origin)) => (symbol, shift(origin.trim().strip_suffix(')')?)?),
        None => (symbol.as_str(), [0; 3]),
    };
    let mut words = symbol.split_whitespace();
    let mut lattice = words.next()?;
    let mut generators = Vec::new();
    if let Some(letter) = lattice.strip_prefix('-') {
        lattice = letter;
        generators.push(Operation::new([[-1, 0, 0], [0, -1, 0], [0, 0, -1]], [0; 3]));
    }
    for translation in centering(lattice)? {
        let parts = translation.map(|part| part * TWELFTH);
        generators.push(Operation::new(Operation::IDENTITY.rotation, parts));
    }
    let mut before = None;
    for (at, word) in words.enumerate() {
        let (operation, order, axis) = generator(word, at, before)?;
        generators.push(operation);
        before = Some((order, axis));
    }
    let generators: Vec<_> = generators.iter().map(|operation| operation.about(origin)).collect();
    generate(&generators)
}

/// `0 0 4`, in twelfths, or a change of basis that only moves the origin, `x, y, z+1/3`.
fn shift(text: &str) -> Option<[i32; 3]> {
    if text.contains(',') {
        let change = Operation::parse(text)?;
        return (change.rotation == Operation::IDENTITY.rotation).then_some(change.translation);
    }
    let parts: Option<Vec<i32>> =
        text.split_whitespace().map(|word| Some(word.parse::<i8>().ok()?.into())).collect();
    Some(<[i32; 3]>::try_from(parts?).ok()?.map(|part| part * TWELFTH))
}

/// Lattice translations besides whole cells, in twelfths.
fn centering(letter: &str) -> Option<Vec<[i32; 3]>> {
    Some(match letter.to_ascii_uppercase().as_str() {
        "P" => Vec::new(),
        "A" => vec![[0, 6, 6]],
        "B" => vec![[6, 0, 6]],
        "C" => vec![[6, 6, 0]],
        "I" => vec![[6, 6, 6]],
        "R" => vec![[8, 4, 4]],
        "F" => vec![[0, 6, 6], [6, 0, 6]],
        _ => return None,
    })
}

/// One word, such as `-2yab`: its operation, its order and its axis. An omitted axis follows from
/// the position of the word and from the previous word.
fn generator(
    word: &str,
    at: usize,
    before: Option<(char, char)>,
) -> Option<(Operation, char, char)> {
    let word = word.to_ascii_lowercase();
    let (is_improper, rest) = word.strip_prefix('-').map_or((false, &*word), |rest| (true, rest));
    let mut rest = rest.chars().peekable();
    let order = rest.next()?;
    // A principal axis, one across it (`'`, `"`), or the diagonal of a cube (`*`).
    let diagonal = rest.next_if(|c| matches!(c, '\'' | '"'));
    let axis = rest.next_if(|c| matches!(c, 'x' | 'y' | 'z' | '*'));
    let (diagonal, axis) = match (diagonal, axis, order, at, before) {
        (_, Some(axis), ..) => (diagonal, axis),
        (None, None, '1', ..) | (None, None, _, 0, _) => (None, 'z'),
        (Some(_), None, _, _, Some((_, axis))) if axis != '*' => (diagonal, axis),
        (None, None, '2', 1, Some(('2' | '4', _))) => (None, 'x'),
        (None, None, '2', 1, Some(('3' | '6', axis))) => {
            (Some('\''), if axis == '*' { 'z' } else { axis })
        }
        (None, None, '3', 2, _) => (None, '*'),
        _ => return None,
    };
    let rotation = turned(rotation(order, diagonal, axis)?, axis);
    let rotation = if is_improper { rotation.map(|row| row.map(|x| -x)) } else { rotation };
    let mut translation = [0; 3];
    for letter in rest {
        let common = match letter {
            'a' => [12, 0, 0],
            'b' => [0, 12, 0],
            'c' => [0, 0, 12],
            'n' => [12, 12, 12],
            'u' => [6, 0, 0],
            'v' => [0, 6, 0],
            'w' => [0, 0, 6],
            'd' => [6, 6, 6],
            _ => {
                let screw = letter.to_digit(10)? as i32 * COMMON_PARTS;
                let mut along = [0; 3];
                *along.get_mut("xyz".find(axis)?)? = screw / order.to_digit(10)? as i32;
                along
            }
        };
        for (sum, part) in translation.iter_mut().zip(common) {
            *sum += part * (PARTS / COMMON_PARTS);
        }
    }
    Some((Operation::new(rotation, translation), order, axis))
}

/// The matrix of a rotation about z; `*` is the diagonal a + b + c.
fn rotation(order: char, diagonal: Option<char>, axis: char) -> Option<[[i32; 3]; 3]> {
    Some(match (order, diagonal, axis) {
        ('3', None, '*') => [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        (_, _, '*') => return None,
        ('2', Some('\''), _) => [[0, -1, 0], [-1, 0, 0], [0, 0, -1]],
        ('2', Some(_), _) => [[0, 1, 0], [1, 0, 0], [0, 0, -1]],
        ('1', None, _) => Operation::IDENTITY.rotation,
        ('2', None, _) => [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
        ('3', None, _) => [[0, -1, 0], [1, -1, 0], [0, 0, 1]],
        ('4', None, _) => [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
        ('6', None, _) => [[1, -1, 0], [1, 0, 0], [0, 0, 1]],
        _ => return None,
    })
}

/// Converts a rotation about z to one about another axis, by cyclic permutation of the axes.
fn turned(rotation: [[i32; 3]; 3], axis: char) -> [[i32; 3]; 3] {
    let by = match axis {
        'x' => 1,
        'y' => 2,
        _ => return rotation,
    };
    let mut turned = [[0; 3]; 3];
    for (i, row) in rotation.iter().enumerate() {
        for (j, &factor) in row.iter().enumerate() {
            turned[(i + by) % 3][(j + by) % 3] = factor;
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_give_groups_of_the_right_size() {
        for (symbol, n) in [
            ("P 1", 1),
            ("-P 1", 2),
            ("-P 2ybc", 4),
            ("P 31 2 (0 0 4)", 6),
            ("-P_6c_2c", 24),
            ("-R 3 2\"", 36),
            ("-P 3* 2n", 12),
            ("F 4d 2 3 -1ad", 192),
            ("-I 4bd 2c 3", 96),
            ("-P 2ac 2ab (x,y,z+1/4)", 8),
        ] {
            assert_eq!(operations(symbol).map(|group| group.len()), Some(n), "{symbol}");
        }
        let moved = operations("P 2 (3 0 0)").unwrap()[1];
        assert_eq!(moved.to_string(), "-x+1/2, -y, z");
        for wrong in
            ["", "-", "Q 1", "P 5", "P 2q", "P 2 2 4", "P 2 (0 0)", "P 2 (0 0 1", "P 3* 2*"]
        {
            assert!(operations(wrong).is_none(), "{wrong}");
        }
    }
}
