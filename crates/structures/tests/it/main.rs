//! One binary for all integration tests of this crate.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod ase;
mod corrupt;
mod files;
mod formats;
mod peers;
mod reference;
