//! Reads published tables; everything that reads them goes through here.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::Once;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use batchlab_core::error::excerpt;
use batchlab_core::record::{Record, SCHEMA_VERSION, Table};
use batchlab_files::read;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use crate::publish::unfinished;
use crate::summary::row_of;
use crate::{Manifest, ResultsError};

/// Number of rows per batch.
const N_ROW: usize = 1 << 14;
/// Key of the version in the footer of a file.
const VERSION: &str = "schema_version";

/// Maximum count or time in nanoseconds: 104 days.
const MAX_NUMBER: u64 = 1 << 53;

/// The published files of a study.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// The runs, which have one file per table with their name.
    pub stems: Vec<String>,
    /// Number of files without checksums, which this program did not publish.
    pub n_unverified: usize,
    /// Runs that are not used.
    pub damaged: Vec<DamagedRun>,
    /// Cells (`runs.cell`) that have finished runs but are not done.
    pub unfinished: BTreeSet<String>,
}

/// A run whose files were changed after publication, contain impossible values, or do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRun {
    /// Name of its files.
    pub stem: String,
    /// What is wrong, with the name of the file.
    pub reason: String,
}

/// Lists the published files of a study and verifies their checksums.
///
/// # Errors
/// A folder without results, or one that cannot be read.
pub fn published(dir: &Path) -> Result<Published, ResultsError> {
    let mut found = Published::default();
    for stem in stems(dir)? {
        // Files that match their checksums belong to the run that published them.
        let looked_at = verify(dir, &stem).and_then(|is_verified| {
            if is_verified { Ok(true) } else { row_of(dir, &stem).map(|_| false) }
        });
        match looked_at {
            Ok(is_verified) => {
                found.n_unverified += usize::from(!is_verified);
                found.stems.push(stem);
            }
            Err(error) => found.damaged.push(DamagedRun { stem, reason: error.to_string() }),
        }
    }
    Ok(found)
}

/// Whether the tables of a run have checksums.
///
/// # Errors
/// A file that differs from the published one.
pub(crate) fn verify(dir: &Path, stem: &str) -> Result<bool, ResultsError> {
    let Some(manifest) = Manifest::read(dir, stem)? else { return Ok(false) };
    manifest.check_owner(dir, stem)?;
    for table in Table::ALL {
        let path = path_of(dir, table, stem);
        let name = format!("tables/{}/{stem}.parquet", table.name());
        let fault = match manifest.files.iter().find(|file| file.path == name) {
            Some(file) => file.fault(dir),
            None => path.exists().then(|| "its run has not published it".to_owned()),
        };
        if let Some(reason) = fault {
            // Either file may be damaged.
            let reason = format!("{reason} (compared with runs/{stem}/files.json)");
            return Err(ResultsError::damaged(&path, reason));
        }
    }
    Ok(true)
}

/// Names of the files in the tables of a study, and of its runs with published tables.
pub(crate) fn stems(dir: &Path) -> Result<BTreeSet<String>, ResultsError> {
    let mut stems = BTreeSet::new();
    for table in Table::ALL {
        let of_table = files(dir, table)?;
        let stem = |path: &PathBuf| path.file_stem()?.to_str().map(str::to_owned);
        stems.extend(of_table.iter().filter_map(stem));
    }
    let unfinished = unfinished(dir);
    for run in list(&dir.join("runs"))? {
        let Some(name) = run.file_name().and_then(|name| name.to_str()) else { continue };
        // A run that is being published has checksums before it has files.
        if stems.contains(name) || unfinished.iter().any(|other| other == name) {
            continue;
        }
        let manifest = Manifest::read(dir, name).ok().flatten();
        if manifest.is_some_and(|of| of.files.iter().any(|file| file.path.starts_with("tables/"))) {
            stems.insert(name.to_owned());
        }
    }
    if stems.is_empty() {
        return Err(ResultsError::NoTables { dir: dir.to_owned() });
    }
    Ok(stems)
}

/// Path of the file with that name.
#[must_use]
pub fn path_of(dir: &Path, table: Table, stem: &str) -> PathBuf {
    dir.join("tables").join(table.name()).join(format!("{stem}.parquet"))
}

/// The Parquet files of a table in order of name; empty if there is no folder.
///
/// # Errors
/// A folder that cannot be read.
pub fn files(dir: &Path, table: Table) -> Result<Vec<PathBuf>, ResultsError> {
    let folder = dir.join("tables").join(table.name());
    let mut paths = list(&folder)?;
    // Opening a pipe would block until there is a writer.
    let is_table = |path: &Path| path.extension().is_some_and(|e| e == "parquet") && path.is_file();
    paths.retain(|path| is_table(path));
    Ok(paths)
}

/// The entries of a folder, sorted; empty if there is no folder.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>, ResultsError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).map_err(ResultsError::read(folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(ResultsError::read(folder))?;
    paths.sort();
    Ok(paths)
}

/// Passes the rows of a published file to `each`, one by one. A missing file has no rows.
///
/// # Errors
/// A damaged file, or a column of another type.
pub fn records<R: Record>(
    dir: &Path,
    stem: &str,
    mut each: impl FnMut(R),
) -> Result<(), ResultsError> {
    let path = path_of(dir, R::TABLE, stem);
    let file = TableFile::open_if_there(&path)?;
    let Some(file) = file.filter(|file| file.n_row() != 0) else { return Ok(()) };
    for rows in file.rows(R::TABLE)? {
        let rows = rows?;
        check_numbers(&rows).map_err(|reason| ResultsError::damaged(&path, reason))?;
        let rows = R::from_batch(&rows).map_err(|error| ResultsError::damaged(&path, error))?;
        rows.into_iter().for_each(&mut each);
    }
    Ok(())
}

/// Rejects impossible counts, steps and times, so that calculations with them cannot overflow.
/// Seeds may be any number.
fn check_numbers(rows: &RecordBatch) -> Result<(), String> {
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let Some(column) = column.as_primitive_opt::<Int64Type>() else { continue };
        let is_beyond = |value: &i64| value.unsigned_abs() > MAX_NUMBER;
        if let Some(value) = column.iter().flatten().find(is_beyond)
            && !field.name().starts_with("seed_")
        {
            return Err(format!("column {} contains the impossible value {value}", field.name()));
        }
    }
    Ok(())
}

/// Maximum length of a table file; a hundred million steps take less.
const MAX_TABLE: u64 = 1 << 32;

/// A Parquet file of a table, held in memory: reading thousands of small files column by column
/// would spend much of its time seeking.
pub struct TableFile {
    path: PathBuf,
    builder: ParquetRecordBatchReaderBuilder<Bytes>,
}

impl TableFile {
    /// Opens a file and reads its footer.
    ///
    /// # Errors
    /// A file that cannot be read, is not a Parquet file, or has another schema version.
    pub fn open(path: &Path) -> Result<Self, ResultsError> {
        let bytes = Bytes::from(read(path, MAX_TABLE).map_err(ResultsError::read(path))?);
        let builder = decode(path, || ParquetRecordBatchReaderBuilder::try_new(bytes))?;
        let builder = builder.map_err(|error| ResultsError::damaged(path, error))?;
        let groups = builder.metadata().row_groups().iter();
        let mut codecs =
            groups.flat_map(RowGroupMetaData::columns).map(ColumnChunkMetaData::compression);
        let is_known =
            |codec: &Compression| matches!(codec, Compression::UNCOMPRESSED | Compression::ZSTD(_));
        if let Some(codec) = codecs.find(|codec| !is_known(codec)) {
            // Without the compression level.
            let codec = codec.to_string().split('(').take(1).collect();
            return Err(ResultsError::Compression { path: path.to_owned(), codec });
        }
        let file = Self { path: path.to_owned(), builder };
        match file.metadata().into_iter().find(|(key, _)| key == VERSION) {
            Some((_, found)) if found != SCHEMA_VERSION.to_string() => {
                Err(ResultsError::OtherVersion { path: file.path, found })
            }
            _ => Ok(file),
        }
    }

    /// Like [`TableFile::open`]; `None` for a missing file.
    ///
    /// # Errors
    /// As for [`TableFile::open`].
    pub fn open_if_there(path: &Path) -> Result<Option<Self>, ResultsError> {
        if path.exists() { Self::open(path).map(Some) } else { Ok(None) }
    }

    /// Key-value pairs of the footer.
    #[must_use]
    pub fn metadata(&self) -> Vec<(String, String)> {
        let pairs = self.builder.metadata().file_metadata().key_value_metadata();
        let pairs = pairs.cloned().unwrap_or_default();
        // Arrow's own entry describes the columns of this particular file.
        let pairs = pairs.into_iter().filter(|pair| pair.key != "ARROW:schema");
        pairs.filter_map(|pair| Some((pair.key, pair.value?))).collect()
    }

    /// Number of rows, according to the footer.
    #[must_use]
    pub fn n_row(&self) -> i64 {
        self.builder.metadata().file_metadata().num_rows()
    }

    /// The rows in batches, with exactly the columns of the current schema ([`Table::conform`]).
    ///
    /// # Errors
    /// A file that cannot be decoded.
    pub fn rows(
        self,
        table: Table,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, ResultsError>>, ResultsError> {
        let Self { path, builder } = self;
        let reader = decode(&path, || builder.with_batch_size(N_ROW).build())?;
        let mut reader: Option<ParquetRecordBatchReader> =
            Some(reader.map_err(|error| ResultsError::damaged(&path, error))?);
        Ok(std::iter::from_fn(move || {
            let next = decode(&path, || reader.as_mut()?.next()).transpose()?;
            let rows = next.and_then(|rows| {
                let rows = rows.and_then(|rows| table.conform(&rows));
                rows.map_err(|error| ResultsError::damaged(&path, error))
            });
            if rows.is_err() {
                reader = None;
            }
            Some(rows)
        }))
    }
}

thread_local! {
    /// Whether this thread is decoding a file: a panic is then caused by the file and becomes an
    /// error.
    static IS_DECODING: Cell<bool> = const { Cell::new(false) };
}

/// The Parquet decoder panics on some kinds of damage. The panic message, which names no file, is
/// suppressed; the resulting error does name it.
fn decode<T>(path: &Path, decode: impl FnOnce() -> T) -> Result<T, ResultsError> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let otherwise = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_DECODING.get() {
                otherwise(panic);
            }
        }));
    });
    IS_DECODING.set(true);
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    IS_DECODING.set(false);
    decoded.map_err(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
        let words = excerpt(words.unwrap_or("the decoder gave up"), 200);
        ResultsError::damaged(path, format!("it cannot be decoded ({words})"))
    })
}
