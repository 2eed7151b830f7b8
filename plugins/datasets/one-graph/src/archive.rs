//! Named arrays in an `.npz` file, which is a zip archive of `npy` files.

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::{NpzError, Problem};
use crate::npy::{self, Values};

/// Larger arrays are not believed, in bytes; they would not fit next to their graph.
const MAX_BYTE: u64 = 1 << 34;

/// An open file.
pub(crate) struct Archive<R> {
    path: PathBuf,
    zip: ZipArchive<R>,
}

impl<R: Read + Seek> Archive<R> {
    /// `path` is for messages.
    pub(crate) fn open(path: &Path, file: R) -> Result<Self, NpzError> {
        let path = path.to_owned();
        match ZipArchive::new(file) {
            Ok(zip) => Ok(Self { path, zip }),
            Err(source) => Err(NpzError::Archive { path, source }),
        }
    }

    pub(crate) fn has(&self, array: &str) -> bool {
        self.zip.index_for_name(&format!("{array}.npy")).is_some()
    }

    /// Whole numbers, each from `least` to `most`.
    pub(crate) fn integers(
        &mut self,
        array: &'static str,
        least: i64,
        most: i64,
    ) -> Result<Vec<i64>, NpzError> {
        let Values::Integer(values) = self.values(array)? else {
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

    /// Finite numbers in single precision.
    pub(crate) fn floats(&mut self, array: &'static str) -> Result<Vec<f32>, NpzError> {
        let values: Vec<f32> = match self.values(array)? {
            Values::Integer(values) => values.into_iter().map(|value| value as f32).collect(),
            Values::Float(values) => values.into_iter().map(|value| value as f32).collect(),
        };
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(at) => {
                let value = values[at].to_string();
                let expected = "a finite number in single precision".to_owned();
                Err(self.fault(array, Problem::Value { at, value, expected }))
            }
        }
    }

    pub(crate) fn fault(&self, array: &'static str, problem: Problem) -> NpzError {
        NpzError::Array { path: self.path.clone(), array, problem }
    }

    fn values(&mut self, array: &'static str) -> Result<Values, NpzError> {
        let mut bytes = Vec::new();
        let read = self.zip.by_name(&format!("{array}.npy")).and_then(|mut file| {
            file.by_ref().take(MAX_BYTE).read_to_end(&mut bytes).map_err(ZipError::from)
        });
        match read {
            Ok(_) => npy::parse(&bytes).map_err(|problem| self.fault(array, problem)),
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
