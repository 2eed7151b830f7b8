//! The plugin: from a configuration to columnar storage.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use batchlab_core::graphs::{EdgeWeight, NodeFeature, Target, Topology};
use batchlab_core::{BatchFields, Dataset, DatasetError, Graphs, Level, LoadContext, Provides};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::source;
use crate::tables::{FileFault, Tables};

/// Cora; see `data/README.md` for its origin.
const CORA: &[u8] = include_bytes!("../../../../data/cora.npz");
const CORA_NAME: &str = "data/cora.npz (compiled in)";

/// A single graph whose nodes have features and classes. Without a path: Cora, a graph of 2,708
/// papers and their citations, with its published split.
///
/// The format of the path is detected:
///
/// * an `.npz` file with graph and features in compressed sparse rows: `indptr` `[n_node + 1]` and
///   `indices` `[n_edge]` (row `i` lists the senders of node `i`), `labels` `[n_node]` (negative:
///   none), `feat_indptr`, `feat_indices`, `feat_data`, `feat_shape` (rows, columns), and, if there
///   is a published split, `train_idx`, `val_idx` and `test_idx`, or masks such as `train_mask`;
/// * an `.npz` file of the heterophilous graphs, with ten splits as masks;
/// * a directory of the Open Graph Benchmark as unpacked from its archive, with `raw/` and
///   `split/`;
/// * a directory with `reddit_data.npz` and `reddit_graph.npz`;
/// * Planetoid's eight files: their directory, or one of them.
///
/// Features stored as compressed rows stay sparse, unless at least one in eight is non-zero. If
/// there is no published split, a run draws one (`[split]`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OneGraphFile {
    /// The file or directory. Relative paths are resolved like all paths of the configuration. If
    /// omitted: Cora, which is compiled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Index of the published split, from 0; only for files that have several.
    pub split: u32,
    /// Whether to add missing reverse edges. Planetoid's and the heterophilous graphs are always
    /// undirected.
    pub undirected: bool,
    /// Whether to add missing self-loops to all nodes.
    pub self_loops: bool,
    /// Edge weights, from the degrees in the full graph (including self-loops): `"none"` (1),
    /// `"row"` (1 / degree of the receiver) or `"symmetric"` (1 / sqrt(degree of the receiver x
    /// degree of the sender)).
    pub edge_weight: EdgeWeight,
    /// Whether to divide each node's features by the sum of their absolute values.
    pub row_normalise: bool,
}

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

    fn source_keys(&self) -> &'static [&'static str] {
        &["path", "split"]
    }

    fn has_classes(&self) -> bool {
        true
    }

    fn load(&self, ctx: &LoadContext) -> Result<Graphs, DatasetError> {
        let split = self.split as usize;
        let (name, tables) = match &self.path {
            Some(path) => source::read(path, split, ctx)?,
            None if split > 0 => {
                return Err(FileFault::error(
                    Path::new(CORA_NAME),
                    "it has one split; use split = 0",
                ));
            }
            None => {
                let cora = source::archive(Path::new(CORA_NAME), Cursor::new(CORA), 0, ctx);
                ("cora".to_owned(), cora.map_err(DatasetError::other)?.0)
            }
        };
        self.graphs(&name, tables, ctx)
    }
}

batchlab_core::register!(
    Dataset,
    OneGraphFile,
    example = OneGraphFile {
        path: None,
        split: 0,
        undirected: false,
        self_loops: true,
        edge_weight: EdgeWeight::Symmetric,
        row_normalise: true,
    }
);

impl OneGraphFile {
    fn graphs(
        &self,
        name: &str,
        tables: Tables,
        ctx: &LoadContext,
    ) -> Result<Graphs, DatasetError> {
        let Tables { mut one, label, mut feature, split, notes } = tables;
        // Reverse edges, self-loops and weights create new arrays, and labels become targets.
        let n = (one.n_node() + one.sender.len()) as u64;
        ctx.memory.take(if self.undirected { 48 } else { 24 } * n, "the graph")?;
        let n_edge = one.sender.len();
        if self.undirected {
            one = one.undirected();
        }
        let n_reversed = one.sender.len() - n_edge;
        let n_loop = if self.self_loops { one.add_self_loops() } else { 0 };
        one.edge_weight = self.edge_weight.of(&one);
        if self.row_normalise {
            normalise(&mut feature, one.n_node());
        }
        let counts = [
            ("edges read", n_edge),
            ("reverse edges added", n_reversed),
            ("edges in one direction only", one.n_one_way()),
            ("self loops added", n_loop),
            ("nodes that receive no edge", one.offset.windows(2).filter(|b| b[0] == b[1]).count()),
            ("nodes without a class", label.iter().filter(|&&label| label < 0).count()),
        ];
        let mut graphs = Graphs::new(name, Topology::One(Arc::new(one)))?;
        let counts = notes.into_iter().filter(|(_, n)| *n > 0).chain(counts);
        graphs.notes = counts.map(|(what, n)| (what.to_owned(), n as u64)).collect();
        if ctx.needs_target && label.iter().all(|&label| label < 0) {
            return Err(DatasetError::Empty(format!("no node of \"{name}\" has a class")));
        }
        graphs.node_feature = Some(feature);
        graphs.target = Some(target(&label));
        graphs.split = split;
        Ok(graphs)
    }
}

/// Class indices as targets; the files do not name their classes.
fn target(label: &[i64]) -> Target {
    let n_class = label.iter().max().map_or(0, |&largest| largest + 1);
    let names = (0..n_class).map(|class| class.to_string()).collect();
    Target::classes("class", names, label.iter().map(|&label| label as f64).collect())
}

/// Divides each row by the sum of its absolute values; rows of zeros are left unchanged.
fn normalise(feature: &mut NodeFeature, n_node: usize) {
    for node in 0..n_node {
        let row = feature.row(node);
        let (NodeFeature::Dense { value, .. } | NodeFeature::Sparse { value, .. }) = feature;
        let sum: f32 = value[row.clone()].iter().map(|value| value.abs()).sum();
        if sum > 0.0 {
            for value in &mut value[row] {
                *value /= sum;
            }
        }
    }
}

#[cfg(test)]
mod tests;
