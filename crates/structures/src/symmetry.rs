//! Space groups: operations as listed in files, groups by symbol or number, and the atoms generated
//! from the listed sites.

mod hall;
mod orbit;
mod setting;

use std::collections::HashSet;
use std::fmt::{self, Write as _};

pub(crate) use hall::operations as from_hall_symbol;
pub(crate) use orbit::{Expanded, expand};
pub(crate) use setting::Statement;

use crate::cell;

/// Translations are multiples of this fraction of a cell, so that operations can be compared
/// exactly.
const PARTS: i32 = 5040;

/// All 230 groups have translations in these fractions; decimal numbers such as `0.333` are rounded
/// to them.
const COMMON_PARTS: i32 = 24;

/// Groups with more operations than this are rejected. Conventional cells have up to 192.
const MAX_OPERATION: usize = 1024;

/// Maximum size of coordinate factors; products of two fit into 32 bits.
const MAX_FACTOR: i32 = 64;

/// Maps `x` to `rotation * x + translation`, in fractional coordinates.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Operation {
    rotation: [[i32; 3]; 3],
    /// In parts of a cell, each from 0 to below [`PARTS`].
    translation: [i32; 3],
}

impl Operation {
    pub(crate) const IDENTITY: Self =
        Self { rotation: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], translation: [0; 3] };

    fn new(rotation: [[i32; 3]; 3], translation: [i32; 3]) -> Self {
        Self { rotation, translation: translation.map(|part| part.rem_euclid(PARTS)) }
    }

    /// Parses `-x, y+1/2, -z`; a fourth component, the time reversal in magnetic groups, moves no
    /// atom.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let mut parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts.len() == 4 && ["+1", "-1", "1"].contains(&parts[3]) {
            parts.pop();
        }
        let [Some(x), Some(y), Some(z)] = <[&str; 3]>::try_from(parts).ok()?.map(component) else {
            return None;
        };
        let operation = Self::new([x.0, y.0, z.0], [x.1, y.1, z.1]);
        (operation.determinant().abs() == 1).then_some(operation)
    }

    fn determinant(&self) -> i32 {
        let [a, b, c] = self.rotation;
        a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
            + a[2] * (b[0] * c[1] - b[1] * c[0])
    }

    /// `self` after `first`.
    pub(crate) fn after(&self, first: &Self) -> Self {
        let rotation = self.rotation.map(|row| {
            [0, 1, 2].map(|column| (0..3).map(|k| row[k] * first.rotation[k][column]).sum())
        });
        let moved = self.rotated(first.translation);
        Self::new(rotation, [0, 1, 2].map(|axis| moved[axis] + self.translation[axis]))
    }

    /// The same operation with the origin moved by `shift`, in parts of a cell.
    fn about(&self, shift: [i32; 3]) -> Self {
        let moved = self.rotated(shift);
        let translation = [0, 1, 2].map(|axis| self.translation[axis] + shift[axis] - moved[axis]);
        Self::new(self.rotation, translation)
    }

    fn rotated(&self, vector: [i32; 3]) -> [i32; 3] {
        self.rotation.map(|row| (0..3).map(|k| row[k] * vector[k]).sum())
    }

    fn apply(&self, at: [f64; 3]) -> [f64; 3] {
        [0, 1, 2].map(|axis| {
            let rotated: f64 = (0..3).map(|k| f64::from(self.rotation[axis][k]) * at[k]).sum();
            rotated + f64::from(self.translation[axis]) / f64::from(PARTS)
        })
    }

    /// Whether lengths and angles of a cell are preserved, within 1 % of a length.
    fn fits(&self, cell: &[[f64; 3]; 3]) -> bool {
        let metric = |vectors: &[[f64; 3]; 3]| {
            [0, 1, 2].map(|i| {
                [0, 1, 2].map(|j| (0..3).map(|k| vectors[i][k] * vectors[j][k]).sum::<f64>())
            })
        };
        let column = |j: usize| [0, 1, 2].map(|i| f64::from(self.rotation[i][j]));
        let moved = [0, 1, 2].map(|j| cell::cartesian(column(j), cell));
        let (before, after) = (metric(cell), metric(&moved));
        (0..3).all(|i| {
            (0..3).all(|j| {
                let scale = (before[i][i] * before[j][j]).sqrt();
                (before[i][j] - after[i][j]).abs() <= 0.02 * scale
            })
        })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let components = [0, 1, 2].map(|axis| -> Result<String, fmt::Error> {
            let mut text = String::new();
            for (factor, name) in self.rotation[axis].iter().zip(["x", "y", "z"]) {
                match factor {
                    0 => {}
                    1 => write!(text, "+{name}")?,
                    -1 => write!(text, "-{name}")?,
                    _ => write!(text, "{factor:+}{name}")?,
                }
            }
            let part = self.translation[axis];
            let divides = |d: &i32| part % d == 0 && PARTS % d == 0;
            if let Some(divisor) = (1..=part).rev().find(divides) {
                write!(text, "+{}/{}", part / divisor, PARTS / divisor)?;
            }
            Ok(text.trim_start_matches('+').to_owned())
        });
        let [x, y, z] = components;
        write!(f, "{}, {}, {}", x?, y?, z?)
    }
}

/// One component of an operation, such as `1/2-x+y`: factors and translation.
fn component(text: &str) -> Option<([i32; 3], i32)> {
    let text: String = text.chars().filter(|c| !c.is_whitespace() && *c != '*').collect();
    let (mut factors, mut translation) = ([0; 3], 0.0);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let sign = if rest.starts_with('-') { -1 } else { 1 };
        rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let end = rest.find(|c: char| !c.is_ascii_digit() && !"./".contains(c));
        let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
        let axis = after.chars().next().and_then(|name| "xyz".find(name));
        rest = if axis.is_some() { &after[1..] } else { after };
        match axis {
            Some(axis) => {
                let factor = if number.is_empty() { 1 } else { number.parse::<u8>().ok()? };
                factors[axis] += sign * i32::from(factor);
            }
            None => translation += f64::from(sign) * fraction(number)?,
        }
        if !(rest.is_empty() || rest.starts_with(['+', '-'])) {
            return None;
        }
    }
    let common = translation * f64::from(COMMON_PARTS);
    let is_common = (common - common.round()).abs() < 0.03;
    let parts = if is_common {
        common.round() * f64::from(PARTS / COMMON_PARTS)
    } else {
        (translation * f64::from(PARTS)).round()
    };
    let is_small = parts.abs() < 1e6 && factors.iter().all(|factor| factor.abs() <= MAX_FACTOR);
    (!text.is_empty() && is_small).then_some((factors, parts as i32))
}

fn fraction(text: &str) -> Option<f64> {
    let (above, below) = text.split_once('/').unwrap_or((text, "1"));
    let value = above.parse::<f64>().ok()? / below.parse::<f64>().ok()?;
    value.is_finite().then_some(value)
}

/// All products of some operations, the identity first; `None` if there are infinitely many.
fn generate(generators: &[Operation]) -> Option<Vec<Operation>> {
    let mut group = vec![Operation::IDENTITY];
    let mut known: HashSet<Operation> = group.iter().copied().collect();
    let mut used: Vec<Operation> = Vec::new();
    for generator in generators {
        if known.contains(generator) {
            continue;
        }
        used.push(*generator);
        let mut at = 0;
        while at < group.len() {
            for factor in &used {
                let product = factor.after(&group[at]);
                if product.rotation.as_flattened().iter().any(|factor| factor.abs() > MAX_FACTOR) {
                    return None;
                }
                if known.insert(product) {
                    group.push(product);
                }
            }
            if group.len() > MAX_OPERATION {
                return None;
            }
            at += 1;
        }
    }
    Some(group)
}

/// Whether a list is closed under composition.
pub(crate) fn is_group(listed: &[Operation]) -> bool {
    let distinct: HashSet<&Operation> = listed.iter().collect();
    distinct.contains(&Operation::IDENTITY)
        && generate(listed).is_some_and(|group| group.len() == distinct.len())
}

/// The first operation that would change the shape of a cell.
pub(crate) fn misfit<'a>(
    operations: &'a [Operation],
    cell: &[[f64; 3]; 3],
) -> Option<&'a Operation> {
    operations.iter().find(|operation| !operation.fits(cell))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_in_all_spellings() {
        let same = |text: &str, shown: &str| {
            assert_eq!(Operation::parse(text).map(|o| o.to_string()).as_deref(), Some(shown));
        };
        same("x,y,z", "x, y, z");
        same(" -X , 1/2+Y, -z+.5 ", "-x, y+1/2, -z+1/2");
        same("+x-y, x, z+0.333", "x-y, x, z+1/3");
        same("y+5/6, -1/4 + 1*z, x-1/8,-1", "y+5/6, z+3/4, x+7/8");
        same("x+y, 2y+z, y+z+1/5", "x+y, 2y+z, y+z+1/5");
        for wrong in [
            "",
            "x,y",
            "x,y,z,w",
            "x,y,z,2",
            "x,x,z",
            "x,y,q",
            "x,y,z/2",
            "x,y,1/0+z",
            "x,y,zz",
            "x,y,",
            "x y z",
            "x,y,--z",
            "x,y,300z",
            "x,y,z+99z",
            "x,y,1e9z",
            "x,y,1/2 1/2+z",
            "x,y,ä",
        ] {
            assert!(Operation::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_list_is_a_group_with_all_its_products() {
        let list = |texts: &[&str]| texts.iter().map(|t| Operation::parse(t).unwrap()).collect();
        let glide: Vec<_> = list(&["x,y,z", "-x,1/2+y,1/2-z", "-x,-y,-z", "x,1/2-y,1/2+z"]);
        assert!(is_group(&glide));
        assert!(is_group(&[&glide[..], &glide[..1]].concat()));
        assert!(!is_group(&glide[..3]) && !is_group(&glide[1..]) && !is_group(&[]));
        // A translation by an uncommon fraction does not close.
        assert!(!is_group(&list(&["x,y,z", "x+0.1234,y,z"])));
    }
}
