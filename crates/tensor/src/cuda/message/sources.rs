//! Source texts of messages' kernels, for inspection and for checks with other compilers
//! (`check-kernels.sh`).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use crate::cuda::error::Error;

/// Names a directory to which every source is written before it is compiled.
const FOLDER: &str = "BATCHLAB_CUDA_SOURCES";

/// Writes a source to the directory given by the environment, if any, as `message-<hash>.cu`.
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
