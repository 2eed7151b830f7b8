//! The user's own molecules and crystals: any file that `batchlab-structures` reads, with any of
//! its properties, or a column of a separate table, as the target.

mod dataset;
mod error;
mod fields;
mod table;

pub use dataset::{Missing, PartlyPeriodic, Structures, Table};
pub use error::StructuresError;
