//! Errors of reading an `.npz` file. Each names the file and the array.

use std::path::PathBuf;

use batchlab_core::error::{excerpt, shown};
use batchlab_core::memory::OverBudget;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpzError {
    #[error(
        "{} is not a readable .npz file ({source}); write it with numpy.savez_compressed",
        path.display()
    )]
    Archive { path: PathBuf, source: zip::result::ZipError },
    #[error(
        "{} has no array \"{array}\"; its arrays are: {}",
        path.display(),
        excerpt(&found.join(", "), 300)
    )]
    Missing { path: PathBuf, array: String, found: Vec<String> },
    #[error("{}, array \"{array}\": {problem}", path.display())]
    Array { path: PathBuf, array: String, problem: Problem },
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    #[error("it is not an array in NumPy's format: {}", excerpt(.0, 300))]
    Format(String),
    #[error("its type is {}, expected {expected}; convert it with `astype`", shown(found))]
    Type { found: String, expected: &'static str },
    #[error("its shape is {}, expected {expected}", shown(found))]
    Shape { found: String, expected: &'static str },
    /// Exceeds the memory budget.
    #[error("{}; {}", .0, .0.remedy())]
    Memory(#[from] OverBudget),
    /// Exceeds the size limit of an array.
    #[error(
        "it unpacks to more than {max_byte} bytes, the limit for an array; check where the file comes from"
    )]
    TooLarge { max_byte: u64 },
    #[error("it has {got} entries, expected {expected}")]
    Length { got: usize, expected: String },
    #[error("entry {at} is {value}, expected {expected}")]
    Value {
        /// Index, from 0.
        at: usize,
        value: String,
        expected: String,
    },
}
