//! One binary for all integration tests of this crate.

mod corrupt;
mod formats;
mod reference;
