//! Synthetic crystals of real sizes: the numbers of atoms, their elements and the cell volumes are
//! those of 9,255 ICSD crystals; positions and the target are synthetic.

mod crystal;
mod dataset;
mod formulas;
mod target;

pub use dataset::AflowSizes;
pub use target::{CUTOFF, strength};
