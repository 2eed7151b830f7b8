//! One graph whose nodes have features and classes: Cora and its like, in the forms in which people
//! have them.
//!
//! `source` recognises the form of a file or folder; a module for each form makes checked `tables` of
//! it, and `dataset` puts the store together.

mod bounded_lines;
mod compressed_rows;
mod dataset;
mod masks;
mod ogb;
mod planetoid;
mod reddit;
mod source;
mod split;
mod tables;

pub use dataset::OneGraphFile;
