//! One binary for all integration tests of this crate.

mod accumulation;
mod common;
mod cuda_message;
mod gradients;
mod message;
mod nodes;
mod precision;
mod trainer;
