//! Arrays of one dimension or of rows, in the `npy` format, versions 1 to 3.
//!
//! The header is a one-line Python dictionary, for example `{'descr': '<i8', 'fortran_order':
//! False, 'shape': (2709,), }`. Pickled objects are rejected.

use batchlab_core::MemoryBudget;

use crate::error::Problem;

/// The numbers of an array, widened.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    Integer(Vec<i64>),
    Float(Vec<f64>),
}

/// Decodes consecutive numbers of one type; `kind` as in `NumPy` headers, for example `<i4`.
///
/// # Errors
/// If the type is not supported, or the last number is incomplete.
pub fn decode(kind: &str, data: &[u8]) -> Result<Values, Problem> {
    macro_rules! widened {
        ($type:ty) => {{
            let (chunks, rest) = data.as_chunks();
            if !rest.is_empty() {
                return Err(wrong("its last number is cut off"));
            }
            chunks.iter().map(|bytes| <$type>::from_le_bytes(*bytes).into()).collect()
        }};
    }
    Ok(match kind {
        "|b1" | "|u1" => Values::Integer(widened!(u8)),
        "|i1" => Values::Integer(widened!(i8)),
        "<i2" => Values::Integer(widened!(i16)),
        "<u2" => Values::Integer(widened!(u16)),
        "<i4" => Values::Integer(widened!(i32)),
        "<u4" => Values::Integer(widened!(u32)),
        "<i8" => Values::Integer(widened!(i64)),
        "<f2" => {
            let (chunks, rest) = data.as_chunks();
            if !rest.is_empty() {
                return Err(wrong("its last number is cut off"));
            }
            Values::Float(chunks.iter().map(|bytes| half(u16::from_le_bytes(*bytes))).collect())
        }
        "<f4" => Values::Float(widened!(f32)),
        "<f8" => Values::Float(widened!(f64)),
        _ => {
            let expected =
                "little-endian integers of up to 64 bits, or floats of 16, 32 or 64 bits";
            return Err(Problem::Type { found: kind.to_owned(), expected });
        }
    })
}

/// A half-precision number: 1 sign bit, 5 exponent bits, 10 fraction bits.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
    let size = match exponent {
        0 => fraction * 2_f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2_f64.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// A one-dimensional array.
pub(crate) fn parse(bytes: &[u8], memory: &MemoryBudget) -> Result<Values, Problem> {
    let array = Array::of(bytes)?;
    let [n] = array.shape[..] else {
        return Err(array.other_shape("one dimension"));
    };
    array.values(n, memory)
}

/// Rows of equal length in row-major order, and that length.
pub(crate) fn parse_rows(bytes: &[u8], memory: &MemoryBudget) -> Result<(Values, usize), Problem> {
    let array = Array::of(bytes)?;
    let (n, width) = array.rows()?;
    Ok((array.values(n, memory)?, width))
}

/// Like [`parse_rows`], but a one-dimensional array is a single row.
pub(crate) fn parse_table(bytes: &[u8], memory: &MemoryBudget) -> Result<(Values, usize), Problem> {
    let array = Array::of(bytes)?;
    match array.shape[..] {
        [n] => Ok((array.values(n, memory)?, n)),
        _ => parse_rows(bytes, memory),
    }
}

/// Rows of numbers, with their type.
#[derive(Debug, Clone, PartialEq)]
pub struct TypedRows {
    /// As in `NumPy` headers, for example `<i4`.
    pub kind: String,
    /// Numbers per row.
    pub width: usize,
    /// Row-major.
    pub values: Values,
}

/// All dimensions after the first are flattened into one row.
pub(crate) fn parse_typed(bytes: &[u8], memory: &MemoryBudget) -> Result<TypedRows, Problem> {
    let mut array = Array::of(bytes)?;
    let [n_row, ref rest @ ..] = array.shape[..] else {
        return Err(array.other_shape("one dimension or more"));
    };
    let n = rest.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
    let too_many = || wrong("its rows are longer than can be addressed");
    let width = n.ok_or_else(too_many)?;
    if !rest.is_empty() {
        array.shape = vec![n_row, width];
        array.rows()?;
    }
    let n = n_row.checked_mul(width).ok_or_else(too_many)?;
    Ok(TypedRows { kind: array.kind.to_owned(), width, values: array.values(n, memory)? })
}

/// Like [`parse_rows`], in single precision.
pub(crate) fn float_rows(
    bytes: &[u8],
    memory: &MemoryBudget,
) -> Result<(Vec<f32>, usize), Problem> {
    let array = Array::of(bytes)?;
    let (n, width) = array.rows()?;
    let take = || memory.take(4 * n as u64, "its values");
    let values = match array.kind {
        // Converting the features of a large graph via doubles would take twice the memory.
        "<f4" => {
            let chunks = array.chunks::<4>(n)?;
            take()?;
            chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        }
        _ => match array.values(n, memory)? {
            Values::Integer(values) => values.into_iter().map(|value| value as f32).collect(),
            Values::Float(values) => values.into_iter().map(|value| value as f32).collect(),
        },
    };
    Ok((values, width))
}

/// Rows of three numbers, in single precision.
pub(crate) fn vectors(bytes: &[u8], memory: &MemoryBudget) -> Result<Vec<[f32; 3]>, Problem> {
    let array = Array::of(bytes)?;
    let [n, 3] = array.shape[..] else {
        return Err(array.other_shape("rows of three numbers, `(n, 3)`"));
    };
    array.rows()?;
    let take = |n: usize| memory.take(12 * n as u64, "its values");
    match array.kind {
        "<f4" => {
            let chunks = array.chunks::<12>(n)?;
            take(n)?;
            Ok(rows(chunks, f32::from_le_bytes))
        }
        "<f8" => {
            let chunks = array.chunks::<24>(n)?;
            take(n)?;
            Ok(rows(chunks, |bytes| f64::from_le_bytes(bytes) as f32))
        }
        _ => Err(array.other_type("little-endian float32 or float64")),
    }
}

fn rows<const ROW: usize, const N: usize>(
    rows: &[[u8; ROW]],
    number: impl Fn([u8; N]) -> f32,
) -> Vec<[f32; 3]> {
    let row = |row: &[u8; ROW]| {
        let (numbers, _) = row.as_chunks::<N>();
        [0, 1, 2].map(|axis| number(numbers[axis]))
    };
    rows.iter().map(row).collect()
}

/// The header of an array, and the bytes after it.
struct Array<'a> {
    kind: &'a str,
    shape: Vec<usize>,
    is_fortran_order: bool,
    data: &'a [u8],
}

impl<'a> Array<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, Problem> {
        let too_short = || wrong("it ends within its header");
        let rest =
            bytes.strip_prefix(b"\x93NUMPY").ok_or_else(|| wrong("it has no NumPy header"))?;
        let (version, rest) = rest.split_at_checked(2).ok_or_else(too_short)?;
        let n_digit = if version[0] == 1 { 2 } else { 4 };
        let (length, rest) = rest.split_at_checked(n_digit).ok_or_else(too_short)?;
        let length = length.iter().rev().fold(0_usize, |sum, &byte| (sum << 8) | usize::from(byte));
        let (header, data) = rest.split_at_checked(length).ok_or_else(too_short)?;
        let header = std::str::from_utf8(header).map_err(|_| wrong("its header is not text"))?;
        let entry = |key: &str| {
            let found = header.split_once(&format!("'{key}':"));
            let missing = || wrong(format!("no `{key}` in its header"));
            found.map(|(_, value)| value.trim_start()).ok_or_else(missing)
        };
        let quoted = entry("descr")?.strip_prefix('\'').and_then(|text| text.split_once('\''));
        let (kind, _) = quoted.ok_or_else(|| wrong("the type is not text"))?;
        let no_tuple = || wrong("its shape is not a tuple");
        let tuple = entry("shape")?.strip_prefix('(').and_then(|text| text.split_once(')'));
        let (tuple, _) = tuple.ok_or_else(no_tuple)?;
        let numbers = tuple.split(',').map(str::trim).filter(|number| !number.is_empty());
        let shape = numbers.map(|number| number.parse().map_err(|_| no_tuple()));
        let shape = shape.collect::<Result<_, _>>()?;
        let is_fortran_order = entry("fortran_order")?.starts_with("True");
        Ok(Self { kind, shape, is_fortran_order, data })
    }

    /// The number of rows and the row length of a two-dimensional array.
    fn rows(&self) -> Result<(usize, usize), Problem> {
        let [n, width] = self.shape[..] else {
            return Err(self.other_shape("rows of equal length, two dimensions"));
        };
        if self.is_fortran_order {
            return Err(wrong("its columns lie one after the other; write it in C order"));
        }
        let too_many = || wrong(format!("{n} rows of {width} are more than can be addressed"));
        Ok((n.checked_mul(width).ok_or_else(too_many)?, width))
    }

    /// All numbers; there must be `n` of them.
    fn values(&self, n: usize, memory: &MemoryBudget) -> Result<Values, Problem> {
        // Unknown types have no size; `decode` reports them.
        let size: usize = self.kind.get(2..).and_then(|size| size.parse().ok()).unwrap_or(0);
        if size > 0 && n.checked_mul(size) != Some(self.data.len()) {
            return Err(self.other_length(n, size));
        }
        memory.take(8 * n.min(self.data.len()) as u64, "its values")?;
        decode(self.kind, self.data)
    }

    /// The data as `n` chunks, checked against the actual length, so that a wrong header cannot
    /// cause a large allocation.
    fn chunks<const SIZE: usize>(&self, n: usize) -> Result<&'a [[u8; SIZE]], Problem> {
        let (chunks, rest) = self.data.as_chunks();
        if chunks.len() == n && rest.is_empty() {
            return Ok(chunks);
        }
        Err(self.other_length(n, SIZE))
    }

    fn other_length(&self, n: usize, size: usize) -> Problem {
        let found = self.data.len();
        wrong(format!("{n} entries of {size} bytes announced, {found} bytes found"))
    }

    fn other_shape(&self, expected: &'static str) -> Problem {
        let numbers: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        Problem::Shape { found: format!("({})", numbers.join(", ")), expected }
    }

    fn other_type(&self, expected: &'static str) -> Problem {
        Problem::Type { found: self.kind.to_owned(), expected }
    }
}

fn wrong(message: impl Into<String>) -> Problem {
    Problem::Format(message.into())
}

/// An array as written by `numpy.save`; `kind` and `shape` as in the header, for example `<i4` and
/// `(2, 3)`.
#[must_use]
pub fn encode(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
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

    fn parse(bytes: &[u8]) -> Result<Values, Problem> {
        super::parse(bytes, &MemoryBudget::default())
    }

    fn vectors(bytes: &[u8]) -> Result<Vec<[f32; 3]>, Problem> {
        super::vectors(bytes, &MemoryBudget::default())
    }

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
        let halves = [0x3c00_u16, 0xc500, 0x0001, 0x7bff].map(u16::to_le_bytes).concat();
        let expected = vec![1.0, -5.0, 2_f64.powi(-24), 65504.0];
        check("<f2", 4, &halves, &Values::Float(expected));
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
    fn rows_of_any_length_are_read() {
        let flags = write("|b1", "(2, 3)", &[0, 1, 1, 1, 0, 0]);
        assert_eq!(
            parse_rows(&flags, &MemoryBudget::default()),
            Ok((Values::Integer(vec![0, 1, 1, 1, 0, 0]), 3))
        );
        assert_eq!(float_rows(&flags, &MemoryBudget::default()).unwrap().0[1..3], [1.0, 1.0]);
        let single = write("<f4", "(1, 2)", &[1.5_f32.to_le_bytes(), [0; 4]].concat());
        assert_eq!(float_rows(&single, &MemoryBudget::default()), Ok((vec![1.5, 0.0], 2)));
        let message =
            |bytes: &[u8]| parse_rows(bytes, &MemoryBudget::default()).unwrap_err().to_string();
        assert!(message(&write("|b1", "(6,)", &[0; 6])).contains("expected rows of equal length"));
        assert!(message(&write("<i4", "(2, 3)", &[0; 6])).contains("6 entries of 4 bytes"));
        let huge = write("<i4", "(9223372036854775807, 3)", &[0; 4]);
        assert!(message(&huge).contains("more than can be addressed"));
        let mut columns = flags.clone();
        let at = columns.windows(5).position(|word| word == b"False").expect("a header");
        columns[at..at + 5].copy_from_slice(b"True ");
        assert!(message(&columns).contains("write it in C order"));
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
