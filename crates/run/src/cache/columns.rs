//! Converts graphs to named columns and back.

use std::sync::Arc;

use batchlab_core::graphs::{
    Edges, FixedSplit, ManyGraphs, NodeClass, NodeFeature, OneGraph, OwnField, OwnShape,
    StoredEdges, Target, TargetKind, Topology,
};
use batchlab_core::{DatasetError, Graphs};
use serde::{Deserialize, Serialize};

use super::file::{CacheError, Column, Columns, Reader};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    name: String,
    edges: EdgeKind,
    node_class: Option<Vec<String>>,
    node_feature_width: Option<usize>,
    has_sparse_feature: bool,
    /// Name and kind.
    target: Option<(String, TargetKind)>,
    has_position: bool,
    own: Vec<OwnShape>,
    has_split: bool,
    notes: Vec<(String, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EdgeKind {
    Counted,
    FullyConnected,
    Stored,
    OneGraph,
}

/// The columns of a store. The standardisation of the target is excluded, because it depends on the
/// split.
pub(crate) fn of(graphs: &Graphs) -> (Attributes, Columns<'_>) {
    let mut columns = Columns::new();
    let mut add = |name: &'static str, column| drop(columns.insert(name.into(), column));
    let edges = match &graphs.topology {
        Topology::Many(many) => {
            let n_node: Vec<u32> = (0..many.n_graph()).map(|g| many.size(g).n_node).collect();
            add("n_node", Column::owned(&n_node));
            match many.edges() {
                Edges::Counted(n_edge) => {
                    add("n_edge", Column::of(n_edge));
                    EdgeKind::Counted
                }
                Edges::FullyConnected => EdgeKind::FullyConnected,
                Edges::Stored(stored) => {
                    add("n_edge", Column::owned(&stored.n_edge()));
                    add("sender", Column::of(stored.sender()));
                    add("receiver", Column::of(stored.receiver()));
                    add("distance", Column::of(stored.distance()));
                    add("displacement", Column::of(stored.displacement()));
                    EdgeKind::Stored
                }
            }
        }
        Topology::One(one) => {
            let offset: Vec<u64> = one.offset.iter().map(|&offset| offset as u64).collect();
            add("offset", Column::owned(&offset));
            add("sender", Column::of(&one.sender));
            add("edge_weight", Column::of(&one.edge_weight));
            EdgeKind::OneGraph
        }
    };
    if let Some(class) = &graphs.node_class {
        add("node_class", Column::of(&class.value));
    }
    if let Some(feature) = &graphs.node_feature {
        add("node_feature", Column::of(feature.value()));
        if let NodeFeature::Sparse { offset, column, .. } = feature {
            let offset: Vec<u64> = offset.iter().map(|&offset| offset as u64).collect();
            add("feature_offset", Column::owned(&offset));
            add("feature_column", Column::of(column));
        }
    }
    if let Some(position) = &graphs.position {
        add("position", Column::of(position));
    }
    if let Some(target) = &graphs.target {
        add("target", Column::of(&target.value));
    }
    if let Some(split) = &graphs.split {
        add("train", Column::of(&split.train));
        add("validation", Column::of(&split.validation));
        add("test", Column::of(&split.test));
    }
    let n_byte: Vec<u32> = graphs.name.iter().map(|name| name.len() as u32).collect();
    add("name", Column::owned(graphs.name.concat().as_bytes()));
    add("name_length", Column::owned(&n_byte));
    for own in &graphs.own {
        columns.insert(own_column(own.shape()).into(), Column::of_own(own));
    }
    let attributes = Attributes {
        name: graphs.dataset.clone(),
        edges,
        node_class: graphs.node_class.as_ref().map(|class| class.name.clone()),
        node_feature_width: graphs.node_feature.as_ref().map(NodeFeature::width),
        has_sparse_feature: matches!(graphs.node_feature, Some(NodeFeature::Sparse { .. })),
        target: graphs.target.as_ref().map(|t| (t.name.clone(), t.kind.clone())),
        has_position: graphs.position.is_some(),
        own: graphs.own.iter().map(|own| (**own.shape()).clone()).collect(),
        has_split: graphs.split.is_some(),
        notes: graphs.notes.clone(),
    };
    (attributes, columns)
}

fn own_column(shape: &OwnShape) -> String {
    format!("own.{}", shape.name)
}

fn names(columns: &mut Reader) -> Result<Vec<String>, CacheError> {
    let text = String::from_utf8(columns.values("name")?);
    let wrong = || CacheError::Damaged("column name is not a list of names".to_owned());
    let (text, mut start) = (text.map_err(|_| wrong())?, 0);
    let name = |n_byte: u32| {
        let end = start + n_byte as usize;
        let name = text.get(std::mem::replace(&mut start, end)..end).ok_or_else(wrong)?;
        Ok(name.to_owned())
    };
    columns.values::<u32>("name_length")?.into_iter().map(name).collect()
}

fn offsets(columns: &mut Reader, name: &'static str) -> Result<Vec<usize>, CacheError> {
    Ok(columns.values::<u64>(name)?.into_iter().map(|offset| offset as usize).collect())
}

impl Attributes {
    /// The store from which these columns were created.
    ///
    /// # Errors
    /// A column that is missing, has another type, or contradicts others.
    pub(crate) fn graphs(&self, columns: &mut Reader) -> Result<Graphs, CacheError> {
        let mut graphs = Graphs::new(&self.name, self.topology(columns)?)?;
        if let Some(name) = &self.node_class {
            let value = columns.values("node_class")?;
            graphs.node_class = Some(NodeClass { value, name: name.clone() });
        }
        if let Some(width) = self.node_feature_width {
            let value = columns.values("node_feature")?;
            graphs.node_feature = Some(if self.has_sparse_feature {
                let offset = offsets(columns, "feature_offset")?;
                let column = columns.values("feature_column")?;
                NodeFeature::Sparse { offset, column, value, width }
            } else {
                NodeFeature::Dense { value, width }
            });
        }
        if self.has_position {
            graphs.position = Some(columns.values("position")?);
        }
        if let Some((name, kind)) = &self.target {
            let value = columns.values("target")?;
            graphs.target = Some(match kind {
                TargetKind::Regression { unit } => Target::regression(name, unit.as_deref(), value),
                TargetKind::Classes { name: classes } => {
                    Target::classes(name, classes.clone(), value)
                }
            });
        }
        for shape in &self.own {
            let bytes = columns.bytes(&own_column(shape), shape.number)?;
            graphs.own.push(OwnField::from_bytes(shape.clone(), bytes));
        }
        if self.has_split {
            graphs.split = Some(FixedSplit {
                train: columns.values("train")?,
                validation: columns.values("validation")?,
                test: columns.values("test")?,
            });
        }
        graphs.name = names(columns)?;
        graphs.notes.clone_from(&self.notes);
        graphs.check()?;
        Ok(graphs)
    }

    fn topology(&self, columns: &mut Reader) -> Result<Topology, CacheError> {
        if self.edges == EdgeKind::OneGraph {
            let one = OneGraph {
                offset: offsets(columns, "offset")?,
                sender: columns.values("sender")?,
                edge_weight: columns.values("edge_weight")?,
            };
            check_rows(&one)?;
            return Ok(Topology::One(Arc::new(one)));
        }
        let n_node: Vec<u32> = columns.values("n_node")?;
        let edges = match self.edges {
            EdgeKind::Counted => Edges::Counted(columns.values("n_edge")?),
            EdgeKind::Stored => Edges::Stored(StoredEdges::from_sorted(
                &n_node,
                &columns.values::<u32>("n_edge")?,
                columns.values("sender")?,
                columns.values("receiver")?,
                columns.values("distance")?,
                columns.values("displacement")?,
            )?),
            EdgeKind::FullyConnected | EdgeKind::OneGraph => Edges::FullyConnected,
        };
        Ok(Topology::Many(ManyGraphs::new(&n_node, edges)?))
    }
}

fn check_rows(one: &OneGraph) -> Result<(), DatasetError> {
    let n_edge = one.sender.len();
    let n_node = one.offset.len().saturating_sub(1);
    let rows_fit = one.offset.first() == Some(&0)
        && one.offset.last() == Some(&n_edge)
        && one.offset.is_sorted()
        && (one.edge_weight.is_empty() || one.edge_weight.len() == n_edge)
        && one.sender.iter().all(|&sender| (sender as usize) < n_node);
    let wrong = || DatasetError::Inconsistent("the rows of the graph do not fit".into());
    if rows_fit { Ok(()) } else { Err(wrong()) }
}
