//! Synthetic crystals of real sizes: how many atoms of which elements share which volume is that of
//! 9,255 crystals of the ICSD; where the atoms are, and the target, is made up.

mod crystal;
mod dataset;
mod formulas;
mod target;

pub use dataset::AflowSizes;
pub use target::{CUTOFF, strength};
