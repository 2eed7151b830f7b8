//! Ranks that communicate through MPI.
//!
//! The crate is empty without its feature `mpi`, so that the workspace builds where there is no MPI.

#[cfg(feature = "mpi")]
mod mpi_thread;
#[cfg(feature = "mpi")]
mod world;

#[cfg(feature = "mpi")]
pub use world::{JoinError, World};
