//! One binary for all integration tests of this crate.

mod files;
mod records_doc;
