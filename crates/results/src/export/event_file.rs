//! TensorBoard event files.
//!
//! A file is a sequence of records: length of the data (8 bytes, little-endian), its masked CRC32C,
//! the data, their masked CRC32C (`TFRecord`, `tensorflow/core/lib/io/record_writer.h`). The data
//! are a protocol buffer, `tensorflow/core/util/event.proto`; scalars only need the fields below.

use std::io::{self, Write};

use prost::Message;

/// An event at a point in time.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Event {
    /// Seconds since 1970 in UTC.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// Number of steps done.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// In the first record: `brain.Event:2`.
    #[prost(string, optional, tag = "3")]
    pub file_version: Option<String>,
    /// In all other records.
    #[prost(message, optional, tag = "5")]
    pub summary: Option<Summary>,
}

/// Values of one step.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Summary {
    /// One per curve.
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// One value of one curve.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Value {
    /// Name of the curve; the part up to the first `/` is its group.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// The value, in single precision, the only one that the format has for scalars.
    #[prost(float, optional, tag = "2")]
    pub simple_value: Option<f32>,
}

/// The format of all event files.
pub(crate) const FILE_VERSION: &str = "brain.Event:2";

/// Appends one record.
pub(crate) fn write_event(file: &mut impl Write, event: &Event) -> io::Result<()> {
    let data = event.encode_to_vec();
    let length = (data.len() as u64).to_le_bytes();
    file.write_all(&length)?;
    file.write_all(&masked_crc(&length).to_le_bytes())?;
    file.write_all(&data)?;
    file.write_all(&masked_crc(&data).to_le_bytes())
}

/// Masked, because a CRC of data that contain CRCs is weak.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4; and the check value of the catalogue of parametrised CRC algorithms.
    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        // ((crc >> 15) | (crc << 17)) + 0xa282ead8, as in record_writer.h, computed independently.
        assert_eq!(masked_crc(&[0; 32]), 0x0fd7_fffa);
    }

    /// The first record of every event file, byte by byte: field 1 is a double, field 3 a string.
    #[test]
    fn the_first_record_is_what_tensorboard_expects() {
        let mut bytes = Vec::new();
        let file_version = Some(FILE_VERSION.to_owned());
        let event = Event { wall_time: 1.0, file_version, ..Event::default() };
        write_event(&mut bytes, &event).unwrap();
        let data = b"\x09\0\0\0\0\0\0\xf0\x3f\x1a\x0dbrain.Event:2";
        assert_eq!(bytes[..8], (data.len() as u64).to_le_bytes());
        assert_eq!(&bytes[12..12 + data.len()], data);
        assert_eq!(bytes.len(), 16 + data.len());
    }
}
