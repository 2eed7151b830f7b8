//! Hashes in hexadecimal.

use sha2::{Digest, Sha256};

/// SHA-256 of a byte slice, as 64 hexadecimal digits.
///
/// ```
/// let hash = batchlab_core::hash::sha256(b"");
/// assert!(hash.starts_with("e3b0c44298fc1c14"));
/// ```
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// SHA-256 of numbers in little-endian order, such as the nodes that a cached result depends on.
///
/// ```
/// use batchlab_core::hash::{sha256, sha256_of};
/// assert_eq!(sha256_of(&[1, 2]), sha256(&[1, 0, 0, 0, 2, 0, 0, 0]));
/// ```
#[must_use]
pub fn sha256_of(numbers: &[u32]) -> String {
    let mut hash = Sha256::new();
    for number in numbers {
        hash.update(number.to_le_bytes());
    }
    hexadecimal(&hash.finalize())
}

/// Two lower-case digits per byte.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
