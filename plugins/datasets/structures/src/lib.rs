//! Molecules and crystals of one's own: any file that `batchlab-structures` reads, and any of its
//! properties, or a column of a table beside it, as the target.

mod dataset;
mod error;
mod fields;
mod table;

pub use dataset::{Missing, PartlyPeriodic, Structures, Table};
pub use error::StructuresError;
