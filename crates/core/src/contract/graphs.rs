//! The columnar store of graphs, and the batcher's view of it.

mod content_hash;
mod edge_weight;
mod feature;
mod many;
mod one;
mod own;
mod structure;
mod target;
mod view;

use std::borrow::Cow;
use std::sync::Arc;

use crate::DatasetError;
use crate::contract::fields::BatchFields;
use crate::contract::footprint::Footprint;

pub use crate::contract::level::Level;
pub use edge_weight::EdgeWeight;
pub use feature::NodeFeature;
pub use many::{Edges, ManyGraphs, StoredEdges};
pub use one::OneGraph;
pub use own::{Number, OwnField, OwnNumber, OwnShape, Per};
pub use target::{Standardisation, Target, TargetKind};
pub use view::{GraphSize, OneGraphView, View};

/// All graphs of a data set, as concatenated arrays.
#[derive(Debug, Clone)]
pub struct Graphs {
    /// Name of the data set in the configuration.
    pub dataset: String,
    /// How nodes and edges are arranged.
    pub topology: Topology,
    /// Class of each node, `[n_node]`.
    pub node_class: Option<NodeClass>,
    /// Features of each node.
    pub node_feature: Option<NodeFeature>,
    /// Position of each node in angstrom, `[n_node, 3]`.
    pub position: Option<Vec<[f32; 3]>>,
    /// The prediction target.
    pub target: Option<Target>,
    /// Custom arrays, which models request by name.
    pub own: Vec<OwnField>,
    /// The split published by the authors of the data set, if any; a run uses it unless its
    /// configuration asks for a random split.
    pub split: Option<FixedSplit>,
    /// Name of each graph in its source, for example its file or identifier; `[n_graph]`, or empty
    /// if graphs are identified by position only.
    pub name: Vec<String>,
    /// Counts for the user, for example how many molecules were left out and why.
    pub notes: Vec<(String, u64)>,
}

/// A published split of the members (graphs, or nodes of one graph).
///
/// No member is in two subsets or twice in one; members may be in none. An evaluation follows the
/// order within the subset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FixedSplit {
    /// Members for training.
    pub train: Vec<u32>,
    /// Members for decisions during training.
    pub validation: Vec<u32>,
    /// Members for the final evaluation.
    pub test: Vec<u32>,
}

/// How nodes and edges are arranged.
#[derive(Debug, Clone)]
pub enum Topology {
    /// Many graphs.
    Many(ManyGraphs),
    /// One large graph.
    One(Arc<OneGraph>),
}

/// Classes of nodes, for example elements.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeClass {
    /// Class of each node, less than the number of names, `[n_node]`.
    pub value: Vec<u32>,
    /// Name of each class.
    pub name: Vec<String>,
}

impl FixedSplit {
    fn check(&self, n_member: usize) -> Result<(), DatasetError> {
        let mut taken = vec![false; n_member];
        for &member in self.train.iter().chain(&self.validation).chain(&self.test) {
            let problem = match taken.get_mut(member as usize) {
                None => format!("names member {member}, but there are {n_member}"),
                Some(true) => format!("names member {member} twice"),
                Some(slot) => {
                    *slot = true;
                    continue;
                }
            };
            return Err(DatasetError::Inconsistent(format!("the split {problem}")));
        }
        Ok(())
    }
}

impl Graphs {
    /// A store with only its topology; the data set fills the other, public fields and then calls
    /// [`Graphs::check`].
    ///
    /// # Errors
    /// An empty topology.
    pub fn new(dataset: &str, topology: Topology) -> Result<Self, DatasetError> {
        let graphs = Self {
            dataset: dataset.to_owned(),
            topology,
            node_class: None,
            node_feature: None,
            position: None,
            target: None,
            own: Vec::new(),
            split: None,
            name: Vec::new(),
            notes: Vec::new(),
        };
        if graphs.n_member() == 0 {
            return Err(DatasetError::Empty(format!("\"{dataset}\" holds no graph")));
        }
        Ok(graphs)
    }

    /// Whether this is many graphs or one.
    #[must_use]
    pub fn level(&self) -> Level {
        match self.topology {
            Topology::Many(_) => Level::Graphs,
            Topology::One(_) => Level::Nodes,
        }
    }

    /// Number of members to split into training, validation and test: graphs, or nodes.
    #[must_use]
    pub fn n_member(&self) -> usize {
        match &self.topology {
            Topology::Many(many) => many.n_graph(),
            Topology::One(one) => one.n_node(),
        }
    }

    /// Name of a graph, or of a node of one graph, in its source: its position, from 0, if it has
    /// no other name.
    #[must_use]
    pub fn name_of(&self, member: u32) -> Cow<'_, str> {
        match self.name.get(member as usize) {
            Some(name) => name.into(),
            None => member.to_string().into(),
        }
    }

    /// Total number of nodes.
    #[must_use]
    pub fn n_node(&self) -> usize {
        match &self.topology {
            Topology::Many(many) => many.node_offset[many.n_graph()],
            Topology::One(one) => one.n_node(),
        }
    }

    /// The fields that [`collate`](crate::collate()) can deliver.
    #[must_use]
    pub fn fields(&self) -> BatchFields {
        let own = self.own.iter().map(|field| field.shape().name.clone()).collect();
        BatchFields { own, ..self.built_in_fields() }
    }

    /// The same without custom fields.
    pub(crate) fn built_in_fields(&self) -> BatchFields {
        let edges = match &self.topology {
            Topology::Many(many) => Some(many.edges()),
            Topology::One(_) => None,
        };
        let (distance, displacement) = match edges {
            Some(Edges::FullyConnected) => (self.position.is_some(), self.position.is_some()),
            // Without any edges, all lengths are known.
            Some(Edges::Stored(stored)) => (
                stored.distance.len() == stored.sender.len(),
                stored.displacement.len() == stored.sender.len(),
            ),
            Some(Edges::Counted(_)) | None => (false, false),
        };
        BatchFields {
            node_class: self.node_class.is_some(),
            node_feature: self.node_feature.is_some(),
            distance,
            displacement,
            edge_weight: edges.is_none(),
            sender_order: !matches!(edges, Some(Edges::Counted(_))),
            sparse_feature: self.sparse_feature(true).is_some(),
            own: Vec::new(),
        }
    }

    /// Indices in [`Graphs::own`] of the requested custom fields. Missing fields are skipped.
    pub(crate) fn own_places<'a>(
        &'a self,
        needs: &'a BatchFields,
    ) -> impl Iterator<Item = usize> + 'a {
        let place = |name: &String| self.own.iter().position(|field| field.shape().name == *name);
        needs.own.iter().filter_map(place)
    }

    /// Bytes that the requested custom fields add to a batch.
    #[must_use]
    pub fn own_footprint(&self, needs: &BatchFields) -> Footprint {
        let mut bytes = Footprint::NONE;
        for place in self.own_places(needs) {
            let shape = self.own[place].shape();
            // Fields are aligned to 64 bytes.
            bytes.fixed += 64;
            *match shape.per {
                Per::Graph => &mut bytes.graph,
                Per::Node => &mut bytes.node,
                Per::Edge => &mut bytes.edge,
            } += shape.n_byte() as u64;
        }
        bytes
    }

    /// The features in compressed rows, if the batch gets them in this form: the model accepts it,
    /// and this is one graph with sparse features.
    pub(crate) fn sparse_feature(&self, is_wanted: bool) -> Option<&NodeFeature> {
        let is_sparse = |feature: &&NodeFeature| matches!(feature, NodeFeature::Sparse { .. });
        self.node_feature
            .as_ref()
            .filter(is_sparse)
            .filter(|_| is_wanted && self.level() == Level::Nodes)
    }

    /// Feature values per node in a batch: the feature width, or 0 for compressed rows, whose size
    /// does not follow from the shape.
    #[must_use]
    pub fn batch_feature_width(&self, needs: &BatchFields) -> usize {
        match self.sparse_feature(needs.sparse_feature) {
            Some(_) => 0,
            None => self.node_feature.as_ref().map_or(0, NodeFeature::width),
        }
    }

    /// Checks that every array has the length required by the topology.
    ///
    /// # Errors
    /// [`DatasetError::Inconsistent`] with the name of the array and both lengths.
    pub fn check(&self) -> Result<(), DatasetError> {
        let n_node = self.n_node();
        let lengths = [
            ("node classes", self.node_class.as_ref().map(|c| c.value.len()), n_node),
            ("positions", self.position.as_ref().map(Vec::len), n_node),
            ("targets", self.target.as_ref().map(|t| t.value.len()), self.n_member()),
            ("names", (!self.name.is_empty()).then_some(self.name.len()), self.n_member()),
        ];
        for (what, got, expected) in lengths {
            if got.is_some_and(|got| got != expected) {
                let got = got.unwrap_or_default();
                return Err(DatasetError::Inconsistent(format!(
                    "{got} {what}, expected {expected}"
                )));
            }
        }
        self.node_feature.as_ref().map_or(Ok(()), |feature| feature.check(n_node))?;
        if let Some(class) = &self.node_class
            && let Some(value) =
                class.value.iter().find(|&&value| value as usize >= class.name.len())
        {
            return Err(DatasetError::Inconsistent(format!("node class {value} has no name")));
        }
        self.own.iter().try_for_each(|field| field.check(self))?;
        self.split.as_ref().map_or(Ok(()), |split| split.check(self.n_member()))
    }

    /// The batcher's view of a subset, in the order of `members` (graphs, or output nodes).
    ///
    /// # Panics
    /// If a member does not exist.
    #[must_use]
    pub fn view(&self, members: &[u32]) -> View {
        match &self.topology {
            Topology::Many(many) => {
                View::ManyGraphs(members.iter().map(|&id| many.size(id as usize)).collect())
            }
            Topology::One(one) => View::OneGraph(OneGraphView {
                graph: Arc::clone(one),
                class: self.target.as_ref().map_or_else(|| Arc::from([]), classes),
                output: members.into(),
            }),
        }
    }
}

/// Numeric targets are not exposed as classes.
fn classes(target: &Target) -> Arc<[u32]> {
    match target.kind {
        TargetKind::Classes { .. } => {
            target.value.iter().map(|&value| class_number(value).unwrap_or(u32::MAX)).collect()
        }
        TargetKind::Regression { .. } => Arc::from([]),
    }
}

/// Class numbers are stored as floats; a negative one marks a missing class.
fn class_number(value: f64) -> Option<u32> {
    #[allow(clippy::cast_sign_loss, reason = "checked to be non-negative")]
    (value >= 0.0).then_some(value as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_that_names_a_member_twice_is_refused() {
        let one = OneGraph { offset: vec![0; 4], sender: Vec::new(), edge_weight: Vec::new() };
        let mut graphs = Graphs::new("test", Topology::One(Arc::new(one))).unwrap();
        let unsplit = graphs.content_hash();
        let mut check = |train: &[u32], test: &[u32]| {
            let [train, test] = [train, test].map(<[u32]>::to_vec);
            graphs.split = Some(FixedSplit { train, validation: Vec::new(), test });
            graphs.check().map(|()| graphs.content_hash()).map_err(|error| error.to_string())
        };
        assert_ne!(check(&[2, 0], &[1]).unwrap(), unsplit);
        let error = check(&[2, 0], &[2]).unwrap_err();
        assert_eq!(error, "inconsistent graphs: the split names member 2 twice");
        let error = check(&[3], &[]).unwrap_err();
        assert_eq!(error, "inconsistent graphs: the split names member 3, but there are 3");
    }
}
