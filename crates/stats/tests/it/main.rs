//! One binary for all integration tests of this crate.

mod coverage;
mod properties;
mod scipy;
