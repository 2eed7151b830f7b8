//! From a CSV file to two columns of numbers.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use batchlab_core::error::{excerpt, shown};
use batchlab_core::registry::suggestion;
use batchlab_core::{DatasetError, MemoryBudget};
use batchlab_structures::UnixLines;
use csv::{ByteRecord, ErrorKind, Position, Reader, ReaderBuilder, Trim};
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

/// Memory that a compressed file may require for decompression, in bytes; xz at its highest level
/// needs 65 MB.
const MAX_UNPACK_MEMORY: u64 = 1 << 28;

/// Bytes per graph, while its sizes are read and in storage.
const GRAPH_BYTES: u64 = 48;

/// The columns to read, in this order.
const COLUMNS: [&str; 2] = ["n_node", "n_edge"];

/// The minimum of each column.
const LEAST: [u32; 2] = [1, 0];

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) n_node: Vec<u32>,
    pub(crate) n_edge: Vec<u32>,
}

/// Reads at most `limit` graphs of a file, plain or compressed with xz, as detected from its first
/// bytes.
pub(crate) fn file(
    path: &Path,
    limit: usize,
    memory: &MemoryBudget,
) -> Result<Counts, DatasetError> {
    let failed = |source| DatasetError::Io { path: path.to_owned(), source };
    let mut plain = BufReader::new(File::open(path).map_err(failed)?);
    if plain.fill_buf().map_err(failed)?.starts_with(b"\xfd7zXZ\0") {
        let decoder = Stream::new_stream_decoder(MAX_UNPACK_MEMORY, CONCATENATED)
            .map_err(|error| failed(error.into()))?;
        let unpacked = BufReader::new(XzDecoder::new_stream(plain, decoder));
        return stream(path, unpacked, limit, memory).map_err(damaged);
    }
    stream(path, plain, limit, memory)
}

/// A decompression error, with its remedy.
fn damaged(error: DatasetError) -> DatasetError {
    let DatasetError::Io { path, source } = error else { return error };
    let message = format!("the xz stream is damaged or cut off ({source}); copy it again");
    DatasetError::Io { path, source: io::Error::new(source.kind(), message) }
}

/// Reads text; `path` is for messages.
fn stream(
    path: &Path,
    text: impl BufRead,
    limit: usize,
    memory: &MemoryBudget,
) -> Result<Counts, DatasetError> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(UnixLines::new(text));
    let columns = header(path, &mut reader)?;
    let mut counts = Counts::default();
    let mut record = ByteRecord::new();
    while counts.n_node.len() < limit {
        let start = reader.position().clone();
        if !reader.read_byte_record(&mut record).map_err(|error| fault(path, &start, error))? {
            break;
        }
        let cell = |what: usize| {
            count(&record, columns[what], what).map_err(|e| malformed(path, line(&record), e))
        };
        memory.take(GRAPH_BYTES, "the sizes")?;
        counts.n_node.push(cell(0)?);
        counts.n_edge.push(cell(1)?);
    }
    Ok(counts)
}

/// The positions of the two columns.
fn header(path: &Path, reader: &mut Reader<impl io::Read>) -> Result<[usize; 2], DatasetError> {
    let start = reader.position().clone();
    let header = reader.byte_headers().map_err(|error| fault(path, &start, error))?;
    if header.is_empty() {
        return Err(DatasetError::Empty(format!(
            "{} holds no line, not even a header",
            path.display()
        )));
    }
    let names: Vec<String> =
        header.iter().map(|name| shown(&String::from_utf8_lossy(name))).collect();
    let mut columns = [0; 2];
    for (column, name) in columns.iter_mut().zip(COLUMNS) {
        let mut places = (0..names.len()).filter(|&at| names[at] == name);
        let found = || excerpt(&names.join(", "), 300);
        *column = places.next().ok_or_else(|| {
            let near = suggestion(name, &names).replace("did you mean", "is it called");
            let message = format!(
                "the header has no column `{name}`{near}; the columns are: {}; rename one",
                found()
            );
            malformed(path, line(header), message)
        })?;
        if places.next().is_some() {
            let message =
                format!("the header names the column `{name}` twice: {}; rename one", found());
            return Err(malformed(path, line(header), message));
        }
    }
    Ok(columns)
}

/// One number; `what` is 0 for nodes and 1 for edges. The error is a message.
fn count(record: &ByteRecord, column: usize, what: usize) -> Result<u32, String> {
    let bytes = record.get(column).unwrap_or_default();
    match std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
        Some(number) if number >= LEAST[what] => Ok(number),
        _ => Err(format!(
            "column {} (`{}`) should be a whole number from {} to {}, found `{}`; correct it",
            column + 1,
            COLUMNS[what],
            LEAST[what],
            u32::MAX,
            shown(&String::from_utf8_lossy(bytes))
        )),
    }
}

fn line(record: &ByteRecord) -> u64 {
    record.position().map_or(1, Position::line)
}

fn malformed(path: &Path, line: u64, message: String) -> DatasetError {
    DatasetError::Malformed { path: path.to_owned(), line: line as usize, message }
}

/// An error of the CSV reader, located after the last good position.
fn fault(path: &Path, start: &Position, error: csv::Error) -> DatasetError {
    match error.into_kind() {
        ErrorKind::Io(source) => DatasetError::Io { path: path.to_owned(), source },
        ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().unwrap_or(start).line();
            malformed(
                path,
                line,
                format!(
                    "expected {expected_len} columns as in the header, found {len}; correct the line"
                ),
            )
        }
        other => malformed(path, start.line(), format!("{other:?}; correct the line")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(text: &str) -> Result<Counts, DatasetError> {
        stream(Path::new("sizes.csv"), text.as_bytes(), usize::MAX, &MemoryBudget::default())
    }

    fn check(text: &str, n_node: &[u32], n_edge: &[u32]) {
        let counts = read(text).expect("a good table");
        assert_eq!(
            (counts.n_node.as_slice(), counts.n_edge.as_slice()),
            (n_node, n_edge),
            "{text}"
        );
    }

    fn broken(text: &str, parts: &[&str]) {
        let error = read(text).expect_err(text).to_string();
        for part in parts {
            assert!(error.contains(part), "`{part}` is missing: {error}");
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        check("n_node,n_edge\n5,20\n1,0\n", &[5, 1], &[20, 0]);
        check("name,n_edge,x,n_node\n\"a, b\",20,1.5,5\nä,6,,3", &[5, 3], &[20, 6]);
        check(" n_node , n_edge \r\n 5 , 20 \r\n\r\n", &[5], &[20]);
        check("\u{feff}n_node,n_edge\n5,20\n", &[5], &[20]);
        check("note,n_node,n_edge\n\"two\nlines\",5,20\n", &[5], &[20]);
        check("n_node,n_edge\n", &[], &[]);
    }

    #[test]
    fn faults_name_line_column_and_value() {
        for value in ["0", "-1", "5.0", "many", "", "4294967296"] {
            let found = format!(
                "sizes.csv:3: column 1 (`n_node`) should be a whole number from 1 to 4294967295, found `{value}`"
            );
            broken(&format!("n_node,n_edge\n5,20\n{value},20\n"), &[&found]);
        }
        broken(
            "a,n_node,n_edge\n1,5,x\n",
            &["sizes.csv:2: column 3 (`n_edge`)", "from 0 to", "`x`"],
        );
        broken("n_node,n_edge\r\n5,20\r\nx,20\r\n", &["sizes.csv:3: column 1"]);
        broken("n_node,n_edge\r\n5,20\r\n5\r\n", &["sizes.csv:3: expected 2 columns"]);
        // A two-line cell before it does not confuse the line count.
        broken(
            "a,n_node,n_edge\n\"1\n2\",5,6\n3,x,6\n",
            &["sizes.csv:4: column 2 (`n_node`)", "`x`"],
        );
        broken(
            "n_node,n_edge\n5,20\n5\n",
            &["sizes.csv:3: expected 2 columns as in the header, found 1"],
        );
        broken(
            "n_node,n_edge\n5,20,7\n",
            &["sizes.csv:2: expected 2 columns as in the header, found 3"],
        );
    }

    #[test]
    fn faults_of_the_header_are_named() {
        broken(
            "n_nodes,n_edge\n",
            &[
                "sizes.csv:1: the header has no column `n_node`",
                "is it called \"n_nodes\"",
                "n_nodes, n_edge",
            ],
        );
        broken("5,20\n", &["no column `n_node`", "5, 20"]);
        broken("n_node,n_edge,n_node\n", &["names the column `n_node` twice"]);
        broken("", &["sizes.csv holds no line"]);
    }

    #[test]
    fn packed_files_are_told_by_content() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(b"n_node,n_edge\n5,20\n6,30\n").expect("memory");
        let packed = encoder.finish().expect("memory");
        std::fs::write(file.path(), &packed).expect("a file");
        let counts =
            super::file(file.path(), usize::MAX, &MemoryBudget::default()).expect("a packed table");
        assert_eq!(counts, Counts { n_node: vec![5, 6], n_edge: vec![20, 30] });
        assert_eq!(
            super::file(file.path(), 1, &MemoryBudget::default()).expect("a packed table").n_node,
            [5]
        );

        std::fs::write(file.path(), &packed[..packed.len() - 8]).expect("a file");
        let error =
            super::file(file.path(), usize::MAX, &MemoryBudget::default()).expect_err("cut off");
        assert!(error.to_string().contains("damaged or cut off"), "{error}");
    }
}
