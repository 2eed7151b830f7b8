//! One binary for all integration tests of this crate.

mod by_hand;
mod properties;
mod scipy;
mod simulation;
