//! What can be wrong with an `.npz` file, always with the file and the array.

use std::path::PathBuf;

use batchlab_core::error::{excerpt, shown};

/// Why arrays could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpzError {
    /// The file is no zip archive, or a damaged one.
    #[error(
        "{} is no readable .npz file ({source}); write it with numpy.savez_compressed",
        path.display()
    )]
    Archive {
        /// The file.
        path: PathBuf,
        /// What the archive's reader said.
        source: zip::result::ZipError,
    },
    /// An array is not there.
    #[error(
        "{} has no array \"{array}\"; its arrays are: {}",
        path.display(),
        excerpt(&found.join(", "), 300)
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// The array that is needed.
        array: &'static str,
        /// What there is.
        found: Vec<String>,
    },
    /// An array cannot be used.
    #[error("{}, array \"{array}\": {problem}", path.display())]
    Array {
        /// The file.
        path: PathBuf,
        /// The array.
        array: &'static str,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with one array.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It does not begin like an array, or ends too early.
    #[error("it is no array in NumPy's format: {}", excerpt(.0, 300))]
    Format(String),
    /// A type that is not read.
    #[error("its type is {}, expected {expected}; convert it with `astype`", shown(found))]
    Type {
        /// The type's code in the header.
        found: String,
        /// The types that are read.
        expected: &'static str,
    },
    /// Another number of dimensions, or another width.
    #[error("its shape is {}, expected {expected}", shown(found))]
    Shape {
        /// The shape in the header.
        found: String,
        /// The shape that is read.
        expected: &'static str,
    },
    /// More bytes than are believed.
    #[error(
        "it unpacks to more than {max_byte} bytes, which is not believed; check where the file comes from"
    )]
    TooLarge {
        /// The limit.
        max_byte: u64,
    },
    /// Another length than other arrays ask for.
    #[error("it has {got} entries, expected {expected}")]
    Length {
        /// Its length.
        got: usize,
        /// The length that fits the others.
        expected: String,
    },
    /// A value out of range.
    #[error("entry {at} is {value}, expected {expected}")]
    Value {
        /// Place, from 0.
        at: usize,
        /// The value.
        value: String,
        /// What would be right.
        expected: String,
    },
}
