//! Crystals whose neighbours are known from the literature or from other programs.

#![allow(clippy::unreadable_literal, reason = "numbers as the entries print them")]

use crate::common::{cell, nearest, positions, radius};
use batchlab_neighbors::connect;

#[test]
fn the_shells_of_a_simple_cubic_lattice() {
    let a = 3.0;
    let cube = cell([a; 3], [90.0; 3]);
    // Neighbours by squared distance in units of a: 6 at 1, 12 at 2, 8 at 3, 6 at 4, 24 at 5.
    for (square, n_edge) in [(0.9, 0), (1.1, 6), (2.1, 18), (3.1, 26), (4.1, 32), (5.1, 56)] {
        let edges = connect(radius(a * f64::sqrt(square)), &[[0.3; 3]], Some(&cube)).expect("sane");
        assert_eq!(edges.n_edge(), n_edge, "{square}");
        assert!(edges.distance.is_sorted());
    }
    let edges = connect(nearest(26), &[[0.3; 3]], Some(&cube)).expect("sane");
    for (edge, distance) in edges.distance.iter().enumerate() {
        let square: f64 = if edge < 6 {
            1.0
        } else if edge < 18 {
            2.0
        } else {
            3.0
        };
        assert!((f64::from(*distance) - a * square.sqrt()).abs() < 1e-6, "{edge}: {distance}");
    }
}

#[test]
fn the_same_lattice_in_a_skewed_basis() {
    // (1, 0, 0), (5, 1, 0), (-7, 4, 1) also span all integers.
    let skewed = [[3., 0., 0.], [15., 3., 0.], [-21., 12., 3.]];
    let edges = connect(radius(3.0 * 3.1_f64.sqrt()), &[[0.; 3]], Some(&skewed)).expect("sane");
    assert_eq!(edges.n_edge(), 26);
    assert_eq!(connect(nearest(56), &[[0.; 3]], Some(&skewed)).expect("sane").n_edge(), 56);
}

#[test]
fn tens_of_thousands_of_atoms_are_no_obstacle() {
    let (n, a) = (27_u32, 3.0);
    let side = |i: u32| a * f64::from(i);
    let grid: Vec<[f64; 3]> =
        (0..n.pow(3)).map(|i| [i % n, i / n % n, i / n / n].map(side)).collect();
    let cube = cell([side(n); 3], [90.0; 3]);
    let n_edge = |rule, cell| connect(rule, &grid, cell).expect("sane").n_edge();
    assert_eq!(n_edge(radius(a * 3.1_f64.sqrt()), Some(&cube)), 26 * grid.len());
    assert_eq!(n_edge(nearest(6), Some(&cube)), 6 * grid.len());
    // Without images, the faces lack a neighbour.
    let n = n as usize;
    assert_eq!(n_edge(radius(a * 1.1), None), 6 * n * n * (n - 1));
    assert_eq!(n_edge(nearest(3), None), 3 * grid.len());
}

/// An entry of AFLOW (aflowlib.org) with the results of another program: the number of edges within
/// 5 angstrom, and the largest distance among the 24 nearest neighbours of each atom.
struct Entry {
    compound: &'static str,
    lengths: [f64; 3],
    angles: [f64; 3],
    fractional: &'static [[f64; 3]],
    n_edge: usize,
    largest: f32,
}

const ENTRIES: [Entry; 7] = [
    Entry {
        compound: "Ac1",
        lengths: [3.995793; 3],
        angles: [60.0; 3],
        fractional: &[[0., 0., 0.]],
        n_edge: 12,
        largest: 6.92,
    },
    Entry {
        compound: "Ba2",
        lengths: [4.276211, 4.276211, 6.97523],
        angles: [90.0, 90.0, 120.0],
        fractional: &[[0., 0., 0.], [0.66666667, 0.33333333, 0.5]],
        n_edge: 24,
        largest: 7.40,
    },
    Entry {
        compound: "Al2Ca2",
        lengths: [6.14778, 6.14778, 5.370551],
        angles: [68.43991, 68.43991, 33.99581],
        fractional: &[
            [0.034212046, 0.034212046, 0.99399257],
            [0.71578795, 0.71578795, 0.75600743],
            [0.27292031, 0.27292031, 0.21207813],
            [0.47707969, 0.47707969, 0.53792187],
        ],
        n_edge: 72,
        largest: 5.65,
    },
    Entry {
        compound: "Ag2Al1",
        lengths: [5.133046; 3],
        angles: [144.7314, 139.2352, 54.98077],
        fractional: &[[0.65876663, 0.65876663, 0.], [0.34123337, 0.34123337, 0.], [0., 0., 0.]],
        n_edge: 78,
        largest: 4.74,
    },
    Entry {
        compound: "Cr1O3Ru1",
        lengths: [3.869824; 3],
        angles: [90.0; 3],
        fractional: &[
            [0., 0., 0.],
            [0., 0.5, 0.5],
            [0.5, 0., 0.5],
            [0.5, 0.5, 0.],
            [0.5, 0.5, 0.5],
        ],
        n_edge: 250,
        largest: 4.33,
    },
    Entry {
        compound: "Ce1La1O8Pr1Y1",
        lengths: [3.9241601, 5.3959954, 7.8482279],
        angles: [90.0; 3],
        fractional: &[
            [0., 0., 0.98608865],
            [0.5, 0.5, 0.25201987],
            [0.5, 0.24924777, 0.98104671],
            [0.5, 0.75075223, 0.98104671],
            [0., 0.77524564, 0.24786592],
            [0., 0.22475436, 0.24786592],
            [0.5, 0.25292212, 0.52035949],
            [0.5, 0.74707788, 0.52035949],
            [0., 0.74130381, 0.75236625],
            [0., 0.25869619, 0.75236625],
            [0.5, 0.5, 0.74595916],
            [0., 0., 0.51265559],
        ],
        n_edge: 504,
        largest: 4.44,
    },
    Entry {
        compound: "Ag2Co2O4",
        lengths: [2.906329, 2.906329, 12.43841],
        angles: [90.0, 90.0, 120.0016],
        fractional: &[
            [0.33330088, 0.66669912, 0.25],
            [0.66669912, 0.33330088, 0.75],
            [0., 0., 0.],
            [0., 0., 0.5],
            [0.33332156, 0.66667844, 0.077539589],
            [0.66667844, 0.33332156, 0.57753959],
            [0.66667844, 0.33332156, 0.92246041],
            [0.33332156, 0.66667844, 0.42246041],
        ],
        n_edge: 324,
        largest: 3.87,
    },
];

#[test]
fn entries_of_aflow() {
    for entry in &ENTRIES {
        let cell = cell(entry.lengths, entry.angles);
        let positions = positions(entry.fractional, &cell);
        let within = connect(radius(5.0), &positions, Some(&cell)).expect("a crystal");
        assert_eq!(within.n_edge(), entry.n_edge, "{}", entry.compound);

        let edges = connect(nearest(24), &positions, Some(&cell)).expect("a crystal");
        assert_eq!(edges.n_edge(), 24 * positions.len(), "{}", entry.compound);
        let largest = edges.distance.iter().copied().fold(0.0, f32::max);
        assert!((largest - entry.largest).abs() < 0.006, "{}: {largest}", entry.compound);
    }
}

/// A slab or a wire with the matching results of `neighbor_list` in ASE 3.29 and
/// `get_neighbor_list` in pymatgen: the neighbours within 5 angstrom, the sum of their distances,
/// and that of the 12 nearest of each atom.
struct Partly {
    name: &'static str,
    cell: [[f64; 3]; 3],
    positions: &'static [[f64; 3]],
    n_edge: usize,
    within: f64,
    nearest: f64,
}

const O: [f64; 3] = [0.0; 3];

const PARTLY: [Partly; 6] = [
    Partly {
        name: "graphene",
        cell: [[2.46, 0., 0.], [-1.23, 2.130422493309719, 0.], O],
        positions: &[O, [1.23, 0.710141, 0.]],
        n_edge: 60,
        within: 210.347755,
        nearest: 55.085070,
    },
    Partly {
        name: "MoS2",
        cell: [[3.18, 0., 0.], [-1.59, 2.753960784034515, 0.], O],
        positions: &[O, [1.59, 0.917987, 1.595], [1.59, 0.917987, -1.595]],
        n_edge: 56,
        within: 194.896625,
        nearest: 108.818103,
    },
    Partly {
        name: "three layers of copper",
        cell: [[2.5526554800834367, 0., 0.], [1.2763277400417183, 2.210664492861818, 0.], O],
        positions: &[[1.276328, 0.736888, 0.], [0., 1.473776, 2.084234], [0., 0., 4.168469]],
        n_edge: 90,
        within: 332.123456,
        nearest: 98.239664,
    },
    Partly {
        name: "silicon along the first and third vector",
        cell: [[0., 2.715, 2.715], O, [2.715, 2.715, 0.]],
        positions: &[O, [1.3575; 3]],
        n_edge: 24,
        within: 87.196541,
        nearest: 87.196541,
    },
    Partly {
        name: "a row of rock salt",
        cell: [O, O, [2.82, 2.82, 0.]],
        positions: &[O, [2.82, 0., 0.]],
        n_edge: 8,
        within: 27.232329,
        nearest: 172.887439,
    },
    Partly {
        name: "a wire",
        cell: [[2.5, 0.3, -0.2], O, O],
        positions: &[O, [1.2, 0.5, 0.3], [0., 1.1, 0.], [1.2, -0.6, 0.3]],
        n_edge: 52,
        within: 136.569988,
        nearest: 119.484685,
    },
];

#[test]
fn slabs_and_wires_as_other_programs_see_them() {
    for Partly { name, cell, positions, n_edge, within, nearest: twelve } in &PARTLY {
        let sum = |rule| {
            let edges = connect(rule, positions, Some(cell)).expect("a slab or wire");
            (edges.n_edge(), edges.distance.iter().copied().map(f64::from).sum::<f64>())
        };
        let (n, distance) = sum(radius(5.0));
        assert!(n == *n_edge && (distance - within).abs() < 1e-3, "{name}: {n} {distance}");
        let (n, distance) = sum(nearest(12));
        assert!(
            n == 12 * positions.len() && (distance - twelve).abs() < 1e-3,
            "{name}: {distance}"
        );
    }
}
