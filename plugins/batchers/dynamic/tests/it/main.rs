//! One binary for all integration tests of this crate.

mod allocation;
mod contract;
mod golden;
