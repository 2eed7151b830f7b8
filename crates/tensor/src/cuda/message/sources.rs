//! The texts of messages' kernels, for reading and for checks by other compilers
//! (`check-kernels.sh`).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use crate::cuda::error::Error;

/// Names a folder that every source is written to before it is compiled.
const FOLDER: &str = "BATCHLAB_CUDA_SOURCES";

/// Writes a source to the folder that the environment names, if it does, as `message-<hash>.cu`.
pub(super) fn write(source: &str) -> Result<(), Error> {
    let Some(folder) = std::env::var_os(FOLDER) else { return Ok(()) };
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    let file = Path::new(&folder).join(format!("message-{:016x}.cu", hasher.finish()));
    std::fs::write(&file, source).map_err(|error| {
        Error::Engine(format!(
            "{} cannot be written ({error}); set {FOLDER} to a folder for the sources of kernels, or \
             unset it",
            file.display()
        ))
    })
}
