//! From the listed sites to all atoms of a cell.

use std::collections::HashMap;

use crate::cell;
use crate::symmetry::Operation;

/// Images of a site that are closer than this, in angstrom, are one atom: the site is assumed to
/// lie on a symmetry element, such as `0.333` for one third, and is moved there.
const SAME: f64 = 0.1;

/// Minimum distance of two atoms, in angstrom.
pub(crate) const CLOSEST: f64 = 0.5;

/// Tolerance for rounding, in angstrom.
const ROUNDING: f64 = 1e-3;

/// The result of applying operations to sites.
#[derive(Debug)]
pub(crate) enum Expanded {
    /// All atoms, site after site, within the cell, each with the index of its site.
    Atoms(Vec<(usize, [f64; 3])>),
    /// Atoms of these two sites are too close to each other.
    TooClose { sites: [usize; 2], distance: f64 },
    /// More atoms than allowed.
    TooMany,
}

/// The atoms that a group of operations generates from sites, in fractional coordinates.
pub(crate) fn expand(
    sites: &[[f64; 3]],
    group: &[Operation],
    cell: &[[f64; 3]; 3],
    max: usize,
) -> Expanded {
    let mut atoms: Vec<(usize, [f64; 3])> = Vec::new();
    for (site, &at) in sites.iter().enumerate() {
        let at = settled(at, group, cell);
        let first = atoms.len();
        for operation in group {
            let image = operation.apply(at).map(wrapped);
            let is_new = |&(_, known): &(usize, [f64; 3])| distance(known, image, cell) > SAME;
            let own = distance(at, image, cell);
            if own > ROUNDING && own < CLOSEST {
                return Expanded::TooClose { sites: [site, site], distance: own };
            }
            if atoms[first..].iter().all(is_new) {
                atoms.push((site, image));
            }
            if atoms.len() > max {
                return Expanded::TooMany;
            }
        }
    }
    match closest(&atoms, cell) {
        Some((sites, distance)) => Expanded::TooClose { sites, distance },
        None => Expanded::Atoms(atoms),
    }
}

/// Moves a site to where the operations that nearly preserve it preserve it exactly: the mean of
/// those images.
fn settled(at: [f64; 3], group: &[Operation], cell: &[[f64; 3]; 3]) -> [f64; 3] {
    let (mut sum, mut n) = ([0.0; 3], 0.0);
    for operation in group {
        let step = difference(at, operation.apply(at));
        if length(step, cell) < SAME {
            n += 1.0;
            for (sum, step) in sum.iter_mut().zip(step) {
                *sum += step;
            }
        }
    }
    [0, 1, 2].map(|axis| at[axis] + sum[axis] / n)
}

/// The first pair of atoms closer than [`CLOSEST`]. Atoms are sorted into boxes at least that wide.
fn closest(atoms: &[(usize, [f64; 3])], cell: &[[f64; 3]; 3]) -> Option<([usize; 2], f64)> {
    let volume = cell::volume(cell);
    let n_box = [0, 1, 2].map(|axis| {
        let face = cross(cell[(axis + 1) % 3], cell[(axis + 2) % 3]);
        let width = volume / face.iter().map(|x| x * x).sum::<f64>().sqrt();
        (width / CLOSEST).clamp(1.0, 4096.0) as i32
    });
    let mut boxes: HashMap<[i32; 3], Vec<usize>> = HashMap::with_capacity(atoms.len());
    for (index, &(site, at)) in atoms.iter().enumerate() {
        let home = [0, 1, 2].map(|axis| (at[axis] * f64::from(n_box[axis])) as i32);
        let home = [0, 1, 2].map(|axis| home[axis].min(n_box[axis] - 1));
        for step in 0..27 {
            let near = [0, 1, 2].map(|axis| {
                let step = step / 3_i32.pow(axis as u32) % 3 - 1;
                (home[axis] + step).rem_euclid(n_box[axis])
            });
            for &other in boxes.get(&near).into_iter().flatten() {
                let (other, distance) = (atoms[other].0, distance(atoms[other].1, at, cell));
                if distance < CLOSEST {
                    return Some(([other, site], distance));
                }
            }
        }
        boxes.entry(home).or_default().push(index);
    }
    None
}

fn wrapped(x: f64) -> f64 {
    let wrapped = x - x.floor();
    // Rounding may turn a number just below 0 into 1.
    if wrapped < 1.0 { wrapped } else { 0.0 }
}

/// The vector from one position to the image of another that is nearest in fractional coordinates.
fn difference(from: [f64; 3], to: [f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|axis| {
        let step = to[axis] - from[axis];
        step - step.round()
    })
}

fn length(step: [f64; 3], cell: &[[f64; 3]; 3]) -> f64 {
    cell::cartesian(step, cell).iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn distance(from: [f64; 3], to: [f64; 3], cell: &[[f64; 3]; 3]) -> f64 {
    length(difference(from, to), cell)
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symmetry::from_hall_symbol;

    const CUBE: [[f64; 3]; 3] = [[6.0, 0.0, 0.0], [0.0, 6.0, 0.0], [0.0, 0.0, 6.0]];

    fn atoms(hall: &str, sites: &[[f64; 3]], cell: &[[f64; 3]; 3]) -> Vec<(usize, [f64; 3])> {
        match expand(sites, &from_hall_symbol(hall).unwrap(), cell, 1000) {
            Expanded::Atoms(atoms) => atoms,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sites_on_elements_of_symmetry_have_fewer_atoms() {
        // Rock salt, diamond at the first and at the second choice of origin.
        for (hall, at, n) in [
            ("-F 4 2 3", [0.0, 0.0, 0.0], 4),
            ("-F 4 2 3", [0.5, 0.5, 0.5], 4),
            ("-F 4 2 3", [0.1, 0.2, 0.35], 192),
            ("F 4d 2 3 -1d", [0.0, 0.0, 0.0], 8),
            ("-F 4vw 2vw 3", [0.125, 0.125, 0.125], 8),
            ("-F 4vw 2vw 3", [0.0, 0.0, 0.0], 16),
        ] {
            let cell = CUBE.map(|row| row.map(|x| 2.0 * x));
            assert_eq!(atoms(hall, &[at], &cell).len(), n, "{hall} {at:?}");
        }
    }

    #[test]
    fn a_site_that_is_nearly_special_is_special() {
        let cell = cell::vectors([3.2, 3.2, 5.1], [90.0, 90.0, 120.0]).unwrap();
        let found = atoms("-P 6c 2c", &[[0.333, 0.667, 0.25]], &cell);
        assert_eq!(found.len(), 2);
        for (axis, third) in [1.0 / 3.0, 2.0 / 3.0, 0.25].into_iter().enumerate() {
            assert!((found[0].1[axis] - third).abs() < 1e-12, "{found:?}");
        }
        // Outside of the cell, and just below its edge.
        let found = atoms("P -2", &[[1.25, -1e-17, 0.2]], &CUBE);
        assert_eq!(found, [(0, [0.25, 0.0, 0.2]), (0, [0.25, 0.0, 0.8])]);
    }

    #[test]
    fn atoms_at_one_place_are_reported() {
        let group = from_hall_symbol("-P 1").unwrap();
        let too_close = |sites: &[[f64; 3]], pair: [usize; 2]| {
            let found = expand(sites, &group, &CUBE, 1000);
            let is_pair = matches!(found, Expanded::TooClose { sites, .. } if sites == pair);
            assert!(is_pair, "{found:?}");
        };
        too_close(&[[0.02, 0.0, 0.0]], [0, 0]);
        too_close(&[[0.3, 0.0, 0.99], [0.7, 0.0, 0.0]], [0, 1]);
        assert!(matches!(expand(&[[0.3; 3]], &group, &CUBE, 1), Expanded::TooMany));
    }
}
