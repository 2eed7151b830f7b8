//! Parses and checks a published file.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use batchlab_config::Subset;
use csv::StringRecord;
use sha2::{Digest, Sha256};

use crate::ImportError;
use crate::header::Header;

/// An error at a checkpoint, as published.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    pub column: String,
    pub step: i64,
    pub split: Subset,
    pub value: f64,
    /// The number as it was printed.
    pub text: String,
}

/// Times of a step over a run, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    pub batching_mean: f64,
    pub batching_median: f64,
    /// Mean time of the whole step, batching included.
    pub combined_mean: f64,
    /// Median time of the whole step, batching included.
    pub combined_median: f64,
}

impl Times {
    /// The bits of all four numbers: equal only for a copy.
    pub(crate) fn bits(&self) -> [u64; 4] {
        [self.batching_mean, self.batching_median, self.combined_mean, self.combined_median]
            .map(f64::to_bits)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct PublishedRow {
    /// Line of the file, from 1.
    pub line: u64,
    /// In lower case.
    pub model: String,
    pub dataset: String,
    /// The label of the strategy in batchlab.
    pub batcher: &'static str,
    pub batch_size: i64,
    /// `gpu_a100` or `cpu`.
    pub device: String,
    pub repeat: i64,
    /// Whether the job's log says that the last step was reached; `None` without a job.
    pub is_complete: Option<bool>,
    /// Whether there was a job.
    pub was_run: bool,
    /// Compilations of the training step, the first included.
    pub n_shape: Option<i64>,
    /// Times, where all four are given.
    pub times: Option<Times>,
    pub errors: Vec<Cell>,
    /// All other columns, by name.
    pub texts: Vec<(String, String)>,
}

impl PublishedRow {
    /// What distinguishes one run from another within a file.
    pub(crate) fn identity(&self) -> (&str, &str, &str, i64, &str, i64) {
        let Self { model, dataset, batcher, batch_size, device, repeat, .. } = self;
        (model, dataset, batcher, *batch_size, device, *repeat)
    }
}

#[derive(Debug, Clone)]
pub struct PublishedFile {
    pub path: PathBuf,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
    pub n_step: i64,
    pub rows: Vec<PublishedRow>,
}

impl PublishedFile {
    /// The file's name without its folder and `.csv`.
    #[must_use]
    pub fn stem(&self) -> String {
        self.path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// Reads a file as the authors of arXiv 2502.00944 publish their results.
///
/// # Errors
/// A file that cannot be read, lacks a column, or holds a value that is not what its column says;
/// the error names the line and the value.
pub fn read(path: &Path) -> Result<PublishedFile, ImportError> {
    let io = |source| ImportError::Io { path: path.to_owned(), source };
    let csv = |source| ImportError::Csv { path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(io)?;
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header = Header::parse(path, reader.headers().map_err(csv)?)?;
    let mut rows: Vec<PublishedRow> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(csv)?;
        let line = record.position().map_or(0, csv::Position::line);
        let row = Reader { path, header: &header, record: &record, line }.row()?;
        if let Some(first) = rows.iter().find(|first| first.identity() == row.identity()) {
            return Err(ImportError::Twice { path: path.to_owned(), line, first: first.line });
        }
        rows.push(row);
    }
    let sha256: Vec<String> = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    let n_step = header.n_step;
    Ok(PublishedFile { path: path.to_owned(), sha256: sha256.concat(), n_step, rows })
}

struct Reader<'a> {
    path: &'a Path,
    header: &'a Header,
    record: &'a StringRecord,
    line: u64,
}

impl Reader<'_> {
    fn row(&self) -> Result<PublishedRow, ImportError> {
        let header = self.header;
        let times = header.times.map(|column| self.seconds(column));
        let times = match times {
            [
                Ok(Some(batching_mean)),
                Ok(Some(batching_median)),
                Ok(Some(mean)),
                Ok(Some(median)),
            ] => Some(Times {
                batching_mean,
                batching_median,
                combined_mean: mean,
                combined_median: median,
            }),
            times => {
                for time in times {
                    time?;
                }
                None
            }
        };
        let others = (0..self.record.len()).filter(|&column| !header.has_own_column(column));
        Ok(PublishedRow {
            line: self.line,
            model: self.word(header.model)?.to_lowercase(),
            dataset: self.word(header.dataset)?,
            batcher: self.batcher()?,
            batch_size: self.whole(header.batch_size, "a batch size of 2 or more", 2)?,
            device: self.word(header.computing_type)?,
            repeat: self.whole(header.iteration, "the number of a repetition", 0)?,
            is_complete: match self.text(header.completed) {
                "True" => Some(true),
                "False" => Some(false),
                _ if self.is_empty(header.completed) => None,
                _ => return Err(self.value(header.completed, "True, False, or empty")),
            },
            was_run: !self.is_empty(header.path),
            n_shape: self.number(header.recompilations)?.map(|count| count as i64),
            times,
            errors: self.errors()?,
            texts: others
                .map(|column| (header.name(column).to_owned(), self.text(column).to_owned()))
                .collect(),
        })
    }

    fn batcher(&self) -> Result<&'static str, ImportError> {
        let (kind, round) = (self.text(self.header.batching_type), self.header.round_to_64);
        Ok(match (kind, self.text(round)) {
            ("dynamic", _) => "dynamic",
            ("static_constant", _) => "static-constant",
            ("static", "True") => "static-64",
            ("static", "False") => "static-2^N",
            ("static", _) => {
                return Err(self.value(round, "True (static-64) or False (static-2^N)"));
            }
            _ => {
                let column = self.header.batching_type;
                return Err(self.value(column, "dynamic, static or static_constant"));
            }
        })
    }

    fn errors(&self) -> Result<Vec<Cell>, ImportError> {
        let mut cells = Vec::new();
        for &(place, step, split) in &self.header.errors {
            if let Some(value) = self.number(place)? {
                let (column, text) =
                    (self.header.name(place).to_owned(), self.text(place).to_owned());
                cells.push(Cell { column, step, split, value, text });
            }
        }
        Ok(cells)
    }

    fn text(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default().trim()
    }

    fn is_empty(&self, column: usize) -> bool {
        matches!(self.text(column), "" | "nan" | "NaN")
    }

    fn word(&self, column: usize) -> Result<String, ImportError> {
        if self.is_empty(column) {
            return Err(self.value(column, "a name"));
        }
        Ok(self.text(column).to_owned())
    }

    fn whole(&self, column: usize, expected: &'static str, least: i64) -> Result<i64, ImportError> {
        let number = i64::from_str(self.text(column)).ok().filter(|number| *number >= least);
        number.ok_or_else(|| self.value(column, expected))
    }

    /// A number of 0 or more; `None` for an empty field.
    fn number(&self, column: usize) -> Result<Option<f64>, ImportError> {
        if self.is_empty(column) {
            return Ok(None);
        }
        let number = f64::from_str(self.text(column)).ok();
        let number = number.filter(|number| number.is_finite() && *number >= 0.0);
        number.map(Some).ok_or_else(|| self.value(column, "a number of 0 or more"))
    }

    fn seconds(&self, column: usize) -> Result<Option<f64>, ImportError> {
        match self.number(column)? {
            Some(0.0) => Err(self.value(column, "a time above 0, in seconds")),
            number => Ok(number),
        }
    }

    fn value(&self, column: usize, expected: &'static str) -> ImportError {
        ImportError::Value {
            path: self.path.to_owned(),
            line: self.line,
            column: self.header.name(column).to_owned(),
            value: self.text(column).to_owned(),
            expected,
        }
    }
}
