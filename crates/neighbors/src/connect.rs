//! The edges of one structure.

use batchlab_core::EdgeRule;

use crate::NeighborError;
use crate::lattice::{Image, Lattice, MAX_COORDINATE, Vector, norm};

/// The edges of one or several structures, in the order that [`EdgeRule`] states.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Neighbors {
    /// The neighbour, `[n_edge]`.
    pub sender: Vec<u32>,
    /// The centre, ascending within a structure, `[n_edge]`.
    pub receiver: Vec<u32>,
    /// In angstrom, `[n_edge]`.
    pub distance: Vec<f32>,
    /// Position of the receiver minus position of the sender's image, in angstrom, `[n_edge, 3]`.
    pub displacement: Vec<[f32; 3]>,
}

/// Pairs of an atom and an image that are looked at for one structure: about a second's work.
const MAX_PAIR: f64 = (1 << 28) as f64;

/// Connects the atoms of one structure.
///
/// `positions` `[n_node, 3]` and the rows of `cell`, its three vectors, are in angstrom; without a
/// cell the structure is open. Atoms need not lie inside the cell. Atoms at the same place are
/// neighbours at distance 0.
///
/// Everything is computed in f64 and rounded to f32 at the end. Distances are compared without
/// tolerance, as f64 numbers: neighbours that symmetry makes equally distant may differ in the
/// last bit, and then that bit decides their order, and which of them are among the nearest. The
/// displacements of an edge and of its reverse are opposite to the last bit.
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
/// A periodic structure that should be fully connected; an open one with too few atoms for the
/// number of nearest neighbours; positions or a cell that cannot be; more pairs than can be meant.
pub fn connect(
    rule: EdgeRule,
    positions: &[[f64; 3]],
    cell: Option<&[[f64; 3]; 3]>,
) -> Result<Neighbors, NeighborError> {
    let structure = Structure::new(positions, cell)?;
    match rule {
        EdgeRule::FullyConnected if cell.is_some() => Err(NeighborError::Endless),
        EdgeRule::FullyConnected => structure.within(f64::INFINITY),
        EdgeRule::Radius(radius) => structure.within(radius.get()),
        EdgeRule::Nearest(nearest) => structure.nearest(nearest.get()),
    }
}

impl Neighbors {
    /// Number of edges.
    #[must_use]
    pub fn n_edge(&self) -> usize {
        self.sender.len()
    }

    /// Appends the edges of another structure; nodes keep counting within their own.
    pub fn append(&mut self, mut other: Self) {
        self.sender.append(&mut other.sender);
        self.receiver.append(&mut other.receiver);
        self.distance.append(&mut other.distance);
        self.displacement.append(&mut other.displacement);
    }

    fn push(&mut self, receiver: u32, neighbor: &Neighbor) {
        self.sender.push(neighbor.sender);
        self.receiver.push(receiver);
        self.distance.push(neighbor.distance as f32);
        self.displacement.push(neighbor.displacement.map(|x| x as f32));
    }
}

/// A structure that was checked.
struct Structure<'a> {
    positions: &'a [Vector],
    lattice: Option<Lattice>,
}

/// One neighbour of the atom at hand.
struct Neighbor {
    distance: f64,
    sender: u32,
    image: Image,
    displacement: Vector,
}

impl<'a> Structure<'a> {
    fn new(positions: &'a [Vector], cell: Option<&[Vector; 3]>) -> Result<Self, NeighborError> {
        for (atom, position) in positions.iter().enumerate() {
            if let Some(&value) = position.iter().find(|x| x.is_nan() || x.abs() > MAX_COORDINATE) {
                return Err(NeighborError::Position { atom, value, max: MAX_COORDINATE });
            }
        }
        Ok(Self { positions, lattice: cell.map(Lattice::new).transpose()? })
    }

    /// All neighbours closer than `radius`.
    fn within(&self, radius: f64) -> Result<Neighbors, NeighborError> {
        self.check_work(radius)?;
        let mut edges = Neighbors::default();
        let mut found = Vec::new();
        for receiver in 0..self.positions.len() {
            self.search(receiver, radius, &mut found);
            for neighbor in &found {
                edges.push(receiver as u32, neighbor);
            }
        }
        Ok(edges)
    }

    /// The `nearest` neighbours of each atom.
    fn nearest(&self, nearest: u32) -> Result<Neighbors, NeighborError> {
        let n_node = self.positions.len();
        let wanted = nearest as usize;
        if self.lattice.is_none() && (1..=wanted).contains(&n_node) {
            return Err(NeighborError::TooFew { n_node, nearest });
        }
        let mut edges = Neighbors::default();
        let mut found = Vec::new();
        for receiver in 0..n_node {
            let mut radius = self.first_radius(nearest);
            // Everything inside a radius is known, so once it holds enough, they are the nearest.
            // It ends: an open structure is searched as a whole, and a lattice has no end.
            loop {
                self.check_work(radius)?;
                self.search(receiver, radius, &mut found);
                if found.len() >= wanted {
                    break;
                }
                radius *= 1.5;
            }
            for neighbor in &found[..wanted] {
                edges.push(receiver as u32, neighbor);
            }
        }
        Ok(edges)
    }

    /// Where the search for the nearest begins: the sphere that holds twice as many atoms at the
    /// mean density of the crystal.
    fn first_radius(&self, nearest: u32) -> f64 {
        self.lattice.as_ref().map_or(f64::INFINITY, |lattice| {
            let volume_per_atom = lattice.volume() / self.positions.len() as f64;
            let volume = 2.0 * f64::from(nearest) * volume_per_atom;
            (0.75 / std::f64::consts::PI * volume).cbrt()
        })
    }

    /// Refuses a search that could not be meant, before it takes all time and memory.
    fn check_work(&self, radius: f64) -> Result<(), NeighborError> {
        let n_image = self.lattice.as_ref().map_or(1.0, |lattice| lattice.max_image(radius));
        let n_pair = (self.positions.len() as f64).powi(2) * n_image;
        if n_pair <= MAX_PAIR {
            Ok(())
        } else {
            Err(NeighborError::TooMany { n_pair, radius, max: MAX_PAIR })
        }
    }

    /// Fills `found` with all neighbours of an atom closer than `radius`, in order.
    fn search(&self, receiver: usize, radius: f64, found: &mut Vec<Neighbor>) {
        found.clear();
        let here = self.positions[receiver];
        for (sender, there) in self.positions.iter().enumerate() {
            let difference = [0, 1, 2].map(|axis| here[axis] - there[axis]);
            let mut consider = |image, displacement| {
                let distance = norm(displacement);
                if distance < radius {
                    found.push(Neighbor { distance, sender: sender as u32, image, displacement });
                }
            };
            let Some(lattice) = &self.lattice else {
                if sender != receiver {
                    consider([0; 3], difference);
                }
                continue;
            };
            let [first, second, third] = lattice.images(difference, radius);
            for i in first {
                for j in second.clone() {
                    for k in third.clone() {
                        let image = [i, j, k];
                        if sender == receiver && image == [0; 3] {
                            continue;
                        }
                        let offset = lattice.offset(image);
                        consider(image, [0, 1, 2].map(|axis| difference[axis] - offset[axis]));
                    }
                }
            }
        }
        found.sort_unstable_by(|a, b| {
            let ties = || (a.sender, a.image).cmp(&(b.sender, b.image));
            a.distance.total_cmp(&b.distance).then_with(ties)
        });
    }
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
        // The receiver minus the sender.
        let along_x: Vec<f32> = all.displacement.iter().map(|d| d[0]).collect();
        assert_eq!(along_x, [-1., -3., 1., -2., 2., 3.]);

        // Exactly at the radius is outside.
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
