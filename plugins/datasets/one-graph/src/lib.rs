//! A single graph whose nodes have features and classes, such as Cora, in common file formats.
//!
//! `source` detects the format of a file or directory; a module per format parses it into checked
//! `tables`, and `dataset` assembles the columnar storage.

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
