//! Custom fields: arrays that a data set carries for its models, without interpretation.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Edges, Graphs, Topology};
use crate::DatasetError;
use crate::contract::buffer::BUILT_IN;

/// An array with one row per node, edge or graph: forces, edge types, further targets.
///
/// ```
/// use batchlab_core::graphs::{OwnField, Per};
///
/// // Forces on two nodes, in eV per angstrom.
/// let forces = OwnField::new("forces", Per::Node, 3, &[0.1_f32, 0.0, 0.0, -0.1, 0.0, 0.0]);
/// assert_eq!((forces.n_row(), forces.values::<i32>()), (2, None));
/// assert_eq!(forces.values::<f32>().map(|values| values[3]), Some(-0.1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnField {
    shape: Arc<OwnShape>,
    /// The values in native byte order, row-major.
    bytes: Vec<u8>,
}

/// Name, element type and row layout of a custom field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnShape {
    /// Name by which models request it.
    pub name: String,
    /// Kind of item that each row belongs to.
    pub per: Per,
    /// Element type.
    pub number: Number,
    /// Values per row; at least 1.
    pub width: usize,
}

/// Kind of item that the rows of a custom field belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// One row per node.
    Node,
    /// One row per edge, in storage order.
    Edge,
    /// One row per graph.
    Graph,
}

/// Element type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Number {
    /// 32-bit float.
    F32,
    /// 32-bit signed integer.
    I32,
    /// 64-bit signed integer.
    I64,
    /// Unsigned byte.
    U8,
}

/// An element type of custom fields.
pub trait OwnNumber: bytemuck::Pod {
    /// The corresponding run-time value.
    const NUMBER: Number;
}

impl OwnNumber for f32 {
    const NUMBER: Number = Number::F32;
}
impl OwnNumber for i32 {
    const NUMBER: Number = Number::I32;
}
impl OwnNumber for i64 {
    const NUMBER: Number = Number::I64;
}
impl OwnNumber for u8 {
    const NUMBER: Number = Number::U8;
}

impl Number {
    /// Bytes per value.
    #[must_use]
    pub fn n_byte(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F32 | Self::I32 => 4,
            Self::I64 => 8,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::U8 => "u8",
        })
    }
}

impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Edge => "edge",
            Self::Graph => "graph",
        })
    }
}

impl OwnShape {
    /// Bytes per row.
    #[must_use]
    pub fn n_byte(&self) -> usize {
        self.width.saturating_mul(self.number.n_byte())
    }
}

impl OwnField {
    /// Takes row-major `values`, `[n_row, width]`. [`Graphs::check`] checks their number.
    #[must_use]
    pub fn new<T: OwnNumber>(name: &str, per: Per, width: usize, values: &[T]) -> Self {
        let shape = OwnShape { name: name.to_owned(), per, number: T::NUMBER, width };
        Self::from_bytes(shape, bytemuck::cast_slice(values).to_vec())
    }

    /// Takes values in native byte order.
    #[must_use]
    pub fn from_bytes(shape: OwnShape, bytes: Vec<u8>) -> Self {
        Self { shape: Arc::new(shape), bytes }
    }

    /// Name, element type and row layout.
    #[must_use]
    pub fn shape(&self) -> &Arc<OwnShape> {
        &self.shape
    }

    /// The values in native byte order.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The values in row-major order; `None` if they have another type.
    #[must_use]
    pub fn values<T: OwnNumber>(&self) -> Option<Vec<T>> {
        (self.shape.number == T::NUMBER).then(|| bytemuck::pod_collect_to_vec(&self.bytes))
    }

    /// Number of complete rows.
    #[must_use]
    pub fn n_row(&self) -> usize {
        self.bytes.len() / self.shape.n_byte().max(1)
    }

    /// The field with permuted rows: row `i` of the result is row `order[i]` of this field.
    ///
    /// # Panics
    /// If an index is out of range.
    #[must_use]
    pub fn reordered(&self, order: &[u32]) -> Self {
        let rows = order.iter().flat_map(|&row| self.rows(row as usize..row as usize + 1));
        Self { shape: Arc::clone(&self.shape), bytes: rows.copied().collect() }
    }

    pub(crate) fn rows(&self, rows: Range<usize>) -> &[u8] {
        let n_byte = self.shape.n_byte();
        &self.bytes[rows.start * n_byte..rows.end * n_byte]
    }

    pub(super) fn check(&self, graphs: &Graphs) -> Result<(), DatasetError> {
        let OwnShape { name, per, width, .. } = &*self.shape;
        let fail =
            |what: String| Err(DatasetError::Inconsistent(format!("the field \"{name}\" {what}")));
        if name.is_empty() || BUILT_IN.contains(&name.as_str()) {
            return fail("has the name of a field that every batch has".to_owned());
        }
        if graphs.own.iter().filter(|other| other.shape.name == *name).count() > 1 {
            return fail("is there twice".to_owned());
        }
        let Some(n_row) = n_row(graphs, *per) else {
            return fail("has rows for edges, which are not stored".to_owned());
        };
        match n_row.checked_mul(self.shape.n_byte()) {
            Some(n_byte) if *width > 0 && n_byte == self.bytes.len() => Ok(()),
            _ => fail(format!(
                "has {} bytes, expected {n_row} rows of {} bytes, one for each {per}",
                self.bytes.len(),
                self.shape.n_byte()
            )),
        }
    }
}

/// Number of rows of a field; `None` if the data set does not define an order of its edges.
fn n_row(graphs: &Graphs, per: Per) -> Option<usize> {
    match (per, &graphs.topology) {
        (Per::Node, _) => Some(graphs.n_node()),
        (Per::Graph, Topology::Many(many)) => Some(many.n_graph()),
        (Per::Graph, Topology::One(_)) => Some(1),
        (Per::Edge, Topology::One(one)) => Some(one.sender.len()),
        (Per::Edge, Topology::Many(many)) => match many.edges() {
            Edges::Stored(stored) => Some(stored.sender.len()),
            Edges::FullyConnected | Edges::Counted(_) => None,
        },
    }
}
