//! One binary for all integration tests of this crate.

mod cells;
mod import;
mod own;
mod published;
mod study;
