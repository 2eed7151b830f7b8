//! Named arrays in an `.npz` file, which is a zip archive of `npy` files.

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::{NpzError, Problem};
use crate::npy::{self, Values};

pub struct Archive<R> {
    path: PathBuf,
    zip: ZipArchive<R>,
    max_byte: u64,
}

impl<R: Read + Seek> Archive<R> {
    /// `path` is for messages; an array of more than `max_byte` bytes is refused.
    ///
    /// # Errors
    /// A file that is no zip archive.
    pub fn open(path: &Path, file: R, max_byte: u64) -> Result<Self, NpzError> {
        let path = path.to_owned();
        match ZipArchive::new(file) {
            Ok(zip) => Ok(Self { path, zip, max_byte }),
            Err(source) => Err(NpzError::Archive { path, source }),
        }
    }

    #[must_use]
    pub fn has(&self, array: &str) -> bool {
        self.zip.index_for_name(&format!("{array}.npy")).is_some()
    }

    /// Whole numbers of one dimension, each from `least` to `most`.
    ///
    /// # Errors
    /// An array that is missing, damaged, of another type or shape, or with another value.
    pub fn integers(
        &mut self,
        array: &'static str,
        least: i64,
        most: i64,
    ) -> Result<Vec<i64>, NpzError> {
        let values = self.values(array)?;
        self.whole(array, values, least, most)
    }

    fn whole(
        &self,
        array: &'static str,
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

    /// Numbers that are not negative, otherwise as [`Archive::integers`].
    pub fn counts(
        &mut self,
        array: &'static str,
        least: u32,
        most: u32,
    ) -> Result<Vec<u32>, NpzError> {
        let values = self.integers(array, least.into(), most.into())?;
        #[allow(clippy::cast_sign_loss, reason = "checked to be at least `least`")]
        Ok(values.into_iter().map(|value| value as u32).collect())
    }

    /// Numbers of one dimension, finite in single precision.
    pub fn floats(&mut self, array: &'static str) -> Result<Vec<f32>, NpzError> {
        Ok(self.doubles(array)?.into_iter().map(|value| value as f32).collect())
    }

    /// Numbers of one dimension, finite in single precision, but not rounded to it.
    pub fn doubles(&mut self, array: &'static str) -> Result<Vec<f64>, NpzError> {
        let values: Vec<f64> = match self.values(array)? {
            Values::Integer(values) => values.into_iter().map(|value| value as f64).collect(),
            Values::Float(values) => values,
        };
        match values.iter().position(|&value| !(value as f32).is_finite()) {
            None => Ok(values),
            Some(at) => Err(self.not_finite(array, at, &values[at])),
        }
    }

    /// Rows of whole numbers, each from `least` to `most`, one after the other, and their length.
    ///
    /// # Errors
    /// As [`Archive::integers`].
    pub fn integer_rows(
        &mut self,
        array: &'static str,
        least: i64,
        most: i64,
    ) -> Result<(Vec<i64>, usize), NpzError> {
        let bytes = self.bytes(array)?;
        let (values, width) = npy::parse_rows(&bytes).map_err(|p| self.fault(array, p))?;
        Ok((self.whole(array, values, least, most)?, width))
    }

    /// Rows of numbers, finite in single precision, one after the other, and their length.
    ///
    /// # Errors
    /// An array that is missing, damaged, of another type or shape, or with another value.
    pub fn float_rows(&mut self, array: &'static str) -> Result<(Vec<f32>, usize), NpzError> {
        let bytes = self.bytes(array)?;
        let (values, width) = npy::float_rows(&bytes).map_err(|p| self.fault(array, p))?;
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok((values, width)),
            Some(at) => Err(self.not_finite(array, at, &values[at])),
        }
    }

    /// Rows of three numbers, finite in single precision.
    pub fn vectors(&mut self, array: &'static str) -> Result<Vec<[f32; 3]>, NpzError> {
        let bytes = self.bytes(array)?;
        let values = npy::vectors(&bytes).map_err(|problem| self.fault(array, problem))?;
        match values.iter().position(|row| row.iter().any(|value| !value.is_finite())) {
            None => Ok(values),
            Some(at) => Err(self.not_finite(array, at, &format!("{:?}", values[at]))),
        }
    }

    fn not_finite(
        &self,
        array: &'static str,
        at: usize,
        value: &dyn std::fmt::Display,
    ) -> NpzError {
        let expected = "a finite number in single precision".to_owned();
        self.fault(array, Problem::Value { at, value: value.to_string(), expected })
    }

    #[must_use]
    pub fn fault(&self, array: &'static str, problem: Problem) -> NpzError {
        NpzError::Array { path: self.path.clone(), array, problem }
    }

    fn values(&mut self, array: &'static str) -> Result<Values, NpzError> {
        let bytes = self.bytes(array)?;
        npy::parse(&bytes).map_err(|problem| self.fault(array, problem))
    }

    fn bytes(&mut self, array: &'static str) -> Result<Vec<u8>, NpzError> {
        let mut bytes = Vec::new();
        let max_byte = self.max_byte;
        let read = self.zip.by_name(&format!("{array}.npy")).and_then(|file| {
            file.take(max_byte + 1).read_to_end(&mut bytes).map_err(ZipError::from)
        });
        match read {
            Ok(_) if bytes.len() as u64 > max_byte => {
                Err(self.fault(array, Problem::TooLarge { max_byte }))
            }
            Ok(_) => Ok(bytes),
            Err(ZipError::FileNotFound) => {
                let mut found: Vec<String> = self
                    .zip
                    .file_names()
                    .filter_map(Result::ok)
                    .map(|name| name.strip_suffix(".npy").unwrap_or(&name).to_owned())
                    .collect();
                found.sort_unstable();
                Err(NpzError::Missing { path: self.path.clone(), array, found })
            }
            Err(source) => {
                let message =
                    format!("its packed bytes are damaged ({source}); copy the file again");
                Err(self.fault(array, Problem::Format(message)))
            }
        }
    }
}
