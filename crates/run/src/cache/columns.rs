//! Graphs as named columns, and back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use batchlab_core::graphs::{
    Edges, FixedSplit, ManyGraphs, NodeClass, NodeFeature, OneGraph, StoredEdges, Target,
    TargetKind, Topology,
};
use batchlab_core::{DatasetError, Graphs};
use serde::{Deserialize, Serialize};

/// The values of one column; matrices are row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Column<'a> {
    U32(Cow<'a, [u32]>),
    U64(Cow<'a, [u64]>),
    F32(Cow<'a, [f32]>),
    F64(Cow<'a, [f64]>),
}

pub(crate) type Columns<'a> = BTreeMap<String, Column<'a>>;

/// What is not a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    name: String,
    edges: EdgeKind,
    node_class: Option<Vec<String>>,
    node_feature_width: Option<usize>,
    target: Option<TargetFacts>,
    has_position: bool,
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct TargetFacts {
    name: String,
    unit: Option<String>,
    classes: Option<Vec<String>>,
}

/// The columns of a store. The standardisation of the target is not among them: it depends on the
/// split.
pub(crate) fn of(graphs: &Graphs) -> (Facts, Columns<'_>) {
    let mut columns = Columns::new();
    let mut add = |name: &str, column| drop(columns.insert(name.to_owned(), column));
    let edges = match &graphs.topology {
        Topology::Many(many) => {
            let n_node: Vec<u32> = (0..many.n_graph()).map(|g| many.size(g).n_node).collect();
            add("n_node", Column::U32(n_node.into()));
            match many.edges() {
                Edges::Counted(n_edge) => {
                    add("n_edge", Column::U32(n_edge.into()));
                    EdgeKind::Counted
                }
                Edges::FullyConnected => EdgeKind::FullyConnected,
                Edges::Stored(stored) => {
                    add("n_edge", Column::U32(stored.n_edge().into()));
                    add("sender", Column::U32(stored.sender().into()));
                    add("receiver", Column::U32(stored.receiver().into()));
                    add("distance", Column::F32(stored.distance().into()));
                    add("displacement", Column::F32(stored.displacement().as_flattened().into()));
                    EdgeKind::Stored
                }
            }
        }
        Topology::One(one) => {
            let offset: Vec<u64> = one.offset.iter().map(|&offset| offset as u64).collect();
            add("offset", Column::U64(offset.into()));
            add("sender", Column::U32((&one.sender).into()));
            add("edge_weight", Column::F32((&one.edge_weight).into()));
            EdgeKind::OneGraph
        }
    };
    if let Some(class) = &graphs.node_class {
        add("node_class", Column::U32((&class.value).into()));
    }
    if let Some(feature) = &graphs.node_feature {
        add("node_feature", Column::F32((&feature.value).into()));
    }
    if let Some(position) = &graphs.position {
        add("position", Column::F32(position.as_flattened().into()));
    }
    if let Some(target) = &graphs.target {
        add("target", Column::F64((&target.value).into()));
    }
    if let Some(split) = &graphs.split {
        add("train", Column::U32((&split.train).into()));
        add("validation", Column::U32((&split.validation).into()));
        add("test", Column::U32((&split.test).into()));
    }
    add("origin", Column::U32((&graphs.origin).into()));
    let facts = Facts {
        name: graphs.dataset.clone(),
        edges,
        node_class: graphs.node_class.as_ref().map(|class| class.name.clone()),
        node_feature_width: graphs.node_feature.as_ref().map(|feature| feature.width),
        target: graphs.target.as_ref().map(TargetFacts::of),
        has_position: graphs.position.is_some(),
        has_split: graphs.split.is_some(),
        notes: graphs.notes.clone(),
    };
    (facts, columns)
}

impl TargetFacts {
    fn of(target: &Target) -> Self {
        let (unit, classes) = match &target.kind {
            TargetKind::Regression { unit } => (Some(unit.clone()), None),
            TargetKind::Classes { name } => (None, Some(name.clone())),
        };
        Self { name: target.name.clone(), unit, classes }
    }

    fn target(self, value: Vec<f64>) -> Target {
        match self.classes {
            Some(classes) => Target::classes(&self.name, classes, value),
            None => Target::regression(&self.name, &self.unit.unwrap_or_default(), value),
        }
    }
}

impl Facts {
    /// The store that these columns came from.
    ///
    /// # Errors
    /// A column that is missing, of another type, or that contradicts others.
    pub(crate) fn graphs(&self, columns: Columns<'static>) -> Result<Graphs, DatasetError> {
        let mut columns = Taken(columns);
        let mut graphs = Graphs::new(&self.name, self.topology(&mut columns)?)?;
        if let Some(name) = &self.node_class {
            let value = columns.u32("node_class")?;
            graphs.node_class = Some(NodeClass { value, name: name.clone() });
        }
        if let Some(width) = self.node_feature_width {
            graphs.node_feature = Some(NodeFeature { value: columns.f32("node_feature")?, width });
        }
        if self.has_position {
            graphs.position = Some(columns.vectors("position")?);
        }
        if let Some(facts) = &self.target {
            graphs.target = Some(facts.clone().target(columns.f64("target")?));
        }
        if self.has_split {
            graphs.split = Some(FixedSplit {
                train: columns.u32("train")?,
                validation: columns.u32("validation")?,
                test: columns.u32("test")?,
            });
        }
        graphs.origin = columns.u32("origin")?;
        graphs.notes.clone_from(&self.notes);
        graphs.check()?;
        Ok(graphs)
    }

    fn topology(&self, columns: &mut Taken) -> Result<Topology, DatasetError> {
        if self.edges == EdgeKind::OneGraph {
            let one = OneGraph {
                offset: columns.u64("offset")?.into_iter().map(|offset| offset as usize).collect(),
                sender: columns.u32("sender")?,
                edge_weight: columns.f32("edge_weight")?,
            };
            check_rows(&one)?;
            return Ok(Topology::One(Arc::new(one)));
        }
        let n_node = columns.u32("n_node")?;
        let edges = match self.edges {
            EdgeKind::Counted => Edges::Counted(columns.u32("n_edge")?),
            EdgeKind::Stored => Edges::Stored(StoredEdges::from_sorted(
                &n_node,
                &columns.u32("n_edge")?,
                columns.u32("sender")?,
                columns.u32("receiver")?,
                columns.f32("distance")?,
                columns.vectors("displacement")?,
            )?),
            EdgeKind::FullyConnected | EdgeKind::OneGraph => Edges::FullyConnected,
        };
        Ok(Topology::Many(ManyGraphs::new(&n_node, edges)?))
    }
}

/// What the accessors of one graph rely on.
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

/// Columns that are taken one after the other.
struct Taken(Columns<'static>);

impl Taken {
    fn take(&mut self, name: &str) -> Result<Column<'static>, DatasetError> {
        let missing = || DatasetError::Inconsistent(format!("column {name} is missing"));
        self.0.remove(name).ok_or_else(missing)
    }

    fn u32(&mut self, name: &str) -> Result<Vec<u32>, DatasetError> {
        match self.take(name)? {
            Column::U32(values) => Ok(values.into_owned()),
            _ => Err(other_type(name)),
        }
    }

    fn u64(&mut self, name: &str) -> Result<Vec<u64>, DatasetError> {
        match self.take(name)? {
            Column::U64(values) => Ok(values.into_owned()),
            _ => Err(other_type(name)),
        }
    }

    fn f32(&mut self, name: &str) -> Result<Vec<f32>, DatasetError> {
        match self.take(name)? {
            Column::F32(values) => Ok(values.into_owned()),
            _ => Err(other_type(name)),
        }
    }

    fn f64(&mut self, name: &str) -> Result<Vec<f64>, DatasetError> {
        match self.take(name)? {
            Column::F64(values) => Ok(values.into_owned()),
            _ => Err(other_type(name)),
        }
    }

    fn vectors(&mut self, name: &str) -> Result<Vec<[f32; 3]>, DatasetError> {
        // The largest column of all is not copied.
        bytemuck::allocation::try_cast_vec(self.f32(name)?).map_err(|_| other_type(name))
    }
}

fn other_type(name: &str) -> DatasetError {
    DatasetError::Inconsistent(format!("column {name} is of another type or shape"))
}
