//! One binary for all tests of this model.

mod config;
mod conformance;
mod golden;
