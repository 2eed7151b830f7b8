//! One binary for all integration tests of this crate.

mod contract;
mod cora;
mod influence;
