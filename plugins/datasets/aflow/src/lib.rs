//! AFLOW: crystals with properties from density functional theory (S. Curtarolo et al.,
//! Computational Materials Science 58, 227, 2012; aflowlib.org).
//!
//! The crate `batchlab-structures` reads entries in all their formats; this crate selects entries
//! ([`Filter`]), determines the target ([`Target`]), and connects the atoms.

mod dataset;
mod error;
mod filter;
mod target;

pub use dataset::Aflow;
pub use error::AflowError;
pub use filter::{Filter, Reason};
pub use target::Target;
