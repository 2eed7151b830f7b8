//! Errors while connecting a structure.

/// Why a structure could not be connected. The caller adds which structure it was.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NeighborError {
    #[error(
        "a periodic structure cannot be fully connected, because its images have no end; \
         choose edges = {{ radius = ... }} or {{ nearest = ... }}"
    )]
    Endless,
    #[error(
        "the structure has {n_node} atoms, so each of them has {} others, fewer than nearest = {nearest}; \
         choose a smaller number or a radius, or leave out such structures",
         n_node - 1
    )]
    TooFew { n_node: usize, nearest: u32 },
    #[error(
        "coordinate {value} of atom {atom} (counted from 0) is not a number within {max} angstrom of the origin; \
         correct the position"
    )]
    Position {
        /// Counted from 0.
        atom: usize,
        /// As given, in angstrom.
        value: f64,
        max: f64,
    },
    #[error(
        "the cell {cell:?} has no volume, or a component that is not a number within {max} angstrom; \
         correct it, in angstrom and one row per vector"
    )]
    Cell {
        /// One row per vector, in angstrom.
        cell: Box<[[f64; 3]; 3]>,
        max: f64,
    },
    #[error(
        "{n_pair:.1e} pairs of atoms and images would have to be examined within {radius} angstrom, more than {max:.1e}; \
         choose fewer neighbours or a smaller radius, or correct the cell"
    )]
    TooMany {
        /// Pairs of an atom and an image of an atom.
        n_pair: f64,
        /// In angstrom; infinite for a non-periodic structure without a radius.
        radius: f64,
        max: f64,
    },
    #[error(
        "{}; choose fewer neighbours, a smaller radius or less of the data, or set BATCHLAB_MEMORY, for example \
         to {}", .0, .0.enough()
    )]
    Memory(#[from] batchlab_core::memory::OverBudget),
    #[error(
        "none of the {n_graph} structures has an edge with radius = {radius}, in angstrom; choose a larger one"
    )]
    NoEdge {
        n_graph: usize,
        /// In angstrom.
        radius: f64,
    },
}
