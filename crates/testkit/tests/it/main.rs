//! One binary for all integration tests of this crate.

mod broken;
mod broken_models;
mod table;
