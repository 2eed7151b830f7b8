//! Named arrays in `.npz` files, which are zip archives of `.npy` files.
//!
//! Pickled objects are refused, and no header is believed: an array is as long as its bytes say, and
//! no longer than the caller allows. Shared by the data sets.

mod archive;
mod error;
mod npy;

pub use archive::Archive;
pub use error::{NpzError, Problem};
pub use npy::encode;
