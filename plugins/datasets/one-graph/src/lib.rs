//! One graph whose nodes have features and classes, from an `.npz` file: Cora and its like.
//!
//! `table` makes checked rows of the file's arrays, and `dataset` puts the store together.

mod dataset;
mod table;
mod weight;

pub use dataset::OneGraphFile;
pub use weight::EdgeWeight;
