//! The plugin: from a configuration to the columnar store.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use batchlab_core::graphs::{FixedSplit, NodeFeature, OneGraph, Target, Topology};
use batchlab_core::{
    BatchFields, Dataset, DatasetError, Graphs, Level, LoadContext, MemoryBudget, Provides,
};
use batchlab_npz::{Archive, NpzError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::table;
use crate::weight::{self, EdgeWeight};

/// Cora; `data/README.md` says where it is from.
const CORA: &[u8] = include_bytes!("../../../../data/cora.npz");
const CORA_NAME: &str = "data/cora.npz (compiled in)";

/// One graph whose nodes have features and classes, from an `.npz` file. Without a path: Cora, a
/// graph of 2,708 papers and their citations, with its published split.
///
/// The file holds `indptr` `[n_node + 1]` and `indices` `[n_edge]` (row `i` names the nodes that
/// send to node `i`), `labels` `[n_node]` (negative: none), the features as compressed rows in
/// `feat_indptr`, `feat_indices`, `feat_data` and `feat_shape` (rows, columns), and, if there is a
/// published split, `train_idx`, `val_idx` and `test_idx`. Features are unpacked: they take 4 bytes
/// x nodes x columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OneGraphFile {
    /// The file. A relative path is looked for where the configuration's paths are. Without it:
    /// Cora, which is compiled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Whether to add an edge from every node to itself where there is none.
    pub self_loops: bool,
    /// Weights of the edges, from the degrees in the full graph (self loops included): `"none"`
    /// (1), `"row"` (1 / degree of the receiver) or `"symmetric"` (1 / sqrt(degree of the receiver x
    /// degree of the sender)).
    pub edge_weight: EdgeWeight,
    /// Whether to divide each node's features by their sum of absolute values.
    pub row_normalise: bool,
}

/// Largest array that is accepted, in bytes; a larger one would not fit into memory beside its
/// graph.
const MAX_BYTE: u64 = 1 << 34;

#[typetag::serde(name = "one-graph")]
impl Dataset for OneGraphFile {
    fn provides(&self) -> Provides {
        let fields = BatchFields {
            node_feature: true,
            edge_weight: true,
            sender_order: true,
            ..BatchFields::default()
        };
        Provides { level: Level::Nodes, fields, target: true }
    }

    fn load(&self, ctx: &LoadContext) -> Result<Graphs, DatasetError> {
        let Some(path) = &self.path else {
            return self.read("cora", Path::new(CORA_NAME), Cursor::new(CORA), ctx);
        };
        let path = ctx.resolve(path)?;
        let file =
            File::open(&path).map_err(|source| DatasetError::Io { path: path.clone(), source })?;
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into());
        self.read(&name, &path, BufReader::new(file), ctx)
    }
}

batchlab_core::register!(
    Dataset,
    OneGraphFile,
    example = OneGraphFile {
        path: None,
        self_loops: true,
        edge_weight: EdgeWeight::Symmetric,
        row_normalise: true,
    }
);

/// The arrays of a file, checked against each other.
struct Tables {
    one: OneGraph,
    label: Vec<i64>,
    feature: NodeFeature,
    split: Option<FixedSplit>,
}

impl Tables {
    fn read<R: Read + Seek>(path: &Path, file: R, memory: &MemoryBudget) -> Result<Self, NpzError> {
        let mut file = Archive::open(path, file, MAX_BYTE, memory)?;
        let one = table::graph(&mut file)?;
        let label = table::labels(&mut file, one.n_node())?;
        let feature = table::features(&mut file, one.n_node())?;
        let split = table::split(&mut file, &label)?;
        Ok(Self { one, label, feature, split })
    }
}

impl OneGraphFile {
    fn read<R: Read + Seek>(
        &self,
        name: &str,
        path: &Path,
        file: R,
        ctx: &LoadContext,
    ) -> Result<Graphs, DatasetError> {
        let Tables { mut one, label, mut feature, split } =
            Tables::read(path, file, &ctx.memory).map_err(DatasetError::other)?;
        // Self loops and weights make new arrays, and labels become targets.
        let n = (one.n_node() + one.sender.len()) as u64;
        ctx.memory.take(24 * n, "the graph")?;
        let n_edge = one.sender.len();
        let n_loop = if self.self_loops { weight::add_self_loops(&mut one) } else { 0 };
        one.edge_weight = weight::weights(&one, self.edge_weight);
        if self.row_normalise {
            normalise(&mut feature);
        }
        let counts = [
            ("edges in the file", n_edge),
            ("edges in one direction only", weight::count_one_way(&one)),
            ("self loops added", n_loop),
            ("nodes that receive no edge", one.offset.windows(2).filter(|b| b[0] == b[1]).count()),
            ("nodes without a class", label.iter().filter(|&&label| label < 0).count()),
        ];
        let mut graphs = Graphs::new(name, Topology::One(Arc::new(one)))?;
        graphs.notes = counts.map(|(what, n)| (what.to_owned(), n as u64)).to_vec();
        graphs.node_feature = Some(feature);
        graphs.target = Some(target(&label));
        graphs.split = split;
        Ok(graphs)
    }
}

/// Class numbers as targets; the files do not name their classes.
fn target(label: &[i64]) -> Target {
    let n_class = label.iter().max().map_or(0, |&largest| largest + 1);
    let names = (0..n_class).map(|class| class.to_string()).collect();
    Target::classes("class", names, label.iter().map(|&label| label as f64).collect())
}

/// Divides each row by the sum of its absolute values; rows of zeros stay.
fn normalise(feature: &mut NodeFeature) {
    let NodeFeature::Dense { value, width } = feature else { return };
    for row in value.chunks_exact_mut((*width).max(1)) {
        let sum: f32 = row.iter().map(|value| value.abs()).sum();
        if sum > 0.0 {
            for value in row {
                *value /= sum;
            }
        }
    }
}

#[cfg(test)]
mod tests;
