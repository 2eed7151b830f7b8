//! One binary for all integration tests of this crate.

mod brute_force;
mod common;
mod crystals;
