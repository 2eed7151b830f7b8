//! One binary for all integration tests of this crate.

mod config;
mod contract;
mod golden;
