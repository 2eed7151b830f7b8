//! Arrays of an `.npz` file that belong to the nodes, edges or graphs of one data set.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use batchlab_core::graphs::{OwnField, Per};
use batchlab_core::{DatasetError, MemoryBudget};
use batchlab_npz::{Archive, NpzError, Problem, TypedRows, Values};

use crate::error::GraphsError;

/// Arrays are limited by memory only.
const MAX_BYTE: u64 = 1 << 40;

const KINDS: [Per; 3] = [Per::Node, Per::Edge, Per::Graph];

pub(crate) struct Arrays {
    path: PathBuf,
    file: Archive<BufReader<File>>,
    /// Nodes of each kept graph.
    pub(crate) n_node: Vec<u32>,
    pub(crate) n_edge: Vec<u32>,
    /// Nodes and edges of the file, and of the kept graphs.
    total: [usize; 2],
    kept: [usize; 2],
    n_graph: usize,
}

impl Arrays {
    /// Opens the file and reads the sizes of its graphs, of which the first `limit` are kept.
    pub(crate) fn open(
        path: &Path,
        limit: usize,
        memory: &MemoryBudget,
    ) -> Result<Self, DatasetError> {
        let failed = |source| DatasetError::Io { path: path.to_owned(), source };
        let file = BufReader::new(File::open(path).map_err(failed)?);
        let read = || {
            let mut file = Archive::open(path, file, MAX_BYTE, memory)?;
            let mut n_node = file.counts("n_node", 1, u32::MAX)?;
            let mut n_edge = file.counts("n_edge", 0, u32::MAX)?;
            let n_graph = n_node.len();
            if n_edge.len() != n_graph {
                let expected = format!("{n_graph}, the length of `n_node`");
                return Err(file.fault("n_edge", Problem::Length { got: n_edge.len(), expected }));
            }
            let total = [sum(&n_node), sum(&n_edge)];
            n_node.truncate(limit);
            n_edge.truncate(limit);
            let kept = [sum(&n_node), sum(&n_edge)];
            let path = path.to_owned();
            Ok(Self { path, file, n_node, n_edge, total, kept, n_graph })
        };
        read().map_err(DatasetError::other)
    }

    /// One end of every edge, as a node index within its graph.
    pub(crate) fn ends(&mut self, array: &str) -> Result<Vec<u32>, NpzError> {
        let mut ends = self.file.counts(array, 0, u32::MAX)?;
        self.check_rows(array, ends.len(), Per::Edge)?;
        ends.truncate(self.kept[1]);
        let mut at = 0;
        for (graph, (&n_node, &n_edge)) in self.n_node.iter().zip(&self.n_edge).enumerate() {
            let of_graph = &ends[at..at + n_edge as usize];
            if let Some(place) = of_graph.iter().position(|&end| end >= n_node) {
                let expected = format!(
                    "a node of graph {graph}, 0 to {}; nodes are counted from 0 within each graph",
                    n_node - 1
                );
                let value = of_graph[place].to_string();
                let at = at + place;
                return Err(self.file.fault(array, Problem::Value { at, value, expected }));
            }
            at += n_edge as usize;
        }
        Ok(ends)
    }

    pub(crate) fn has(&self, array: &str) -> bool {
        self.file.has(array)
    }

    /// Integers from 0, one per node.
    pub(crate) fn classes(&mut self, array: &str) -> Result<Vec<u32>, NpzError> {
        let mut classes = self.file.counts(array, 0, MAX_CLASS)?;
        self.check_rows(array, classes.len(), Per::Node)?;
        classes.truncate(self.kept[0]);
        Ok(classes)
    }

    /// Finite numbers, and the row length.
    pub(crate) fn floats(&mut self, array: &str, per: Per) -> Result<(Vec<f32>, usize), NpzError> {
        let (values, width) = self.doubles(array, per)?;
        if let Some(at) = values.iter().position(|value| !(*value as f32).is_finite()) {
            let expected = "a finite number in single precision".to_owned();
            let value = values[at].to_string();
            return Err(self.file.fault(array, Problem::Value { at, value, expected }));
        }
        Ok((values.into_iter().map(|value| value as f32).collect(), width))
    }

    /// Rows of three finite numbers.
    pub(crate) fn vectors(&mut self, array: &str, per: Per) -> Result<Vec<[f32; 3]>, NpzError> {
        match self.floats(array, per)? {
            (values, 3) => Ok(values.as_chunks().0.to_vec()),
            (_, width) => {
                let (found, expected) = (format!("rows of {width}"), "rows of three numbers");
                Err(self.file.fault(array, Problem::Shape { found, expected }))
            }
        }
    }

    /// Numbers, and the row length.
    pub(crate) fn doubles(&mut self, array: &str, per: Per) -> Result<(Vec<f64>, usize), NpzError> {
        let TypedRows { width, values, .. } = self.rows(array, per)?;
        let values = match values {
            Values::Integer(values) => values.into_iter().map(|value| value as f64).collect(),
            Values::Float(values) => values,
        };
        Ok((values, width))
    }

    /// A custom field, with a row per node, edge or graph. Edges are reordered by `order`.
    pub(crate) fn own(&mut self, name: &str, order: &[u32]) -> Result<OwnField, DatasetError> {
        let of = KINDS.map(|per| (per, format!("{per}.{name}")));
        let mut found = of.into_iter().filter(|(_, array)| self.file.has(array));
        let Some((per, array)) = found.next() else {
            return Err(self.no_array("fields", name, &KINDS));
        };
        if let Some((_, second)) = found.next() {
            let (path, first) = (self.path.clone(), array);
            return Err(DatasetError::other(GraphsError::Twice { path, first, second }));
        }
        let field = self.typed(name, &array, per).map_err(DatasetError::other)?;
        Ok(if per == Per::Edge { field.reordered(order) } else { field })
    }

    fn typed(&mut self, name: &str, array: &str, per: Per) -> Result<OwnField, NpzError> {
        let TypedRows { kind, width, values } = self.rows(array, per)?;
        if width == 0 {
            let (found, expected) = ("rows of 0".to_owned(), "a number in each row, or more");
            return Err(self.file.fault(array, Problem::Shape { found, expected }));
        }
        Ok(match values {
            Values::Float(values) => {
                let is_lost = |value: &f64| value.is_finite() && !(*value as f32).is_finite();
                if let Some(at) = values.iter().position(is_lost) {
                    let expected = "a number that single precision can hold".to_owned();
                    let value = values[at].to_string();
                    return Err(self.file.fault(array, Problem::Value { at, value, expected }));
                }
                let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
                OwnField::new(name, per, width, &values)
            }
            // These types convert without loss.
            Values::Integer(values) => match kind.as_str() {
                "|b1" | "|u1" => {
                    let values: Vec<u8> =
                        values.iter().map(|value| value.to_le_bytes()[0]).collect();
                    OwnField::new(name, per, width, &values)
                }
                "<i8" | "<u4" => OwnField::new(name, per, width, &values),
                _ => {
                    let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
                    OwnField::new(name, per, width, &values)
                }
            },
        })
    }

    /// The rows of the kept graphs.
    fn rows(&mut self, array: &str, per: Per) -> Result<TypedRows, NpzError> {
        let mut rows = self.file.typed_rows(array)?;
        let n_value = match &rows.values {
            Values::Integer(values) => values.len(),
            Values::Float(values) => values.len(),
        };
        // Rows of length 0 have no numbers to count.
        self.check_rows(array, n_value / rows.width.max(1), per)?;
        let n_kept = rows.width
            * match per {
                Per::Node => self.kept[0],
                Per::Edge => self.kept[1],
                Per::Graph => self.n_node.len(),
            };
        match &mut rows.values {
            Values::Integer(values) => values.truncate(n_kept),
            Values::Float(values) => values.truncate(n_kept),
        }
        Ok(rows)
    }

    fn check_rows(&self, array: &str, got: usize, per: Per) -> Result<(), NpzError> {
        let (n, what) = match per {
            Per::Node => (self.total[0], "the sum of `n_node`"),
            Per::Edge => (self.total[1], "the sum of `n_edge`"),
            Per::Graph => (self.n_graph, "the length of `n_node`"),
        };
        if got == n {
            return Ok(());
        }
        let expected = format!("{n} rows, {what}");
        Err(self.file.fault(array, Problem::Length { got, expected }))
    }

    /// The error for a missing array of one of these kinds.
    pub(crate) fn no_array(&self, key: &'static str, name: &str, kinds: &[Per]) -> DatasetError {
        let found = self.file.names();
        let known = found.iter().filter_map(|array| {
            let (kind, name) = array.split_once('.')?;
            kinds.iter().any(|per| per.to_string() == kind).then(|| name.to_owned())
        });
        DatasetError::other(GraphsError::NoArray {
            path: self.path.clone(),
            key,
            name: name.to_owned(),
            looked_for: kinds.iter().map(|per| format!("{per}.{name}")).collect(),
            known: known.collect(),
            found,
        })
    }

    pub(crate) fn fault(&self, array: &str, problem: Problem) -> DatasetError {
        DatasetError::other(self.file.fault(array, problem))
    }
}

/// Maximum number of node classes; each has a name.
const MAX_CLASS: u32 = 1_000_000;

fn sum(counts: &[u32]) -> usize {
    counts.iter().map(|&n| n as usize).sum()
}
