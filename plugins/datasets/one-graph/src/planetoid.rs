//! Planetoid's eight files of Cora, Citeseer and Pubmed (Yang et al. 2016, arXiv 1603.08861):
//! `ind.<name>.{x, y, tx, ty, allx, ally, graph}`, pickled, and `ind.<name>.test.index`.
//!
//! `allx` and `ally` are the first nodes, `tx` and `ty` those listed in `test.index`, in its order.
//! The training nodes come first, as many as `y` has rows, and the next 500 are for validation.
//! Citeseer has 15 nodes of the test range that are in neither: they stay, without features, class
//! and edges.

mod arrays;
mod pickle;

use std::path::{Path, PathBuf};

use batchlab_core::error::shown;
use batchlab_core::graphs::{FixedSplit, OneGraph};
use batchlab_core::{DatasetError, LoadContext, MemoryBudget};

use crate::split::{self, Fault};
use crate::tables::{FileFault, Tables, of_rows, rows_bytes};
use arrays::{Matrix, Rows};
use pickle::Pickle;

/// As in the paper and ever since.
const N_VALIDATION: usize = 500;

/// The name of the data set if a file's name is one of the eight.
pub(crate) fn name_of(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?.strip_prefix("ind.")?;
    ["x", "y", "tx", "ty", "allx", "ally", "graph", "test.index"]
        .iter()
        .find_map(|part| name.strip_suffix(part)?.strip_suffix('.'))
}

/// Reads the files beside `asked`, which is one of them as named in the configuration.
pub(crate) fn read(asked: &Path, name: &str, ctx: &LoadContext) -> Result<Tables, DatasetError> {
    let open = |part: &str| -> Result<Opened, DatasetError> {
        let path = ctx.resolve(&asked.with_file_name(format!("ind.{name}.{part}")))?;
        Opened::read(path, &ctx.memory)
    };
    let (first_features, test_features) = (open("allx")?.rows()?, open("tx")?.rows()?);
    let (first_classes, test_classes) = (open("ally")?.matrix()?, open("ty")?.matrix()?);
    let (train_features, train_classes) = (open("x")?.rows()?, open("y")?.matrix()?);
    let graph = open("graph")?;
    let index = open("test.index")?;
    let test = index.numbers()?;

    let folder = asked.parent().unwrap_or(asked);
    let same = |what: &str, got: usize, of: &str, expected: usize| {
        if got == expected {
            return Ok(());
        }
        let message = format!("ind.{name}.{what} has {got} rows, but ind.{name}.{of} {expected}");
        Err(FileFault::error(folder, message))
    };
    same("ally", first_classes.n_row, "allx", first_features.n_row())?;
    same("ty", test_classes.n_row, "tx", test_features.n_row())?;
    same("y", train_classes.n_row, "x", train_features.n_row())?;
    same("test.index", test.len(), "tx", test_features.n_row())?;
    let width = first_features.width;
    if test_features.width != width || test_classes.width != first_classes.width {
        return Err(FileFault::error(folder, "allx and tx, or ally and ty, differ in columns"));
    }

    let n_first = first_features.n_row();
    let adjacency = graph.adjacency()?;
    let last_test = test.iter().max().map_or(0, |&last| last + 1);
    let n_node = last_test.max(n_first).max(adjacency.n_node);
    // Each node of the graph's dictionary costs bytes in the file, but a number in the index costs
    // nothing.
    if n_node > n_first + test.len() + adjacency.n_node {
        let message = format!("node {} is far beyond the {n_first} of allx", n_node - 1);
        return Err(FileFault::error(&index.path, message));
    }
    if let Some(at) = test.iter().position(|&node| node < n_first) {
        return Err(DatasetError::Malformed {
            path: index.path,
            line: at + 1,
            message: format!("node {}, expected one behind the {n_first} of allx", test[at]),
        });
    }

    let n_entry = first_features.n_entry() + test_features.n_entry();
    let (n_edge, n_row) = (adjacency.sender.len() as u64, n_node as u64);
    // Positions and labels; entries while their columns grow; edges in both directions and sorted.
    let n_byte =
        64 * n_row + 16 * n_entry as u64 + 72 * n_edge + rows_bytes(n_node, n_entry, width);
    ctx.memory.take(n_byte, "the graph").map_err(DatasetError::Memory)?;
    let mut row_of = vec![None; n_node];
    let of_first = (0..n_first).map(|row| (row, &first_features, &first_classes, row));
    let of_tests = test.iter().enumerate();
    let of_tests = of_tests.map(|(row, &node)| (node, &test_features, &test_classes, row));
    for (node, features, classes, row) in of_first.chain(of_tests) {
        row_of[node] = Some((features, classes, row));
    }
    let (mut offset, mut column, mut value, mut label) =
        (vec![0], Vec::new(), Vec::new(), Vec::new());
    for place in row_of {
        label.push(place.map_or(-1, |(_, classes, row)| classes.class(row)));
        for (at, entry) in place.iter().flat_map(|(features, _, row)| features.row(*row)) {
            column.push(at as u32);
            value.push(entry);
        }
        offset.push(column.len());
    }
    let one = OneGraph::from_edges(n_node, &adjacency.sender, &adjacency.receiver);
    let n_repeated = adjacency.sender.len() - one.sender.len();
    let split = published(&train_classes, n_first, &test, &label, folder)?;
    let notes = vec![
        ("repeated edges left out", n_repeated),
        ("self loops left out", adjacency.n_loop),
        ("test nodes without features", (n_first..n_node).len() - test.len()),
    ];
    let feature = of_rows(&offset, &column, &value, width);
    Ok(Tables { one: one.undirected(), label, feature, split: Some(split), notes })
}

fn published(
    train_classes: &Matrix,
    n_first: usize,
    test: &[usize],
    label: &[i64],
    folder: &Path,
) -> Result<FixedSplit, DatasetError> {
    let n_train = train_classes.n_row;
    if n_train + N_VALIDATION > n_first {
        let message = format!(
            "y has {n_train} rows and {N_VALIDATION} more are for validation, but allx has {n_first}"
        );
        return Err(FileFault::error(folder, message));
    }
    let mut test: Vec<u32> = test.iter().map(|&node| node as u32).collect();
    test.sort_unstable();
    let split = FixedSplit {
        train: (0..n_train as u32).collect(),
        validation: (n_train as u32..(n_train + N_VALIDATION) as u32).collect(),
        test,
    };
    let parts = [&*split.train, &*split.validation, &*split.test];
    let name = ["training", "validation", "test"];
    match split::check(parts, label) {
        Ok(()) => Ok(split),
        Err(Fault::Empty { part }) => {
            Err(FileFault::error(folder, format!("there is no node for {}", name[part])))
        }
        Err(Fault::Node { part, at, expected }) => {
            let (node, part) = (parts[part][at], name[part]);
            Err(FileFault::error(folder, format!("node {node} of {part}: expected {expected}")))
        }
    }
}

struct Opened {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Memory budget for the file and the data derived from it.
    memory: MemoryBudget,
}

struct Adjacency {
    n_node: usize,
    sender: Vec<u32>,
    receiver: Vec<u32>,
    n_loop: usize,
}

impl Opened {
    fn read(path: PathBuf, memory: &MemoryBudget) -> Result<Self, DatasetError> {
        let io = |source| DatasetError::Io { path: path.clone(), source };
        let length = std::fs::metadata(&path).map_err(io)?.len();
        let memory = memory.of_file(length);
        memory
            .take(length, "its bytes")
            .map_err(|error| FileFault::error(&path, pickle::over(&error)))?;
        let bytes = batchlab_files::read_data(&path, length).map_err(io)?;
        Ok(Self { path, bytes, memory })
    }

    fn pickle(&self) -> Result<Pickle<'_>, DatasetError> {
        Pickle::read(&self.bytes, &self.memory).map_err(|message| self.fault(&message))
    }

    fn rows(&self) -> Result<Rows, DatasetError> {
        Rows::of(&self.pickle()?, &self.memory).map_err(|message| self.fault(&message))
    }

    fn matrix(&self) -> Result<Matrix, DatasetError> {
        Matrix::of(&self.pickle()?, &self.memory).map_err(|message| self.fault(&message))
    }

    /// The edges of `{node: [neighbour, ...]}`, without self-loops.
    fn adjacency(&self) -> Result<Adjacency, DatasetError> {
        let pickle = self.pickle()?;
        let wrong = |message: String| self.fault(&message);
        let lists = pickle.lists().map_err(wrong)?;
        let n_node = lists.len();
        let (mut sender, mut receiver, mut n_loop) = (Vec::new(), Vec::new(), 0);
        for (node, neighbours) in lists {
            // Many nodes may share one list.
            let n_byte = 16 * neighbours.len() as u64;
            self.memory.take(n_byte, "its edges").map_err(|error| wrong(pickle::over(&error)))?;
            for &neighbour in neighbours {
                let neighbour = pickle.node(neighbour).map_err(wrong)?;
                if node.max(neighbour) >= n_node as u64 {
                    let largest = node.max(neighbour);
                    let message =
                        format!("it names node {largest}, but it has lists for {n_node} nodes");
                    return Err(self.fault(&message));
                }
                if node == neighbour {
                    n_loop += 1;
                } else {
                    receiver.push(node as u32);
                    sender.push(neighbour as u32);
                }
            }
        }
        Ok(Adjacency { n_node, sender, receiver, n_loop })
    }

    /// One number per line.
    fn numbers(&self) -> Result<Vec<usize>, DatasetError> {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = text.trim_start_matches('\u{feff}').trim_end();
        let number = |(at, line): (usize, &str)| {
            line.trim().parse::<u32>().map(|node| node as usize).map_err(|_| {
                let message = format!("\"{}\", expected the number of a node", shown(line));
                DatasetError::Malformed { path: self.path.clone(), line: at + 1, message }
            })
        };
        text.lines().enumerate().map(number).collect()
    }

    fn fault(&self, message: &str) -> DatasetError {
        FileFault::error(&self.path, message)
    }
}
