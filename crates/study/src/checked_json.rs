//! JSON with a checksum: its last key is a checksum of all others.

use batchlab_core::hash::sha256;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const CHECKSUM: &str = "sha256";

/// # Panics
/// Never for the types of this crate, whose keys are strings.
pub(crate) fn encode(content: &impl Serialize) -> String {
    let mut value = serde_json::to_value(content).expect("keys are texts");
    let checksum = sha256(value.to_string().as_bytes());
    if let Value::Object(entries) = &mut value {
        entries.insert(CHECKSUM.to_owned(), Value::String(checksum));
    }
    format!("{value:#}\n")
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let checksum = value.as_object_mut().and_then(|entries| entries.shift_remove(CHECKSUM));
    if checksum.is_none_or(|checksum| checksum != sha256(value.to_string().as_bytes())) {
        return Err("its checksum does not match its content".to_owned());
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::Progress;

    #[test]
    fn a_flipped_bit_is_found_anywhere() {
        let progress = Progress {
            started_at: "2026-11-21T00:00:00Z".into(),
            block: 3,
            n_block: Some(7),
            n_step: 40,
            n_step_all: None,
            run_ids: vec!["x".into(), "y".into()],
        };
        let text = encode(&progress);
        assert_eq!(decode::<Progress>(&text).unwrap(), progress);
        let mut n_found = 0;
        for bit in 0..8 * text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            match decode::<Progress>(&String::from_utf8_lossy(&bytes)) {
                // White space, or an alternative escape of the same character.
                Ok(read) => assert_eq!(read, progress, "bit {bit}"),
                Err(_) => n_found += 1,
            }
        }
        assert!(n_found > 7 * text.len(), "{n_found}");
    }
}
