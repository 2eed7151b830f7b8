//! One binary for all integration tests of this crate.

mod config;
mod contract;
mod cutoff;
mod golden;
mod weighting;
