//! Named arrays in an `.npz` file, which is a zip archive of `npy` files.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use batchlab_core::MemoryBudget;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::{NpzError, Problem};
use crate::npy::{self, TypedRows, Values};

pub struct Archive<R> {
    path: PathBuf,
    zip: ZipArchive<R>,
    max_byte: u64,
    memory: MemoryBudget,
}

impl<R: Read + Seek> Archive<R> {
    /// Opens an archive. `path` is for messages. Arrays of more than `max_byte` bytes, or that do
    /// not fit into `memory`, are rejected.
    ///
    /// # Errors
    /// If the file is not a zip archive.
    pub fn open(
        path: &Path,
        mut file: R,
        max_byte: u64,
        memory: &MemoryBudget,
    ) -> Result<Self, NpzError> {
        let path = path.to_owned();
        let opened = file.seek(SeekFrom::End(0)).map_err(ZipError::from);
        match opened.and_then(|n_byte| Ok((n_byte, ZipArchive::new(file)?))) {
            Ok((n_byte, zip)) => Ok(Self { path, zip, max_byte, memory: memory.of_file(n_byte) }),
            Err(source) => Err(NpzError::Archive { path, source }),
        }
    }

    /// Reserves memory for data derived from an array.
    ///
    /// # Errors
    /// If that exceeds the memory budget of the file.
    pub fn take(&self, array: &str, n_byte: u64, what: &str) -> Result<(), NpzError> {
        self.memory.take(n_byte, what).map_err(|over| self.fault(array, over.into()))
    }

    #[must_use]
    pub fn has(&self, array: &str) -> bool {
        self.zip.index_for_name(&format!("{array}.npy")).is_some()
    }

    /// The names of all arrays, in alphabetical order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let names = self.zip.file_names().filter_map(Result::ok);
        let mut names: Vec<String> =
            names.map(|name| name.strip_suffix(".npy").unwrap_or(&name).to_owned()).collect();
        names.sort_unstable();
        names
    }

    /// Rows of any numeric type, with the type as in `NumPy` headers, for example `<i4`. All
    /// dimensions after the first are flattened into one row.
    ///
    /// # Errors
    /// If the array is missing, damaged, of another type or has no dimension.
    pub fn typed_rows(&mut self, array: &str) -> Result<TypedRows, NpzError> {
        self.parsed(array, npy::parse_typed)
    }

    /// A one-dimensional array of integers, each from `least` to `most`.
    ///
    /// # Errors
    /// If the array is missing, damaged, of another type or shape, or has a value out of range.
    pub fn integers(&mut self, array: &str, least: i64, most: i64) -> Result<Vec<i64>, NpzError> {
        let values = self.parsed(array, npy::parse)?;
        self.whole(array, values, least, most)
    }

    /// Values of an array as integers, each from `least` to `most`.
    ///
    /// # Errors
    /// If there are floats or values out of range.
    pub fn whole(
        &self,
        array: &str,
        values: Values,
        least: i64,
        most: i64,
    ) -> Result<Vec<i64>, NpzError> {
        let Values::Integer(values) = values else {
            let expected = "integers of up to 64 bits";
            let found = "a float".to_owned();
            return Err(self.fault(array, Problem::Type { found, expected }));
        };
        match values.iter().position(|value| !(least..=most).contains(value)) {
            None => Ok(values),
            Some(at) => {
                let value = values[at].to_string();
                let expected = format!("a whole number from {least} to {most}");
                Err(self.fault(array, Problem::Value { at, value, expected }))
            }
        }
    }

    /// Non-negative integers, otherwise like [`Archive::integers`].
    pub fn counts(&mut self, array: &str, least: u32, most: u32) -> Result<Vec<u32>, NpzError> {
        let values = self.integers(array, least.into(), most.into())?;
        #[allow(clippy::cast_sign_loss, reason = "checked to be at least `least`")]
        self.halved(array, values, |value| value as u32)
    }

    /// A one-dimensional array of numbers that are finite in single precision.
    pub fn floats(&mut self, array: &str) -> Result<Vec<f32>, NpzError> {
        let values = self.doubles(array)?;
        self.halved(array, values, |value| value as f32)
    }

    /// Converts 64-bit to 32-bit numbers.
    fn halved<T, U>(
        &self,
        array: &str,
        values: Vec<T>,
        half: impl Fn(T) -> U,
    ) -> Result<Vec<U>, NpzError> {
        let n = values.len() as u64;
        self.take(array, 4 * n, "its values")?;
        let halves = values.into_iter().map(half).collect();
        self.memory.give_back(8 * n);
        Ok(halves)
    }

    /// A one-dimensional array of numbers that are finite in single precision, but not rounded to
    /// it.
    pub fn doubles(&mut self, array: &str) -> Result<Vec<f64>, NpzError> {
        let values: Vec<f64> = match self.parsed(array, npy::parse)? {
            Values::Integer(values) => values.into_iter().map(|value| value as f64).collect(),
            Values::Float(values) => values,
        };
        match values.iter().position(|&value| !(value as f32).is_finite()) {
            None => Ok(values),
            Some(at) => Err(self.not_finite(array, at, &values[at])),
        }
    }

    /// Rows of integers, each from `least` to `most`, in row-major order, and the row length.
    ///
    /// # Errors
    /// As for [`Archive::integers`].
    pub fn integer_rows(
        &mut self,
        array: &str,
        least: i64,
        most: i64,
    ) -> Result<(Vec<i64>, usize), NpzError> {
        let (values, width) = self.parsed(array, npy::parse_rows)?;
        Ok((self.whole(array, values, least, most)?, width))
    }

    /// Rows of any numeric type in row-major order, and the row length; a one-dimensional array is
    /// a single row.
    ///
    /// # Errors
    /// If the array is missing, damaged, of another type or has more dimensions.
    pub fn table(&mut self, array: &str) -> Result<(Values, usize), NpzError> {
        self.parsed(array, npy::parse_table)
    }

    fn parsed<T>(
        &mut self,
        array: &str,
        parse: impl Fn(&[u8], &MemoryBudget) -> Result<T, Problem>,
    ) -> Result<T, NpzError> {
        let bytes = self.bytes(array)?;
        let parsed = parse(&bytes, &self.memory);
        self.memory.give_back(bytes.len() as u64);
        parsed.map_err(|problem| self.fault(array, problem))
    }

    /// Rows of numbers that are finite in single precision, in row-major order, and the row length.
    ///
    /// # Errors
    /// If the array is missing, damaged, of another type or shape, or has an invalid value.
    pub fn float_rows(&mut self, array: &str) -> Result<(Vec<f32>, usize), NpzError> {
        let (values, width) = self.parsed(array, npy::float_rows)?;
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok((values, width)),
            Some(at) => Err(self.not_finite(array, at, &values[at])),
        }
    }

    /// Rows of three numbers, finite in single precision.
    pub fn vectors(&mut self, array: &str) -> Result<Vec<[f32; 3]>, NpzError> {
        let values = self.parsed(array, npy::vectors)?;
        match values.iter().position(|row| row.iter().any(|value| !value.is_finite())) {
            None => Ok(values),
            Some(at) => Err(self.not_finite(array, at, &format!("{:?}", values[at]))),
        }
    }

    fn not_finite(&self, array: &str, at: usize, value: &dyn std::fmt::Display) -> NpzError {
        let expected = "a finite number in single precision".to_owned();
        self.fault(array, Problem::Value { at, value: value.to_string(), expected })
    }

    #[must_use]
    pub fn fault(&self, array: &str, problem: Problem) -> NpzError {
        NpzError::Array { path: self.path.clone(), array: array.to_owned(), problem }
    }

    fn bytes(&mut self, array: &str) -> Result<Vec<u8>, NpzError> {
        if !self.has(array) {
            let (path, array) = (self.path.clone(), array.to_owned());
            return Err(NpzError::Missing { path, array, found: self.names() });
        }
        let (max_byte, memory) = (self.max_byte, self.memory.clone());
        let file = self.zip.by_name(&format!("{array}.npy")).map_err(|source| damaged(&source));
        let read = file.and_then(|file| unpack(file.size(), file, max_byte, &memory));
        read.map_err(|problem| self.fault(array, problem))
    }
}

/// All bytes of a compressed file that states its length.
fn unpack(
    n_byte: u64,
    file: impl Read,
    max_byte: u64,
    memory: &MemoryBudget,
) -> Result<Vec<u8>, Problem> {
    if n_byte > max_byte {
        return Err(Problem::TooLarge { max_byte });
    }
    memory.take(n_byte, "unpacking it")?;
    let mut bytes = Vec::new();
    let no_room = |_| Problem::Format(format!("there is no room for its {n_byte} bytes"));
    bytes.try_reserve_exact(n_byte as usize).map_err(no_room)?;
    file.take(n_byte + 1).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    if bytes.len() as u64 > n_byte {
        let message = format!("it unpacks to more than the {n_byte} bytes that it states");
        return Err(Problem::Format(message));
    }
    Ok(bytes)
}

fn damaged(source: &dyn std::fmt::Display) -> Problem {
    Problem::Format(format!("its packed bytes are damaged ({source}); copy the file again"))
}
