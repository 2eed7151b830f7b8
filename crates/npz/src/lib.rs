//! Named arrays in `.npz` files, which are zip archives of `.npy` files.
//!
//! Pickled objects are rejected, and so are headers that announce more data than there is or than
//! the caller allows. Shared by the data sets.

mod archive;
mod error;
mod npy;

pub use archive::Archive;
pub use error::{NpzError, Problem};
pub use npy::{TypedRows, Values, decode, encode};
