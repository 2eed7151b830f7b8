//! QM9: about 134 thousand small organic molecules with their relaxed geometry and 15 computed
//! properties (Ramakrishnan, Dral, Rupp, von Lilienfeld, Scientific Data 1, 140022, 2014).
//!
//! Text becomes [`Molecule`]s one at a time ([`Molecules`]), a [`Target`] makes one number of each,
//! and the dataset plugin puts them into the columnar store, which is where the road of the data
//! begins.

mod archive;
mod arrays;
mod database;
mod dataset;
mod energies;
mod error;
mod extended;
mod lines;
mod molecule;
mod number;
mod properties;
mod raw;
mod read;
mod table;
mod uncharacterized;

pub use dataset::Qm9;
pub use error::{Problem, Qm9Error};
pub use molecule::{ELEMENTS, Element, Molecule, N_PROPERTY};
pub use properties::{Conversion, ELECTRONVOLT_PER_HARTREE, PROPERTIES, Property, TARGETS, Target};
pub use read::Molecules;
pub use uncharacterized::is_uncharacterized;
