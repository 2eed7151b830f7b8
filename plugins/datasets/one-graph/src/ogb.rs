//! A directory in the raw layout of the Open Graph Benchmark's node data sets (Hu et al. 2020,
//! arXiv 2005.00687), as unpacked from the archives: `raw/*.csv.gz` or, for large data sets,
//! `raw/data.npz` and `raw/node-label.npz` ([`arrays`]), and
//! `split/<kind>/{train,valid,test}.csv.gz`. Tables may be uncompressed.

mod arrays;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use batchlab_core::error::shown;
use batchlab_core::graphs::{FixedSplit, NodeFeature, OneGraph};
use batchlab_core::{DatasetError, MemoryBudget};
use batchlab_files::open_data;
use csv::ByteRecord;
use flate2::read::MultiGzDecoder;

use crate::bounded_lines::{BoundedLines, LongLine};
use crate::split::{self, Fault};
use crate::tables::{FileFault, Tables, largest_class};

const MAX_NODE: i64 = i32::MAX as i64;

pub(crate) fn read(
    folder: &Path,
    max_byte: u64,
    memory: &MemoryBudget,
) -> Result<Tables, DatasetError> {
    let raw = folder.join("raw");
    let (sender, receiver, label, feature) = if raw.join(arrays::DATA).exists() {
        arrays::read(&raw, max_byte, memory)?
    } else {
        tables(&raw, memory)?
    };
    let n_node = label.len();
    // Rows are filled and sorted.
    let n_byte = 8 * sender.len() as u64 + 24 * n_node as u64;
    memory.take(n_byte, "the graph").map_err(DatasetError::Memory)?;
    let one = OneGraph::from_edges(n_node, &sender, &receiver);
    let n_repeated = sender.len() - one.sender.len();
    let split = published(&folder.join("split"), &label, memory)?;
    let names = ["edge-feat", "node_year", "node_species"];
    let n_unread = names.iter().filter(|name| table_in(&raw, name).exists()).count();
    let notes = vec![("repeated edges left out", n_repeated), ("files not read", n_unread)];
    Ok(Tables { one, label, feature, split: Some(split), notes })
}

/// Senders, receivers, labels and features.
type Raw = (Vec<u32>, Vec<u32>, Vec<i64>, NodeFeature);

fn tables(raw: &Path, memory: &MemoryBudget) -> Result<Raw, DatasetError> {
    let open = |name, expected: usize, why| {
        Ok::<_, DatasetError>(Rows { expected, why, ..Rows::open(raw, name, memory)? })
    };
    let n_node = Rows::open(raw, "num-node-list", memory)?.count()?;
    let per_node = "one line for each node of num-node-list";
    // Lines are counted before memory is allocated by their number.
    let label = labels(open("node-label", n_node, per_node)?, n_node)?;
    let feature = features(open("node-feat", n_node, per_node)?)?;
    let n_edge = Rows::open(raw, "num-edge-list", memory)?.count()?;
    let (sender, receiver) = edges(open("edge", n_edge, "as num-edge-list says")?, n_node)?;
    Ok((sender, receiver, label, feature))
}

/// A table of a directory, compressed or not.
fn table_in(folder: &Path, name: &str) -> PathBuf {
    let plain = folder.join(format!("{name}.csv"));
    if plain.exists() { plain } else { folder.join(format!("{name}.csv.gz")) }
}

fn labels(mut rows: Rows, n_node: usize) -> Result<Vec<i64>, DatasetError> {
    let (mut label, most) = (Vec::new(), largest_class(n_node));
    while rows.next()? {
        let text = rows.only()?;
        let value = match text {
            // pandas writes the last of these.
            "nan" | "NaN" | "\"\"" => -1,
            _ => rows.number(0, 0, most, "a class, from 0, below the number of nodes")?,
        };
        // 64-bit numbers in a growing vector.
        rows.memory.take(8, "its numbers")?;
        label.push(value);
    }
    rows.end()?;
    Ok(label)
}

fn features(mut rows: Rows) -> Result<NodeFeature, DatasetError> {
    let (mut value, mut width) = (Vec::new(), 0);
    while rows.next()? {
        if rows.n_row == 1 {
            width = rows.record.len();
        } else if rows.record.len() != width {
            let got = rows.record.len();
            return Err(rows.wrong(format!("{got} features, expected {width} as in line 1")));
        }
        for column in 0..width {
            let text = rows.text(column)?;
            match text.parse::<f32>() {
                Ok(number) if number.is_finite() => value.push(number),
                _ => {
                    let text = shown(text);
                    let place = column + 1;
                    return Err(rows.wrong(format!(
                        "feature {place} is \"{text}\", expected a finite number"
                    )));
                }
            }
        }
    }
    rows.end()?;
    Ok(NodeFeature::Dense { value, width })
}

/// Senders and receivers.
fn edges(mut rows: Rows, n_node: usize) -> Result<(Vec<u32>, Vec<u32>), DatasetError> {
    let (mut sender, mut receiver) = (Vec::new(), Vec::new());
    while rows.next()? {
        if rows.record.len() != 2 {
            let got = rows.record.len();
            return Err(rows.wrong(format!("{got} columns, expected a sender and a receiver")));
        }
        sender.push(rows.node(0, n_node)?);
        receiver.push(rows.node(1, n_node)?);
    }
    rows.end()?;
    Ok((sender, receiver))
}

fn published(
    folder: &Path,
    label: &[i64],
    memory: &MemoryBudget,
) -> Result<FixedSplit, DatasetError> {
    let io = |source| DatasetError::Io { path: folder.to_owned(), source };
    let mut kinds = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_dir() {
            kinds.push(path);
        }
    }
    let [kind] = &kinds[..] else {
        let n = kinds.len();
        return Err(FileFault::error(
            folder,
            format!("it holds {n} folders, expected one, such as \"time\"; remove the others"),
        ));
    };
    if kind.join("split_dict.pt").exists() && !table_in(kind, "train").exists() {
        return Err(FileFault::error(
            &kind.join("split_dict.pt"),
            "PyTorch's format is not read; write train.csv.gz, valid.csv.gz and test.csv.gz from \
             it, one node per line",
        ));
    }
    let names = ["train", "valid", "test"];
    let part = |name: &str| -> Result<Vec<u32>, DatasetError> {
        let (mut rows, mut nodes) = (Rows::open(kind, name, memory)?, Vec::new());
        (rows.expected, rows.why) = (label.len(), "each node once");
        while rows.next()? {
            rows.only()?;
            nodes.push(rows.node(0, label.len())?);
        }
        Ok(nodes)
    };
    let [train, validation, test] = names;
    let split =
        FixedSplit { train: part(train)?, validation: part(validation)?, test: part(test)? };
    let parts = [&*split.train, &*split.validation, &*split.test];
    split::check(parts, label).map_err(|fault| match fault {
        Fault::Empty { part } => FileFault::error(&table_in(kind, names[part]), "it names no node"),
        Fault::Node { part, at, expected } => FileFault::error(
            &table_in(kind, names[part]),
            format!("node {}, expected {expected}", parts[part][at]),
        ),
    })?;
    Ok(split)
}

/// The lines of a table without header, compressed or not. Blank lines are skipped.
struct Rows {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read>>,
    record: ByteRecord,
    memory: MemoryBudget,
    n_row: usize,
    /// The required number of lines, and the reason.
    expected: usize,
    why: &'static str,
}

impl Rows {
    fn open(folder: &Path, name: &str, memory: &MemoryBudget) -> Result<Self, DatasetError> {
        let path = table_in(folder, name);
        let io = |source: std::io::Error| {
            if source.kind() == std::io::ErrorKind::NotFound {
                let message = "it is missing; the folder is not a complete data set of the Open \
                               Graph Benchmark, unpack its archive again";
                return FileFault::error(&path, message);
            }
            DatasetError::Io { path: path.clone(), source }
        };
        let mut file = BufReader::new(open_data(&path).map_err(io)?);
        let is_packed = file.fill_buf().map_err(io)?.starts_with(b"\x1f\x8b");
        let text: Box<dyn Read> = if is_packed {
            Box::new(BoundedLines::new(MultiGzDecoder::new(file)))
        } else {
            Box::new(BoundedLines::new(file))
        };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .quoting(false)
            .buffer_capacity(1 << 16)
            .from_reader(text);
        let (record, memory) = (ByteRecord::new(), memory.clone());
        Ok(Self { path, reader, record, memory, n_row: 0, expected: usize::MAX, why: "" })
    }

    /// The next line, if any; a surplus line is an error.
    fn next(&mut self) -> Result<bool, DatasetError> {
        loop {
            let read = self.reader.read_byte_record(&mut self.record);
            let read = read.map_err(|error| match error.into_kind() {
                csv::ErrorKind::Io(source) => {
                    if let Some(LongLine { line }) = LongLine::of(&source) {
                        let (path, message) = (self.path.clone(), LongLine::MESSAGE.into());
                        return DatasetError::Malformed { path, line, message };
                    }
                    let message = format!("it is cut off or damaged ({source}); copy it again");
                    FileFault::error(&self.path, message)
                }
                other => FileFault::error(&self.path, format!("it is not a table: {other:?}")),
            })?;
            if !read {
                return Ok(false);
            }
            let is_blank = self.record.len() == 1 && self.record[0].trim_ascii().is_empty();
            if !is_blank {
                break;
            }
        }
        self.n_row += 1;
        if self.n_row > self.expected {
            let message = format!("more than {} lines, expected {}", self.expected, self.why);
            return Err(self.wrong(message));
        }
        // Compressed data may have any number of lines; this bounds what is kept of each.
        self.memory.take(8 * self.record.len() as u64, "its numbers")?;
        Ok(true)
    }

    /// Called after the last line.
    fn end(&self) -> Result<(), DatasetError> {
        let Self { path, n_row, expected, why, .. } = self;
        if n_row == expected {
            return Ok(());
        }
        Err(FileFault::error(path, format!("it has {n_row} lines, expected {expected}, {why}")))
    }

    /// The only number of a one-line file.
    fn count(&mut self) -> Result<usize, DatasetError> {
        if !self.next()? {
            return Err(FileFault::error(&self.path, "it is empty, expected one number"));
        }
        self.only()?;
        let n = self.number(0, 1, MAX_NODE, "a count of at least 1")?;
        if self.next()? {
            return Err(
                self.wrong("a second line: data sets of several graphs are not read".into())
            );
        }
        #[allow(clippy::cast_sign_loss, reason = "checked to be at least 1")]
        Ok(n as usize)
    }

    /// The text of a single-column line.
    fn only(&self) -> Result<&str, DatasetError> {
        match self.record.len() {
            1 => self.text(0),
            n => Err(self.wrong(format!("{n} columns, expected one"))),
        }
    }

    fn text(&self, column: usize) -> Result<&str, DatasetError> {
        std::str::from_utf8(&self.record[column])
            .map(str::trim)
            .map_err(|_| self.wrong(format!("column {} is not text", column + 1)))
    }

    /// An integer, which may be written as `3.0`.
    fn number(
        &self,
        column: usize,
        least: i64,
        most: i64,
        expected: &str,
    ) -> Result<i64, DatasetError> {
        let text = self.text(column)?;
        let whole = text.strip_suffix(".0").unwrap_or(text).parse::<i64>();
        match whole {
            Ok(value) if (least..=most).contains(&value) => Ok(value),
            _ => Err(self.wrong(format!("\"{}\", expected {expected}", shown(text)))),
        }
    }

    fn node(&self, column: usize, n_node: usize) -> Result<u32, DatasetError> {
        let value = self.number(column, 0, n_node as i64 - 1, &format!("a node below {n_node}"))?;
        #[allow(clippy::cast_sign_loss, reason = "checked to be at least 0")]
        Ok(value as u32)
    }

    fn wrong(&self, message: String) -> DatasetError {
        let line = self.record.position().map_or(1, csv::Position::line) as usize;
        DatasetError::Malformed { path: self.path.clone(), line, message }
    }
}
