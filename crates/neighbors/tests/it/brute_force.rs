//! Comparison with brute force, three nested loops over a block of images, for random cells and
//! structures.

use crate::common::{cell, nearest, positions, radius, unit_volume};
use batchlab_core::EdgeRule;
use batchlab_neighbors::{Neighbors, connect};
use proptest::prelude::*;

/// Maximum difference between the two computations, in angstrom: rounding to f32, below 100
/// angstrom.
const TOLERANCE: f64 = 1e-5;

#[derive(Debug, Clone)]
struct Crystal {
    lengths: [f64; 3],
    angles: [f64; 3],
    /// The vectors along which it is periodic.
    repeats: [bool; 3],
    fractional: Vec<[f64; 3]>,
}

#[derive(Debug, Clone, Copy)]
struct Edge {
    receiver: u32,
    sender: u32,
    distance: f64,
    displacement: [f64; 3],
}

impl Crystal {
    fn cell(&self) -> [[f64; 3]; 3] {
        cell(self.lengths, self.angles)
    }

    fn positions(&self) -> Vec<[f64; 3]> {
        positions(&self.fractional, &self.cell())
    }

    fn connect(&self, rule: EdgeRule) -> Neighbors {
        let mut cell = self.cell();
        for k in (0..3).filter(|&k| !self.repeats[k]) {
            cell[k] = [0.0; 3];
        }
        connect(rule, &self.positions(), Some(&cell)).expect("a sane crystal")
    }

    /// Number of images in each direction that contain every neighbour within a radius: heights
    /// come from lengths and angles alone, atoms may lie up to `spread` cells apart, and there is
    /// one spare image.
    fn block(&self, radius: f64) -> [i32; 3] {
        let spread =
            1.0 + 2.0 * self.fractional.as_flattened().iter().fold(0.0, |m, f| f.abs().max(m));
        // Atoms that are apart along a vector without images may lie over other cells.
        let open = (0..3).filter(|&k| !self.repeats[k]).map(|k| self.lengths[k]).sum::<f64>();
        [0, 1, 2].map(|k| {
            let height =
                self.lengths[k] * unit_volume(self.angles) / self.angles[k].to_radians().sin();
            let n = (radius / height + spread * (1.0 + open / height)).ceil() as i32;
            if self.repeats[k] { n } else { 0 }
        })
    }

    fn brute_force(&self, radius: f64) -> Vec<Edge> {
        let (cell, positions, [ni, nj, nk]) = (self.cell(), self.positions(), self.block(radius));
        let mut edges = Vec::new();
        for (receiver, to) in positions.iter().enumerate() {
            for (sender, from) in positions.iter().enumerate() {
                for i in -ni..=ni {
                    for j in -nj..=nj {
                        for k in -nk..=nk {
                            if receiver == sender && (i, j, k) == (0, 0, 0) {
                                continue;
                            }
                            let [i, j, k] = [i, j, k].map(f64::from);
                            let image = [0, 1, 2].map(|axis| {
                                from[axis]
                                    + i * cell[0][axis]
                                    + j * cell[1][axis]
                                    + k * cell[2][axis]
                            });
                            let displacement = [0, 1, 2].map(|axis| to[axis] - image[axis]);
                            let distance = displacement.iter().map(|x| x * x).sum::<f64>().sqrt();
                            if distance < radius {
                                let (receiver, sender) = (receiver as u32, sender as u32);
                                edges.push(Edge { receiver, sender, distance, displacement });
                            }
                        }
                    }
                }
            }
        }
        edges
    }
}

fn edges(neighbors: &Neighbors) -> Vec<Edge> {
    (0..neighbors.n_edge())
        .map(|edge| Edge {
            receiver: neighbors.receiver[edge],
            sender: neighbors.sender[edge],
            distance: f64::from(neighbors.distance[edge]),
            displacement: neighbors.displacement[edge].map(f64::from),
        })
        .collect()
}

fn same(a: &Edge, b: &Edge) -> bool {
    (a.receiver, a.sender) == (b.receiver, b.sender)
        && (a.distance - b.distance).abs() < TOLERANCE
        && [0, 1, 2].iter().all(|&k| (a.displacement[k] - b.displacement[k]).abs() < TOLERANCE)
}

/// The edges of `some` without a matching edge in `all`.
fn unmatched(some: &[Edge], all: &[Edge]) -> Vec<Edge> {
    let mut left = all.to_vec();
    let mut lonely = Vec::new();
    for edge in some {
        match left.iter().position(|other| same(edge, other)) {
            Some(at) => drop(left.swap_remove(at)),
            None => lonely.push(*edge),
        }
    }
    lonely
}

fn check_order(neighbors: &Neighbors) -> Result<(), TestCaseError> {
    prop_assert!(neighbors.receiver.is_sorted());
    for row in edges(neighbors).chunk_by(|a, b| a.receiver == b.receiver) {
        prop_assert!(row.is_sorted_by(|a, b| a.distance <= b.distance), "{:?}", row);
    }
    for edge in edges(neighbors) {
        let length = edge.displacement.iter().map(|x| x * x).sum::<f64>().sqrt();
        prop_assert!((length - edge.distance).abs() < TOLERANCE, "{:?}", edge);
    }
    Ok(())
}

/// Cells with any angles between 30 and 150 degrees that are not too flat, with atoms inside and
/// outside, periodic along at least one vector.
fn crystals() -> impl Strategy<Value = Crystal> {
    let lengths = prop::array::uniform3(1.5..7.0);
    let angles = prop::array::uniform3(30.0..150.0)
        .prop_filter("angles of a cell", |&angles| unit_volume(angles) > 0.15);
    let fractional = prop::collection::vec(prop::array::uniform3(-1.5..1.5), 1..5);
    // Half of them are crystals, the others slabs and wires.
    let repeats = (any::<bool>(), prop::array::uniform3(any::<bool>()));
    let repeats = repeats.prop_map(|(all, some)| if all { [true; 3] } else { some });
    let repeats = repeats.prop_filter("a crystal, slab or wire", |some| some.contains(&true));
    (lengths, angles, repeats, fractional).prop_map(|(lengths, angles, repeats, fractional)| {
        Crystal { lengths, angles, repeats, fractional }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_radius_finds_every_image(crystal in crystals(), r in 0.5..5.0) {
        let found = crystal.connect(radius(r));
        check_order(&found)?;
        let expected = crystal.brute_force(r);
        // Rounding decides about anything at the radius itself.
        let clear = |edges: Vec<Edge>| {
            edges.into_iter().filter(|e| (e.distance - r).abs() > TOLERANCE).collect::<Vec<_>>()
        };
        let missing = clear(unmatched(&expected, &edges(&found)));
        let invented = clear(unmatched(&edges(&found), &expected));
        prop_assert!(missing.is_empty() && invented.is_empty(), "{missing:?} {invented:?}");
    }

    #[test]
    fn every_edge_has_its_reverse(crystal in crystals(), r in 0.5..5.0) {
        let found = crystal.connect(radius(r));
        // Adding 0, or subtracting from it, turns -0 into 0.
        let mut forward: Vec<_> = (0..found.n_edge())
            .map(|e| (found.receiver[e], found.sender[e], found.displacement[e].map(|x| (x + 0.0).to_bits())))
            .collect();
        let mut reverse: Vec<_> = (0..found.n_edge())
            .map(|e| (found.sender[e], found.receiver[e], found.displacement[e].map(|x| (0.0 - x).to_bits())))
            .collect();
        forward.sort_unstable();
        reverse.sort_unstable();
        prop_assert_eq!(forward, reverse);
    }

    #[test]
    fn the_nearest_are_the_nearest_of_all(crystal in crystals(), k in 1_usize..40) {
        let found = crystal.connect(nearest(k));
        check_order(&found)?;
        prop_assert_eq!(found.n_edge(), k * crystal.fractional.len());
        let largest = found.distance.iter().copied().fold(0.0, f32::max);
        let all = crystal.brute_force(f64::from(largest) + 0.1);
        prop_assert_eq!(unmatched(&edges(&found), &all).len(), 0);
        for (receiver, row) in edges(&found).chunks(k).enumerate() {
            let mut distances: Vec<f64> =
                all.iter().filter(|e| e.receiver as usize == receiver).map(|e| e.distance).collect();
            distances.sort_unstable_by(f64::total_cmp);
            for (edge, expected) in row.iter().zip(&distances) {
                prop_assert_eq!(edge.receiver as usize, receiver);
                prop_assert!((edge.distance - expected).abs() < TOLERANCE);
            }
        }
    }

    #[test]
    fn moving_an_atom_by_a_vector_of_the_cell_changes_no_edge(
        crystal in crystals(), moves in prop::collection::vec(prop::array::uniform3(-2_i32..3), 5)
    ) {
        let mut moved = crystal.clone();
        for (fractional, by) in moved.fractional.iter_mut().zip(&moves) {
            *fractional =
                [0, 1, 2].map(|k| fractional[k] + f64::from(by[k] * i32::from(crystal.repeats[k])));
        }
        let (before, after) = (crystal.connect(radius(4.0)), moved.connect(radius(4.0)));
        let inside = |edges: Vec<Edge>| {
            edges.into_iter().filter(|e| (e.distance - 4.0).abs() > TOLERANCE).count()
        };
        prop_assert_eq!(inside(unmatched(&edges(&before), &edges(&after))), 0);
        prop_assert_eq!(inside(unmatched(&edges(&after), &edges(&before))), 0);
    }

    #[test]
    fn an_open_structure_is_a_crystal_in_a_large_box(
        atoms in prop::collection::vec(prop::array::uniform3(0.0..5.0), 2..8), r in 0.5..10.0
    ) {
        let apart = cell([30.0; 3], [90.0; 3]);
        let open = connect(radius(r), &atoms, None).expect("open");
        prop_assert_eq!(&open, &connect(radius(r), &atoms, Some(&apart)).expect("periodic"));
        let k = atoms.len() - 1;
        let open = connect(nearest(k), &atoms, None).expect("open");
        prop_assert_eq!(&open, &connect(nearest(k), &atoms, Some(&apart)).expect("periodic"));
        prop_assert_eq!(&open, &connect(EdgeRule::FullyConnected, &atoms, None).expect("open"));
    }
}
