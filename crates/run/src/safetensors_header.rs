//! Reads the header of a safetensors file before any other part of it.

use std::fs::File;
use std::io::Read as _;

use safetensors::tensor::Metadata;

/// Limit set by the format.
const MAX_LEN: u64 = 100_000_000;

/// Reads the header and checks that its tensors fill the file, so that no more memory is allocated
/// than the file is long, and a long, empty file is not read. Also returns the offset of the first
/// tensor.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn read(file: &mut File) -> Result<(u64, Metadata), String> {
    let n_byte = file.metadata().map_err(|error| error.to_string())?.len();
    let short = "it ends within its header";
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| short)?;
    let n_header = u64::from_le_bytes(length);
    if n_header > MAX_LEN || n_header + 8 > n_byte {
        return Err(short.to_owned());
    }
    let mut text = vec![0; n_header as usize];
    file.read_exact(&mut text).map_err(|error| error.to_string())?;
    // Also checks that the tensors are contiguous.
    let metadata: Metadata =
        serde_json::from_slice(&text).map_err(|error| format!("its header is wrong ({error})"))?;
    let start = 8 + n_header;
    if start.checked_add(metadata.data_len() as u64) != Some(n_byte) {
        return Err("its tensors do not fill the file".to_owned());
    }
    Ok((start, metadata))
}
