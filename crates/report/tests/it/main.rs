//! One binary for all integration tests of this crate.

mod cells;
mod compare;
mod own;
mod reach;
mod study;
