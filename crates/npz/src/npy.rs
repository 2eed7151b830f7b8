//! Arrays of one dimension, or of rows of three, in the format `npy`, versions 1 to 3.
//!
//! The header is a Python dictionary in one line, for example
//! `{'descr': '<i8', 'fortran_order': False, 'shape': (2709,), }`. Pickled objects are refused.

use crate::error::Problem;

/// An array of one dimension, widened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    Integer(Vec<i64>),
    Float(Vec<f64>),
}

/// Reads a whole array.
pub(crate) fn parse(bytes: &[u8]) -> Result<Values, Problem> {
    let (header, data) = split(bytes)?;
    let kind = quoted(entry(header, "descr")?).ok_or_else(|| format("the type is no text"))?;
    let n = length(&shape(header)?)?;
    let integer = |size: usize, read: fn(&[u8]) -> i64| {
        Ok(Values::Integer(chunks(data, n, size)?.map(read).collect()))
    };
    let float = |size: usize, read: fn(&[u8]) -> f64| {
        Ok(Values::Float(chunks(data, n, size)?.map(read).collect()))
    };
    match kind {
        "|b1" | "|u1" => integer(1, |b| i64::from(b[0])),
        "|i1" => integer(1, |b| i64::from(i8::from_le_bytes(array(b)))),
        "<i2" => integer(2, |b| i64::from(i16::from_le_bytes(array(b)))),
        "<u2" => integer(2, |b| i64::from(u16::from_le_bytes(array(b)))),
        "<i4" => integer(4, |b| i64::from(i32::from_le_bytes(array(b)))),
        "<u4" => integer(4, |b| i64::from(u32::from_le_bytes(array(b)))),
        "<i8" => integer(8, |b| i64::from_le_bytes(array(b))),
        "<f4" => float(4, |b| f64::from(f32::from_le_bytes(array(b)))),
        "<f8" => float(8, |b| f64::from_le_bytes(array(b))),
        other => Err(Problem::Type {
            found: other.to_owned(),
            expected: "little-endian integers of up to 64 bits, or float32 or float64",
        }),
    }
}

/// Reads rows of three numbers, in single precision.
pub(crate) fn vectors(bytes: &[u8]) -> Result<Vec<[f32; 3]>, Problem> {
    let (header, data) = split(bytes)?;
    let kind = quoted(entry(header, "descr")?).ok_or_else(|| format("the type is no text"))?;
    let shape = shape(header)?;
    let [n, 3] = shape[..] else {
        let expected = "rows of three numbers, `(n, 3)`";
        return Err(Problem::Shape { found: shown(&shape), expected });
    };
    if entry(header, "fortran_order")?.starts_with("True") {
        return Err(format("its columns lie one after the other; write it in C order"));
    }
    match kind {
        "<f4" => Ok(chunks(data, n, 12)?
            .map(|row| [0, 4, 8].map(|at| f32::from_le_bytes(array(&row[at..at + 4]))))
            .collect()),
        "<f8" => Ok(chunks(data, n, 24)?
            .map(|row| [0, 8, 16].map(|at| f64::from_le_bytes(array(&row[at..at + 8])) as f32))
            .collect()),
        other => {
            let found = other.to_owned();
            Err(Problem::Type { found, expected: "little-endian float32 or float64" })
        }
    }
}

fn format(message: impl Into<String>) -> Problem {
    Problem::Format(message.into())
}

/// The header's text and the bytes behind it.
fn split(bytes: &[u8]) -> Result<(&str, &[u8]), Problem> {
    let too_short = || format("it ends within its header");
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(|| format("it has no NumPy header"))?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(too_short)?;
    let n_digit = if version[0] == 1 { 2 } else { 4 };
    let (length, rest) = rest.split_at_checked(n_digit).ok_or_else(too_short)?;
    let length = length.iter().rev().fold(0_usize, |sum, &byte| (sum << 8) | usize::from(byte));
    let (header, data) = rest.split_at_checked(length).ok_or_else(too_short)?;
    let header = std::str::from_utf8(header).map_err(|_| format("its header is no text"))?;
    Ok((header, data))
}

/// The text behind a key of the dictionary.
fn entry<'a>(header: &'a str, key: &str) -> Result<&'a str, Problem> {
    let found = header.split_once(&format!("'{key}':"));
    found
        .map(|(_, rest)| rest.trim_start())
        .ok_or_else(|| format(format!("no `{key}` in its header")))
}

fn quoted(text: &str) -> Option<&str> {
    let (value, _) = text.strip_prefix('\'')?.split_once('\'')?;
    Some(value)
}

/// The numbers of a shape like `(2709,)` or `(2709, 3)`.
fn shape(header: &str) -> Result<Vec<usize>, Problem> {
    let text = entry(header, "shape")?;
    let inner = text.strip_prefix('(').and_then(|text| text.split_once(')'));
    let (inner, _) = inner.ok_or_else(|| format("its shape is no tuple"))?;
    let numbers = inner.split(',').map(str::trim).filter(|number| !number.is_empty());
    numbers.map(|number| number.parse().map_err(|_| format("its shape is no tuple"))).collect()
}

/// The one number of the shape of an array of one dimension.
fn length(shape: &[usize]) -> Result<usize, Problem> {
    match shape[..] {
        [n] => Ok(n),
        _ => Err(Problem::Shape { found: shown(shape), expected: "one dimension" }),
    }
}

fn shown(shape: &[usize]) -> String {
    let numbers: Vec<String> = shape.iter().map(usize::to_string).collect();
    std::format!("({})", numbers.join(", "))
}

fn chunks(data: &[u8], n: usize, size: usize) -> Result<std::slice::ChunksExact<'_, u8>, Problem> {
    // Checked against what is there, so that a wrong header cannot ask for memory.
    match n.checked_mul(size) {
        Some(n_byte) if n_byte == data.len() => Ok(data.chunks_exact(size)),
        _ => Err(format(format!(
            "{n} entries of {size} bytes announced, {} bytes found",
            data.len()
        ))),
    }
}

/// `chunks_exact` makes the length right.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

/// An array as `numpy.save` writes it; `kind` and `shape` as in the header, for example `<i4` and
/// `(2, 3)`.
#[must_use]
pub fn encode(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header =
        std::format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(data);
    bytes
}

#[cfg(test)]
mod tests {
    use super::encode as write;
    use super::*;

    fn check(kind: &str, n: usize, data: &[u8], expected: &Values) {
        assert_eq!(parse(&write(kind, &format!("({n},)"), data)).as_ref(), Ok(expected), "{kind}");
    }

    fn broken(bytes: &[u8], part: &str) {
        let message = parse(bytes).expect_err(part).to_string();
        assert!(message.contains(part), "{message}");
    }

    #[test]
    fn all_types_are_widened() {
        let minus_2 = Values::Integer(vec![-2]);
        check("|i1", 1, &(-2_i8).to_le_bytes(), &minus_2);
        check("<i2", 1, &(-2_i16).to_le_bytes(), &minus_2);
        check("<i4", 1, &(-2_i32).to_le_bytes(), &minus_2);
        check("<i8", 1, &(-2_i64).to_le_bytes(), &minus_2);
        check("|u1", 2, &[0, 255], &Values::Integer(vec![0, 255]));
        check("|b1", 2, &[0, 1], &Values::Integer(vec![0, 1]));
        check("<u2", 1, &[255, 255], &Values::Integer(vec![65_535]));
        check("<u4", 1, &[255; 4], &Values::Integer(vec![4_294_967_295]));
        check("<f4", 1, &1.5_f32.to_le_bytes(), &Values::Float(vec![1.5]));
        check("<f8", 1, &0.1_f64.to_le_bytes(), &Values::Float(vec![0.1]));
        check("<i8", 0, &[], &Values::Integer(Vec::new()));
    }

    #[test]
    fn rows_of_three_are_read_in_both_precisions() {
        let numbers = [1.0, -2.5, 0.0, 3.0, 4.0, 5.0];
        let single: Vec<u8> = numbers.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect();
        let double: Vec<u8> = numbers.iter().flat_map(|x: &f64| x.to_le_bytes()).collect();
        let expected = Ok(vec![[1.0, -2.5, 0.0], [3.0, 4.0, 5.0]]);
        assert_eq!(vectors(&write("<f4", "(2, 3)", &single)), expected);
        assert_eq!(vectors(&write("<f8", "(2, 3)", &double)), expected);
        let message = |kind, shape| vectors(&write(kind, shape, &single)).unwrap_err().to_string();
        assert!(message("<f4", "(6,)").contains("its shape is (6), expected rows of three"));
        assert!(
            message("<f4", "(3, 3)").contains("3 entries of 12 bytes announced, 24 bytes found")
        );
        assert!(message("<i4", "(2, 3)").contains("its type is <i4"));
    }

    #[test]
    fn headers_of_version_2_have_longer_lengths() {
        let mut bytes = write("|u1", "(1,)", &[7]);
        bytes[6] = 2;
        bytes.splice(10..10, [0, 0]);
        assert_eq!(parse(&bytes), Ok(Values::Integer(vec![7])));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        broken(b"PK\x03\x04", "no NumPy header");
        broken(b"\x93NUMPY\x01", "within its header");
        broken(&write("<i4", "(1,)", &[0; 4])[..30], "within its header");
        broken(&write("<i4", "(2,)", &[0; 4]), "2 entries of 4 bytes announced, 4 bytes found");
        broken(&write("<i8", "(9223372036854775807,)", &[0; 8]), "announced");
        broken(&write("<i4", "(2, 2)", &[0; 16]), "its shape is (2, 2)");
        broken(&write("<i4", "()", &[0; 4]), "its shape is ()");
        broken(&write(">i4", "(1,)", &[0; 4]), "its type is >i4");
        broken(&write("|O", "(1,)", &[0; 8]), "its type is |O");
        broken(b"\x93NUMPY\x01\x00\x03\x00{ }", "no `descr`");
    }
}
