//! QM9: about 134 thousand small organic molecules with their relaxed geometry and 15 computed
//! properties (Ramakrishnan, Dral, Rupp, von Lilienfeld, Scientific Data 1, 140022, 2014).
//!
//! Files are parsed into entries by `batchlab-structures`. This crate interprets their keys
//! (`molecule`), derives targets (`properties`), and reads files that hold no structures: arrays
//! and the table of properties.

mod arrays;
mod dataset;
mod energies;
mod error;
mod molecule;
mod properties;
mod read;
mod table;
mod uncharacterized;

pub use dataset::Qm9;
pub use error::Qm9Error;
