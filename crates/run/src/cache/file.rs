//! One file: columns in the format of safetensors, a description, and a checksum over both.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use batchlab_core::DatasetError;
use batchlab_core::hash::hexadecimal;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, View, serialize_to_file};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::columns::{Column, Columns};

/// Raised when the meaning of a column or of the description changes.
const VERSION: &str = "1";

const VERSION_KEY: &str = "batchlab_cache";
const DESCRIPTION_KEY: &str = "description";
const CHECKSUM_KEY: &str = "sha256";

/// The limit that the format itself sets.
const MAX_HEADER: u64 = 100_000_000;

/// Why a kept file cannot be used, or none be written.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: io::Error,
    },
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it is of version {0} of the format, not {VERSION}")]
    Version(String),
    /// The columns contradict each other although the checksum is right.
    #[error("its columns do not make graphs: {0}")]
    Content(DatasetError),
    /// An input changed while it was read, or so shortly before that its times do not tell.
    #[error("{} changed while it was read, or just before", .0.display())]
    Changed(PathBuf),
    #[error("cannot encode it: {0}")]
    Encode(String),
}

/// Writes a file next to its place, then moves it there.
pub(crate) fn write(
    path: &Path,
    description: &impl Serialize,
    columns: &Columns<'_>,
) -> Result<(), CacheError> {
    let failed = |source| CacheError::Io { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).map_err(failed)?;
    let description = serde_json::to_string(description)
        .map_err(|error| CacheError::Encode(error.to_string()))?;
    let mut checksum = Checksum::new(&description);
    for (name, column) in columns {
        checksum.column(name, column.dtype(), column.n_value(), column.data());
    }
    let header = HashMap::from([
        (VERSION_KEY.to_owned(), VERSION.to_owned()),
        (DESCRIPTION_KEY.to_owned(), description),
        (CHECKSUM_KEY.to_owned(), checksum.finish()),
    ]);
    let temporary =
        tempfile::Builder::new().prefix(".").tempfile_in(folder).map_err(failed)?.into_temp_path();
    let views = columns.iter().map(|(name, column)| (name, Flat::of(column)));
    serialize_to_file(views, Some(header), &temporary)
        .map_err(|error| CacheError::Encode(error.to_string()))?;
    File::open(&temporary).and_then(|file| file.sync_all()).map_err(failed)?;
    temporary.persist(path).map_err(|error| failed(error.error))
}

pub(crate) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    header: Metadata,
    description: String,
}

impl Reader {
    /// Opens a file and reads its header; `None` if there is none.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, CacheError> {
        let failed = |source| CacheError::Io { path: path.to_owned(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let n_byte = file.metadata().map_err(failed)?.len();
        let mut file = BufReader::with_capacity(1 << 18, file);
        let mut length = [0; 8];
        let short = || CacheError::Damaged("it ends within its header".into());
        file.read_exact(&mut length).map_err(|_| short())?;
        let n_header = u64::from_le_bytes(length);
        if n_header > MAX_HEADER || n_header + 8 > n_byte {
            return Err(short());
        }
        let mut text = vec![0; n_header as usize];
        file.read_exact(&mut text).map_err(failed)?;
        let header: Metadata = serde_json::from_slice(&text)
            .map_err(|error| CacheError::Damaged(format!("its header is wrong ({error})")))?;
        check_extent(&header, n_byte - 8 - n_header)?;
        let entry = |key| header.metadata().as_ref().and_then(|entries| entries.get(key)).cloned();
        let version = entry(VERSION_KEY).unwrap_or_default();
        if version != VERSION {
            return Err(CacheError::Version(version));
        }
        let description = entry(DESCRIPTION_KEY).unwrap_or_default();
        Ok(Some(Self { path: path.to_owned(), file, header, description }))
    }

    pub(crate) fn description<T: DeserializeOwned>(&self) -> Result<T, CacheError> {
        serde_json::from_str(&self.description)
            .map_err(|error| CacheError::Damaged(format!("its description is wrong ({error})")))
    }

    /// All columns, after the checksum was found right.
    pub(crate) fn columns(&mut self) -> Result<Columns<'static>, CacheError> {
        let mut columns = Columns::new();
        for name in self.header.offset_keys() {
            let Some(info) = self.header.info(&name) else { continue };
            let n_value = info.shape.iter().product();
            let column = Column::read(&mut self.file, info.dtype, n_value)
                .map_err(|source| CacheError::Io { path: self.path.clone(), source })?;
            columns.insert(name, column);
        }
        let mut checksum = Checksum::new(&self.description);
        for (name, column) in &columns {
            checksum.column(name, column.dtype(), column.n_value(), column.data());
        }
        let stated = self.header.metadata().as_ref().and_then(|entries| entries.get(CHECKSUM_KEY));
        if stated == Some(&checksum.finish()) {
            Ok(columns)
        } else {
            Err(CacheError::Damaged("its checksum is wrong".into()))
        }
    }
}

/// The columns lie one behind the other and fill the file, so that nothing asks for more memory
/// than the file is long.
fn check_extent(header: &Metadata, n_byte: u64) -> Result<(), CacheError> {
    let mut end = 0_usize;
    for name in header.offset_keys() {
        let Some(TensorInfo { dtype, shape, data_offsets }) = header.info(&name) else { continue };
        let n_value = shape.iter().try_fold(1_usize, |n, &length| n.checked_mul(length));
        let n_bit = n_value.and_then(|n| n.checked_mul(dtype.bitsize()));
        let fits = data_offsets.0 == end
            && data_offsets.1.checked_sub(end).and_then(|n| n.checked_mul(8)) == n_bit;
        if !fits || n_bit.is_none() {
            return Err(CacheError::Damaged(format!("column {name} does not lie where it should")));
        }
        end = data_offsets.1;
    }
    if end as u64 == n_byte {
        Ok(())
    } else {
        let message = format!("its columns take {end} bytes, but {n_byte} follow the header");
        Err(CacheError::Damaged(message))
    }
}

/// SHA-256 over the description and over name, type, length and bytes of every column.
struct Checksum(Sha256);

impl Checksum {
    fn new(description: &str) -> Self {
        let mut checksum = Self(Sha256::new());
        checksum.part(VERSION.as_bytes());
        checksum.part(description.as_bytes());
        checksum
    }

    fn column(&mut self, name: &str, dtype: Dtype, n_value: usize, bytes: &[u8]) {
        self.part(format!("{name} {dtype:?} {n_value}").as_bytes());
        self.part(bytes);
    }

    /// With its length before it, so that no byte can move from one part to the next.
    fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn finish(self) -> String {
        hexadecimal(&self.0.finalize())
    }
}

impl Column<'_> {
    fn n_value(&self) -> usize {
        match self {
            Self::U32(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    fn read(file: &mut impl Read, dtype: Dtype, n: usize) -> io::Result<Column<'static>> {
        Ok(match dtype {
            Dtype::U32 => Column::U32(values(file, n)?.into()),
            Dtype::U64 => Column::U64(values(file, n)?.into()),
            Dtype::F32 => Column::F32(values(file, n)?.into()),
            Dtype::F64 => Column::F64(values(file, n)?.into()),
            other => return Err(io::Error::other(format!("a column of type {other:?}"))),
        })
    }
}

fn values<T: bytemuck::Pod>(file: &mut impl Read, n: usize) -> io::Result<Vec<T>> {
    let mut values = vec![T::zeroed(); n];
    file.read_exact(bytemuck::cast_slice_mut(&mut values))?;
    Ok(values)
}

impl Column<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::U32(_) => Dtype::U32,
            Self::U64(_) => Dtype::U64,
            Self::F32(_) => Dtype::F32,
            Self::F64(_) => Dtype::F64,
        }
    }

    fn data(&self) -> &[u8] {
        match self {
            Self::U32(values) => bytemuck::cast_slice(values),
            Self::U64(values) => bytemuck::cast_slice(values),
            Self::F32(values) => bytemuck::cast_slice(values),
            Self::F64(values) => bytemuck::cast_slice(values),
        }
    }
}

struct Flat<'a> {
    column: &'a Column<'a>,
    shape: [usize; 1],
}

impl<'a> Flat<'a> {
    fn of(column: &'a Column<'a>) -> Self {
        Self { column, shape: [column.n_value()] }
    }
}

impl View for Flat<'_> {
    fn dtype(&self) -> Dtype {
        self.column.dtype()
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.column.data())
    }
    fn data_len(&self) -> usize {
        self.column.data().len()
    }
}
