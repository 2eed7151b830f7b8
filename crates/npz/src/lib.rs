//! Named arrays in `.npz` files, which are zip archives of `.npy` files.
//!
//! Pickled objects are refused, and so is a header that announces more data than there is, or more
//! than the caller allows. Shared by the data sets.

mod archive;
mod error;
mod npy;

pub use archive::Archive;
pub use error::{NpzError, Problem};
pub use npy::{TypedRows, Values, decode, encode};
