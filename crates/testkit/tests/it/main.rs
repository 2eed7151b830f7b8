//! One binary for all integration tests of this crate.

#![allow(clippy::print_stdout, reason = "the table is to be read")]

mod broken;
mod broken_models;
mod broken_nodes;
mod table;
