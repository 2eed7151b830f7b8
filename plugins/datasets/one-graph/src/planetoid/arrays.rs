//! Arrays and compressed rows in a pickle.

use std::borrow::Cow;

use batchlab_core::MemoryBudget;
use batchlab_npz::{Values, decode};

use super::pickle::{Id, Item, Pickle, over};

/// Sparse rows of a table.
pub(super) struct Rows {
    /// Start of each row, `[n_row + 1]`.
    offset: Vec<usize>,
    column: Vec<usize>,
    value: Vec<f32>,
    pub(super) width: usize,
}

/// Integers in row-major order.
pub(super) struct Matrix {
    value: Vec<i64>,
    pub(super) n_row: usize,
    pub(super) width: usize,
}

impl Rows {
    pub(super) fn of(pickle: &Pickle<'_>, memory: &MemoryBudget) -> Result<Self, String> {
        let wrong = || "it is not a csr_matrix of SciPy".to_owned();
        let Item::Object { state: Some(state), .. } = pickle.item(pickle.root) else {
            return Err(wrong());
        };
        let (class, Item::Dict(entries)) = (pickle.class(pickle.root), pickle.item(*state)) else {
            return Err(wrong());
        };
        if !matches!(class, "csr_matrix" | "csr_array") {
            return Err(wrong());
        }
        let entry = |name: &str| {
            let is_named = |key: Id| pickle.bytes(key).as_deref() == Some(name.as_bytes());
            entries.iter().find(|(key, _)| is_named(*key)).map(|(_, value)| *value)
        };
        let array = |name: &str| {
            let id = entry(name).ok_or_else(|| format!("its matrix has no {name}"))?;
            Array::of(pickle, id)
        };
        let shape = entry("_shape").or_else(|| entry("shape")).and_then(|id| sizes(pickle, id));
        let Some([n_row, width]) = shape.as_deref() else { return Err(wrong()) };
        let (offset, column) =
            (array("indptr")?.indices(memory)?, array("indices")?.indices(memory)?);
        let value = array("data")?.floats(memory)?;
        let is_ascending = offset.windows(2).all(|pair| pair[0] <= pair[1]);
        let ends = (offset.first(), offset.last());
        if offset.len() != n_row + 1 || ends != (Some(&0), Some(&column.len())) || !is_ascending {
            return Err(format!("the indptr of its {n_row} rows does not fit its indices"));
        }
        if value.len() != column.len() {
            return Err(format!("{} indices, but {} values", column.len(), value.len()));
        }
        if let Some(column) = column.iter().find(|column| *column >= width) {
            return Err(format!("column {column} of a matrix with {width}"));
        }
        Ok(Self { offset, column, value, width: *width })
    }

    pub(super) fn n_row(&self) -> usize {
        self.offset.len() - 1
    }

    pub(super) fn n_entry(&self) -> usize {
        self.column.len()
    }

    /// The entries of a row: column and value.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = (usize, f32)> {
        let range = self.offset[row]..self.offset[row + 1];
        self.column[range.clone()].iter().copied().zip(self.value[range].iter().copied())
    }
}

impl Matrix {
    pub(super) fn of(pickle: &Pickle<'_>, memory: &MemoryBudget) -> Result<Self, String> {
        let array = Array::of(pickle, pickle.root)?;
        let [n_row, width] = array.shape[..] else {
            return Err(format!("its array has {} dimensions, expected two", array.shape.len()));
        };
        let value: Vec<i64> = match array.values(memory)? {
            Values::Integer(values) => values,
            Values::Float(values) => values.into_iter().map(|value| value as i64).collect(),
        };
        if Some(value.len()) != n_row.checked_mul(width) {
            return Err(format!(
                "{n_row} rows of {width} announced, {} numbers found",
                value.len()
            ));
        }
        Ok(Self { value, n_row, width })
    }

    /// The column that is 1; -1 if there is none.
    pub(super) fn class(&self, row: usize) -> i64 {
        let of_row = &self.value[row * self.width..][..self.width];
        of_row.iter().position(|&value| value == 1).map_or(-1, |class| class as i64)
    }
}

/// A `NumPy` array.
struct Array<'a> {
    kind: String,
    shape: Vec<usize>,
    data: Cow<'a, [u8]>,
}

impl<'a> Array<'a> {
    /// An object of `_reconstruct` with the state (version, shape, type, order, bytes), or, since
    /// protocol 5, of `_frombuffer` with (bytes, type, shape, order).
    fn of(pickle: &Pickle<'a>, id: Id) -> Result<Self, String> {
        let wrong = || "it holds something else where an array of NumPy should be".to_owned();
        let (shape, kind, data, is_fortran_order) = match pickle.class(id) {
            "_reconstruct" => match pickle.state(id) {
                Some(&[_, shape, kind, order, data]) => {
                    (shape, kind, data, pickle.whole(order) == Some(1))
                }
                _ => return Err(wrong()),
            },
            "_frombuffer" => match pickle.arguments(id, "_frombuffer") {
                Some(&[data, kind, shape, order]) => {
                    (shape, kind, data, pickle.bytes(order).as_deref() == Some(b"F"))
                }
                _ => return Err(wrong()),
            },
            _ => return Err(wrong()),
        };
        let shape = sizes(pickle, shape).ok_or_else(wrong)?;
        if shape.len() > 1 && is_fortran_order {
            return Err("its columns lie one after the other; write it in C order".into());
        }
        let kind = pickle.kind(kind).ok_or_else(wrong)?;
        Ok(Self { kind, shape, data: pickle.bytes(data).ok_or_else(wrong)? })
    }

    /// The numbers. Reserves twice eight bytes for each: once decoded, and once in their final
    /// form.
    fn values(&self, memory: &MemoryBudget) -> Result<Values, String> {
        let size = self.kind.get(2..).and_then(|size| size.parse().ok()).unwrap_or(1).max(1);
        let n_byte = 16 * (self.data.len() / size) as u64;
        memory.take(n_byte, "its numbers").map_err(|error| over(&error))?;
        decode(&self.kind, &self.data).map_err(|problem| problem.to_string())
    }

    fn indices(&self, memory: &MemoryBudget) -> Result<Vec<usize>, String> {
        let Values::Integer(values) = self.values(memory)? else {
            return Err(format!("an index is of type {}", self.kind));
        };
        let index = |value: i64| usize::try_from(value).map_err(|_| format!("index {value}"));
        values.into_iter().map(index).collect()
    }

    fn floats(&self, memory: &MemoryBudget) -> Result<Vec<f32>, String> {
        let values: Vec<f32> = match self.values(memory)? {
            Values::Integer(values) => values.into_iter().map(|value| value as f32).collect(),
            Values::Float(values) => values.into_iter().map(|value| value as f32).collect(),
        };
        match values.iter().find(|value| !value.is_finite()) {
            None => Ok(values),
            Some(value) => Err(format!("a feature is {value}, expected a finite number")),
        }
    }
}

fn sizes(pickle: &Pickle<'_>, id: Id) -> Option<Vec<usize>> {
    let size = |&id: &Id| pickle.whole(id).and_then(|size| usize::try_from(size).ok());
    pickle.tuple(id)?.iter().map(size).collect()
}
