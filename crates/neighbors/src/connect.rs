//! The edges of one structure.

use batchlab_core::{EdgeRule, MemoryBudget};

use crate::NeighborError;
use crate::search::{Neighbor, Search};

/// The edges of one or several structures, in the order defined by [`EdgeRule`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Neighbors {
    /// The neighbour, `[n_edge]`.
    pub sender: Vec<u32>,
    /// The central atom, ascending within a structure, `[n_edge]`.
    pub receiver: Vec<u32>,
    /// In angstrom, `[n_edge]`.
    pub distance: Vec<f32>,
    /// Position of the receiver minus position of the sender's image, in angstrom, `[n_edge, 3]`.
    pub displacement: Vec<[f32; 3]>,
}

/// Connects the atoms of one structure.
///
/// `positions` `[n_node, 3]` and the rows of `cell`, its three vectors, are in angstrom. A row of
/// zeros marks a direction without periodicity (slabs, wires); without a cell the structure is not
/// periodic. Atoms need not lie inside the cell. Atoms at the same position are neighbours at
/// distance 0.
///
/// Everything is computed in f64 and rounded to f32 at the end. Distances are compared as f64
/// without tolerance: symmetry-equivalent neighbours may differ in the last bit, which then decides
/// their order and which of them are among the nearest. The displacements of an edge and its
/// reverse are exactly opposite.
///
/// ```
/// use batchlab_core::EdgeRule;
/// use batchlab_neighbors::connect;
///
/// // One atom in a cube: its neighbours are its own images across the six faces.
/// let cube = [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]];
/// let rule = EdgeRule::Radius(5.0.try_into()?);
/// let edges = connect(rule, &[[0.0; 3]], Some(&cube))?;
/// assert_eq!(edges.sender, [0; 6]);
/// assert_eq!(edges.distance, [4.0; 6]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If a periodic structure is to be fully connected, a non-periodic one has too few atoms for the
/// number of nearest neighbours, positions or a cell are out of range, or there are too many pairs.
pub fn connect(
    rule: EdgeRule,
    positions: &[[f64; 3]],
    cell: Option<&[[f64; 3]; 3]>,
) -> Result<Neighbors, NeighborError> {
    connect_within(rule, positions, cell, &MemoryBudget::default())
}

/// Bytes per edge while a data set is collected: 24 in its four columns, and as much again while
/// these grow.
const EDGE_BYTES: u64 = 48;

/// Approximate number of bytes for the edges of a crystal, based on the mean density. `volume` is
/// that of the cell in cubic angstrom.
#[must_use]
pub fn estimated_bytes(rule: EdgeRule, n_node: usize, volume: f64) -> u64 {
    let n_node = n_node as f64;
    let sphere = |radius: f64| 4.0 / 3.0 * std::f64::consts::PI * radius.powi(3);
    estimate(rule, n_node, f64::INFINITY, |radius| sphere(radius) * n_node / volume).0
}

/// The same, plus the bytes for sorting the neighbours of one atom; an atom has at most `max`
/// neighbours, and about `n_within` within a radius.
fn estimate(
    rule: EdgeRule,
    n_node: f64,
    max: f64,
    n_within: impl FnOnce(f64) -> f64,
) -> (u64, u64) {
    let (of_atom, found) = match rule {
        EdgeRule::FullyConnected => (n_node, n_node),
        // The search looks beyond the requested neighbours.
        EdgeRule::Nearest(nearest) => (f64::from(nearest.get()), 7.0 * f64::from(nearest.get())),
        EdgeRule::Radius(radius) => {
            let near = n_within(radius.get());
            (near, near)
        }
    };
    let kept = n_node * of_atom.min(max) * EDGE_BYTES as f64;
    let sorted = found.min(max) * size_of::<Neighbor>() as f64;
    // The cast saturates.
    #[allow(clippy::cast_sign_loss, reason = "sizes are not negative")]
    (kept as u64, sorted as u64)
}

/// Like [`connect`], within a budget, from which the returned edges are deducted.
///
/// # Errors
/// As for [`connect`], or if the budget is exceeded.
pub(crate) fn connect_within(
    rule: EdgeRule,
    positions: &[[f64; 3]],
    cell: Option<&[[f64; 3]; 3]>,
    memory: &MemoryBudget,
) -> Result<Neighbors, NeighborError> {
    let search = Search::new(positions, cell)?;
    let lattice = search.lattice();
    if rule == EdgeRule::FullyConnected && !lattice.is_open() {
        return Err(NeighborError::Endless);
    }
    let n_node = positions.len() as f64;
    let max = if lattice.is_open() { n_node } else { f64::INFINITY };
    let (kept, sorted) = estimate(rule, n_node, max, |radius| lattice.n_within(radius, n_node));
    let n_byte = kept.saturating_add(sorted);
    let what = format!("the edges of a structure of {} atoms", positions.len());
    memory.take(n_byte, &what)?;
    memory.give_back(n_byte);
    match rule {
        EdgeRule::FullyConnected => within(search, positions.len(), f64::INFINITY, memory),
        EdgeRule::Radius(radius) => within(search, positions.len(), radius.get(), memory),
        EdgeRule::Nearest(nearest) => nearest_of(search, positions.len(), nearest.get(), memory),
    }
}

impl Neighbors {
    #[must_use]
    pub fn n_edge(&self) -> usize {
        self.sender.len()
    }

    /// Appends the edges of another structure; node indices remain relative to each structure.
    pub fn append(&mut self, mut other: Self) {
        self.sender.append(&mut other.sender);
        self.receiver.append(&mut other.receiver);
        self.distance.append(&mut other.distance);
        self.displacement.append(&mut other.displacement);
    }

    /// Adds the neighbours of an atom.
    fn extend(
        &mut self,
        receiver: u32,
        found: &[Neighbor],
        memory: &MemoryBudget,
    ) -> Result<(), NeighborError> {
        memory.take(EDGE_BYTES * found.len() as u64, "the edges of the structures")?;
        for neighbor in found {
            self.sender.push(neighbor.sender);
            self.receiver.push(receiver);
            self.distance.push(neighbor.distance as f32);
            self.displacement.push(neighbor.displacement.map(|x| x as f32));
        }
        Ok(())
    }
}

/// All neighbours closer than `radius`.
fn within(
    mut search: Search,
    n_node: usize,
    radius: f64,
    memory: &MemoryBudget,
) -> Result<Neighbors, NeighborError> {
    search.prepare(radius);
    let mut edges = Neighbors::default();
    let mut found = Vec::new();
    for receiver in 0..n_node {
        search.near(receiver, radius, &mut found)?;
        found.sort_unstable_by(Neighbor::order);
        edges.extend(receiver as u32, &found, memory)?;
    }
    Ok(edges)
}

/// The `nearest` neighbours of each atom.
fn nearest_of(
    mut search: Search,
    n_node: usize,
    nearest: u32,
    memory: &MemoryBudget,
) -> Result<Neighbors, NeighborError> {
    let wanted = nearest as usize;
    if search.lattice().is_open() && (1..=wanted).contains(&n_node) {
        return Err(NeighborError::TooFew { n_node, nearest });
    }
    let first_radius = first_radius(search.lattice().volume() / n_node as f64, nearest);
    search.prepare(first_radius);
    let mut edges = Neighbors::default();
    let mut found = Vec::new();
    for receiver in 0..n_node {
        let mut radius = first_radius;
        // All neighbours within the radius are known, so once there are enough, they are the
        // nearest. The loop terminates: a non-periodic structure has enough atoms, and a lattice is
        // infinite.
        loop {
            search.near(receiver, radius, &mut found)?;
            if found.len() >= wanted {
                break;
            }
            radius *= 1.5;
        }
        if found.len() > wanted {
            found.select_nth_unstable_by(wanted, Neighbor::order);
            found.truncate(wanted);
        }
        found.sort_unstable_by(Neighbor::order);
        edges.extend(receiver as u32, &found, memory)?;
    }
    Ok(edges)
}

/// Initial search radius for the nearest neighbours, in angstrom: a sphere of this radius contains
/// twice as many atoms at the mean density.
fn first_radius(volume_per_atom: f64, nearest: u32) -> f64 {
    let volume = 2.0 * f64::from(nearest) * volume_per_atom;
    (0.75 / std::f64::consts::PI * volume).cbrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(n: u32) -> EdgeRule {
        EdgeRule::Nearest(n.try_into().unwrap())
    }

    fn radius(radius: f64) -> EdgeRule {
        EdgeRule::Radius(radius.try_into().unwrap())
    }

    const CUBE: [[f64; 3]; 3] = [[3., 0., 0.], [0., 3., 0.], [0., 0., 3.]];
    /// Three atoms on a line: at 0, 1 and 3.
    const LINE: [[f64; 3]; 3] = [[0., 0., 0.], [1., 0., 0.], [3., 0., 0.]];

    #[test]
    fn an_open_line_of_atoms() {
        let all = connect(EdgeRule::FullyConnected, &LINE, None).unwrap();
        assert_eq!(all.receiver, [0, 0, 1, 1, 2, 2]);
        assert_eq!(all.sender, [1, 2, 0, 2, 1, 0]);
        assert_eq!(all.distance, [1., 3., 1., 2., 2., 3.]);
        // Receiver minus sender.
        let along_x: Vec<f32> = all.displacement.iter().map(|d| d[0]).collect();
        assert_eq!(along_x, [-1., -3., 1., -2., 2., 3.]);

        // The radius itself is excluded.
        let near = connect(radius(2.0), &LINE, None).unwrap();
        assert_eq!((near.receiver, near.sender), (vec![0, 1], vec![1, 0]));

        let first = connect(nearest(1), &LINE, None).unwrap();
        assert_eq!((first.receiver, first.sender), (vec![0, 1, 2], vec![1, 0, 1]));
        assert_eq!(connect(nearest(2), &LINE, None).unwrap(), all);
    }

    #[test]
    fn equal_distances_are_ordered_by_sender_and_then_by_image() {
        let square = [[0., 0., 0.], [1., 0., 0.], [1., 1., 0.], [0., 1., 0.]];
        let edges = connect(nearest(2), &square, None).unwrap();
        assert_eq!(edges.sender, [1, 3, 0, 2, 1, 3, 0, 2]);

        let edges = connect(nearest(6), &[[0.; 3]], Some(&CUBE)).unwrap();
        // The sender's image n lies at +3 n, so the displacement is -3 n.
        let images = edges.displacement.iter().map(|d| d.map(|x| x / -3.0));
        let expected: [[f32; 3]; 6] =
            [[-1., 0., 0.], [0., -1., 0.], [0., 0., -1.], [0., 0., 1.], [0., 1., 0.], [1., 0., 0.]];
        assert_eq!(images.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn atoms_at_the_same_place_are_neighbours() {
        let edges = connect(radius(1.0), &[[0.; 3], [3., 0., 0.]], Some(&CUBE)).unwrap();
        assert_eq!((edges.sender, edges.distance), (vec![1, 0], vec![0., 0.]));
    }

    #[test]
    fn edges_are_estimated_and_counted() {
        let crystal: Vec<[f64; 3]> = (0..4).map(|i| [0.7 * f64::from(i); 3]).collect();
        let bytes = |edges: &Neighbors| 48 * edges.n_edge() as u64;
        for rule in [nearest(1000), radius(20.0)] {
            let memory = MemoryBudget::new(1 << 30);
            let edges = connect_within(rule, &crystal, Some(&CUBE), &memory).unwrap();
            assert_eq!(memory.n_byte() - memory.left(), bytes(&edges));
            let estimated = estimated_bytes(rule, 4, 27.0) as f64;
            let found = bytes(&edges) as f64;
            assert!(estimated > 0.95 * found && estimated < 1.1 * found, "{estimated} {found}");
            let less = MemoryBudget::new(bytes(&edges) / 2);
            let refused = connect_within(rule, &crystal, Some(&CUBE), &less).unwrap_err();
            let words = refused.to_string();
            assert!(words.contains("the edges of a structure of 4 atoms would take"), "{words}");
            assert!(words.contains("choose fewer neighbours, a smaller radius"), "{words}");
            assert_eq!(less.left(), less.n_byte(), "nothing was made");
        }
        // The density of a non-periodic structure is unknown; the edges found count.
        let cloud: Vec<[f64; 3]> = (0..2000).map(|i| [f64::from(i) * 1e-3; 3]).collect();
        let refused = connect_within(radius(9.0), &cloud, None, &MemoryBudget::new(1 << 20));
        assert!(matches!(refused, Err(NeighborError::Memory(_))), "{refused:?}");
        // The density of slabs and wires is based on their thickness.
        for cell in [[CUBE[0], CUBE[1], [0.; 3]], [CUBE[0], [0.; 3], [0.; 3]]] {
            let memory = MemoryBudget::new(1 << 30);
            let edges = connect_within(radius(50.0), &crystal, Some(&cell), &memory).unwrap();
            let less = MemoryBudget::new(bytes(&edges) / 2);
            let refused = connect_within(radius(50.0), &crystal, Some(&cell), &less).unwrap_err();
            assert!(refused.to_string().contains("the edges of a structure of 4"), "{refused}");
        }
    }

    #[test]
    fn structures_without_neighbours_have_no_edges() {
        for positions in [&[][..], &[[1.; 3]]] {
            assert_eq!(connect(radius(9.0), positions, None).unwrap(), Neighbors::default());
            let all = connect(EdgeRule::FullyConnected, positions, None).unwrap();
            assert_eq!(all.n_edge(), 0);
        }
        assert_eq!(connect(nearest(3), &[], None).unwrap().n_edge(), 0);
        assert_eq!(connect(nearest(3), &[], Some(&CUBE)).unwrap().n_edge(), 0);
    }

    #[test]
    fn what_cannot_be_connected_is_refused_with_its_remedy() {
        let message =
            |rule, positions: &[_], cell| connect(rule, positions, cell).unwrap_err().to_string();
        assert_eq!(
            message(EdgeRule::FullyConnected, &LINE, Some(&CUBE)),
            "a periodic structure cannot be fully connected, because its images have no end; \
             choose edges = { radius = ... } or { nearest = ... }"
        );
        assert_eq!(
            message(nearest(12), &LINE, None),
            "the structure has 3 atoms, so each of them has 2 others, fewer than nearest = 12; \
             choose a smaller number or a radius, or leave out such structures"
        );
        assert!(connect(nearest(12), &LINE, Some(&CUBE)).is_ok());
        assert!(connect(nearest(3), &LINE, None).is_err());
        let lost = message(radius(1.0), &[[0.; 3], [0., f64::NAN, 0.]], None);
        assert!(lost.starts_with("coordinate NaN of atom 1"), "{lost}");
        assert!(connect(radius(1.0), &[[1e9, 0., 0.]], None).is_err());
        let flat = message(radius(1.0), &LINE, Some(&[[1., 0., 0.]; 3]));
        assert!(flat.starts_with("the cell [[1.0, 0.0, 0.0], "), "{flat}");
        for rule in [radius(1e3), radius(f64::MAX), nearest(u32::MAX)] {
            let many = message(rule, &LINE, Some(&CUBE));
            assert!(many.contains("more than 2.7e8"), "{many}");
        }
    }
}
