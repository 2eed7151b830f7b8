//! One binary for all integration tests of this crate.

mod binary;
mod figures;
mod import;
