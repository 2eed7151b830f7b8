//! One graph whose nodes have features and classes, from an `.npz` file: Cora and its like.
//!
//! `npy` reads arrays, `archive` finds them in a file, `table` makes checked rows of them, and
//! `dataset` puts the store together.

mod archive;
mod dataset;
mod error;
mod npy;
mod table;
mod weight;

pub use dataset::OneGraphFile;
pub use error::NpzError;
pub use weight::EdgeWeight;
