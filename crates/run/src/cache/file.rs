//! One file: columns in the safetensors format, a description, and checksums over both.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use batchlab_core::DatasetError;
use batchlab_core::graphs::{Number, OwnField};
use batchlab_core::hash::sha256;
use batchlab_files::atomic_write_with;
use safetensors::tensor::Metadata;
use safetensors::{Dtype, View, serialize_to_file};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::safetensors_header;

/// Increment when the meaning of a column or of the description changes.
const VERSION: &str = "1";

const VERSION_KEY: &str = "batchlab_cache";
const HEADER_KEY: &str = "header";
const CHECKSUM_KEY: &str = "sha256";

#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it has format version {0}, not {VERSION}")]
    Version(String),
    /// The columns contradict each other although their checksums match.
    #[error("its columns are not valid graphs: {0}")]
    Content(#[from] DatasetError),
    /// An input changed while it was read, or so shortly before that its modification time cannot
    /// show it.
    #[error("{} changed while it was read, or just before", .0.display())]
    Changed(PathBuf),
    #[error("cannot encode it: {0}")]
    Encode(String),
}

/// An element of a column.
pub(crate) trait Element: bytemuck::Pod {
    const DTYPE: Dtype;
}

impl Element for u8 {
    const DTYPE: Dtype = Dtype::U8;
}
impl Element for u32 {
    const DTYPE: Dtype = Dtype::U32;
}
impl Element for u64 {
    const DTYPE: Dtype = Dtype::U64;
}
impl Element for f32 {
    const DTYPE: Dtype = Dtype::F32;
}
impl Element for f64 {
    const DTYPE: Dtype = Dtype::F64;
}
impl Element for [f32; 3] {
    const DTYPE: Dtype = Dtype::F32;
}

fn dtype(number: Number) -> Dtype {
    match number {
        Number::F32 => Dtype::F32,
        Number::I32 => Dtype::I32,
        Number::I64 => Dtype::I64,
        Number::U8 => Dtype::U8,
    }
}

/// One column; matrices are row-major, 3-vectors are stored flat.
pub(crate) struct Column<'a> {
    dtype: Dtype,
    shape: [usize; 1],
    bytes: Cow<'a, [u8]>,
}

impl<'a> Column<'a> {
    fn new(dtype: Dtype, bytes: Cow<'a, [u8]>) -> Self {
        Self { dtype, shape: [8 * bytes.len() / dtype.bitsize()], bytes }
    }

    pub(crate) fn of_own(field: &'a OwnField) -> Self {
        Self::new(dtype(field.shape().number), field.bytes().into())
    }

    pub(crate) fn of<T: Element>(values: &'a [T]) -> Self {
        Self::new(T::DTYPE, bytemuck::cast_slice(values).into())
    }

    pub(crate) fn owned<T: Element>(values: &[T]) -> Self {
        Self::new(T::DTYPE, bytemuck::cast_slice(values).to_vec().into())
    }
}

impl View for Column<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

pub(crate) type Columns<'a> = BTreeMap<Cow<'static, str>, Column<'a>>;

/// Metadata of the columns. Its own checksum is stored next to it.
#[derive(Serialize, Deserialize)]
struct Header<T> {
    description: T,
    /// SHA-256 of each column's bytes, by name.
    checksums: BTreeMap<String, String>,
}

/// Writes a file atomically (temporary file and rename).
pub(crate) fn write(
    path: &Path,
    description: &impl Serialize,
    columns: Columns<'_>,
) -> Result<(), CacheError> {
    let failed = |source| CacheError::Io { path: path.to_owned(), source };
    let checksum = |(name, column): (&Cow<'static, str>, &Column<'_>)| {
        (name.clone().into_owned(), sha256(&column.bytes))
    };
    let header = Header { description, checksums: columns.iter().map(checksum).collect() };
    let header =
        serde_json::to_string(&header).map_err(|error| CacheError::Encode(error.to_string()))?;
    let metadata = HashMap::from([
        (VERSION_KEY.to_owned(), VERSION.to_owned()),
        (CHECKSUM_KEY.to_owned(), sha256(header.as_bytes())),
        (HEADER_KEY.to_owned(), header),
    ]);
    let write = atomic_write_with(path, |file| {
        serialize_to_file(columns, Some(metadata), file.path()).map_err(io::Error::other)
    });
    write.map_err(failed)
}

/// The columns of an open file, which are read one at a time.
pub(crate) struct Reader {
    path: PathBuf,
    file: File,
    /// Offset of the first column in bytes.
    start: u64,
    metadata: Metadata,
    checksums: BTreeMap<String, String>,
}

/// Opens a file and reads its description; `None` if there is no file.
pub(crate) fn open<T: DeserializeOwned>(path: &Path) -> Result<Option<(Reader, T)>, CacheError> {
    let failed = |source| CacheError::Io { path: path.to_owned(), source };
    let damaged = |reason: &str| CacheError::Damaged(reason.to_owned());
    let mut file = match batchlab_files::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let (start, metadata) = safetensors_header::read(&mut file).map_err(CacheError::Damaged)?;
    let entries = metadata.metadata().as_ref();
    let entry = |key| entries.and_then(|entries| entries.get(key)).map_or("", String::as_str);
    if entry(VERSION_KEY) != VERSION {
        return Err(CacheError::Version(entry(VERSION_KEY).to_owned()));
    }
    if sha256(entry(HEADER_KEY).as_bytes()) != entry(CHECKSUM_KEY) {
        return Err(damaged("the checksum of its description is wrong"));
    }
    let Header { description, checksums } = serde_json::from_str(entry(HEADER_KEY))
        .map_err(|error| CacheError::Damaged(format!("its description is invalid ({error})")))?;
    let path = path.to_owned();
    Ok(Some((Reader { path, file, start, metadata, checksums }, description)))
}

impl Reader {
    /// The values of a column, after verifying its checksum.
    pub(crate) fn values<T: Element>(&mut self, name: &str) -> Result<Vec<T>, CacheError> {
        self.typed(name, T::DTYPE)
    }

    /// The same as bytes.
    pub(crate) fn bytes(&mut self, name: &str, number: Number) -> Result<Vec<u8>, CacheError> {
        self.typed(name, dtype(number))
    }

    fn typed<T: Element>(&mut self, name: &str, dtype: Dtype) -> Result<Vec<T>, CacheError> {
        let damaged = |what: &str| CacheError::Damaged(format!("column {name} {what}"));
        let (Some(info), Some(checksum)) = (self.metadata.info(name), self.checksums.get(name))
        else {
            return Err(damaged("is missing"));
        };
        let (start, end) = info.data_offsets;
        if info.dtype != dtype || !(end - start).is_multiple_of(size_of::<T>()) {
            return Err(damaged("is of another type or shape"));
        }
        let mut values = vec![T::zeroed(); (end - start) / size_of::<T>()];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
        self.file
            .seek(SeekFrom::Start(self.start + start as u64))
            .and_then(|_| self.file.read_exact(bytes))
            .map_err(|source| CacheError::Io { path: self.path.clone(), source })?;
        if sha256(bytes) == *checksum {
            return Ok(values);
        }
        Err(CacheError::Damaged(format!("the checksum of column {name} is wrong")))
    }
}
