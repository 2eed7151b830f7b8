//! The plugin: from a configuration to columnar storage.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use batchlab_core::graphs::{
    Edges, Graphs as Store, ManyGraphs, NodeClass, NodeFeature, Per, StoredEdges, Target, Topology,
};
use batchlab_core::{BatchFields, Dataset, DatasetError, Level, LoadContext, Provides};
use batchlab_npz::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arrays::Arrays;
use crate::error::GraphsError;

/// The name of the target if there is none.
const NO_TARGET: &str = "none";

/// Graphs as arrays in an `.npz` file, exported from PyTorch Geometric, jraph or any other library.
///
/// The file has `n_node` and `n_edge`, `[n_graph]`, `senders` and `receivers`, `[sum of n_edge]`,
/// with node indices from 0 within each graph, and any number of arrays with a row per node, edge
/// or graph, whose names begin with `node.`, `edge.` or `graph.`. Five of them have a predefined
/// meaning: `node.class`, `node.feature`, `node.position`, `edge.distance` and `edge.displacement`.
/// docs/data.md shows Python code that writes such a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Graphs {
    /// The file. Relative paths are resolved like all paths of the configuration.
    pub path: PathBuf,
    /// The target: `energy` is the array `graph.energy`, one number per graph. `none` reads graphs
    /// only: enough for `batchlab plan` and `batchlab data`, but not for a run.
    pub target: String,
    /// Unit of the target, for axes and tables; nothing is converted. Classes have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Class names, which make the target a class instead of a number; the array holds indices into
    /// this list, from 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Custom fields, for models that request them by name: `forces` is the array `node.forces`,
    /// `edge.forces` or `graph.forces`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Keep only the first graphs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroUsize>,
}

batchlab_core::register!(
    Dataset,
    Graphs,
    example = Graphs {
        path: PathBuf::from("mine.npz"),
        target: "energy".to_owned(),
        unit: Some("eV".to_owned()),
        classes: Vec::new(),
        fields: vec!["forces".to_owned()],
        limit: None,
    }
);

#[typetag::serde(name = "graphs")]
impl Dataset for Graphs {
    /// Which of the predefined fields the file has is known only after reading it.
    fn provides(&self) -> Provides {
        let fields = BatchFields {
            node_class: true,
            node_feature: true,
            distance: true,
            displacement: true,
            sender_order: true,
            own: self.fields.clone(),
            ..BatchFields::default()
        };
        Provides { level: Level::Graphs, fields, target: self.target != NO_TARGET }
    }

    fn check(&self) -> Result<(), DatasetError> {
        match &self.unit {
            Some(unit) if self.has_classes() => {
                Err(DatasetError::other(GraphsError::UnitOfClasses { unit: unit.clone() }))
            }
            _ => Ok(()),
        }
    }

    fn has_classes(&self) -> bool {
        !self.classes.is_empty()
    }

    fn load(&self, ctx: &LoadContext) -> Result<Store, DatasetError> {
        self.check()?;
        let path = ctx.resolve(&self.path)?;
        let limit = self.limit.map_or(usize::MAX, NonZeroUsize::get);
        let mut arrays = Arrays::open(&path, limit, &ctx.memory)?;
        if arrays.n_node.is_empty() {
            return Err(DatasetError::Empty(format!("{} holds no graph", path.display())));
        }
        let sender = arrays.ends("senders").map_err(DatasetError::other)?;
        let receiver = arrays.ends("receivers").map_err(DatasetError::other)?;
        let node = Nodes::read(&mut arrays)?;
        let (distance, displacement) = node.lengths(&mut arrays, &sender, &receiver)?;
        let (n_node, n_edge) = (arrays.n_node.clone(), arrays.n_edge.clone());
        let edges = StoredEdges::new(&n_edge, &sender, &receiver, &distance, &displacement)?;
        let many = ManyGraphs::new(&n_node, Edges::Stored(edges))?;
        let mut graphs = Store::new("graphs", Topology::Many(many))?;
        (graphs.node_class, graphs.node_feature) = (node.class, node.feature);
        graphs.position = node.position;
        graphs.target = self.target(&mut arrays, ctx.needs_target)?;
        let order = StoredEdges::order(&n_edge, &receiver);
        for name in &self.fields {
            graphs.own.push(arrays.own(name, &order)?);
        }
        graphs.notes = vec![("graphs read".to_owned(), n_node.len() as u64)];
        graphs.check()?;
        Ok(graphs)
    }
}

/// Predefined node fields.
struct Nodes {
    class: Option<NodeClass>,
    feature: Option<NodeFeature>,
    position: Option<Vec<[f32; 3]>>,
}

impl Nodes {
    fn read(arrays: &mut Arrays) -> Result<Self, DatasetError> {
        let mut node = Self { class: None, feature: None, position: None };
        if arrays.has("node.class") {
            let value = arrays.classes("node.class").map_err(DatasetError::other)?;
            let n_class = value.iter().max().map_or(0, |&largest| largest + 1);
            let name = (0..n_class).map(|class| class.to_string()).collect();
            node.class = Some(NodeClass { value, name });
        }
        if arrays.has("node.feature") {
            let rows = arrays.floats("node.feature", Per::Node);
            let (value, width) = rows.map_err(DatasetError::other)?;
            node.feature = Some(NodeFeature::Dense { value, width });
        }
        if arrays.has("node.position") {
            let rows = arrays.vectors("node.position", Per::Node);
            node.position = Some(rows.map_err(DatasetError::other)?);
        }
        Ok(node)
    }

    /// Lengths and displacements of edges: from the file, or else computed from positions.
    fn lengths(
        &self,
        arrays: &mut Arrays,
        sender: &[u32],
        receiver: &[u32],
    ) -> Result<(Vec<f32>, Vec<[f32; 3]>), DatasetError> {
        let mut displacement = Vec::new();
        if arrays.has("edge.displacement") {
            let rows = arrays.vectors("edge.displacement", Per::Edge);
            displacement = rows.map_err(DatasetError::other)?;
        } else if let Some(position) = &self.position {
            let (mut node, mut edge) = (0, 0);
            for (&n_node, &n_edge) in arrays.n_node.iter().zip(&arrays.n_edge) {
                let at = |end: u32| position[node + end as usize];
                let edges = edge..edge + n_edge as usize;
                displacement.extend(edges.clone().map(|edge| {
                    let (to, from) = (at(receiver[edge]), at(sender[edge]));
                    [0, 1, 2].map(|axis| to[axis] - from[axis])
                }));
                (node, edge) = (node + n_node as usize, edges.end);
            }
        }
        if arrays.has("edge.distance") {
            let (values, width) =
                arrays.floats("edge.distance", Per::Edge).map_err(DatasetError::other)?;
            if width != 1 {
                let (found, expected) = (format!("rows of {width}"), "one number for each edge");
                return Err(arrays.fault("edge.distance", Problem::Shape { found, expected }));
            }
            return Ok((values, displacement));
        }
        let length = |[x, y, z]: &[f32; 3]| (x * x + y * y + z * z).sqrt();
        Ok((displacement.iter().map(length).collect(), displacement))
    }
}

impl Graphs {
    fn target(&self, arrays: &mut Arrays, is_needed: bool) -> Result<Option<Target>, DatasetError> {
        if self.target == NO_TARGET {
            return Ok(None);
        }
        let array = format!("graph.{}", self.target);
        if !arrays.has(&array) {
            if !is_needed {
                return Ok(None);
            }
            return Err(arrays.no_array("target", &self.target, &[Per::Graph]));
        }
        let (values, width) = arrays.doubles(&array, Per::Graph).map_err(DatasetError::other)?;
        if width != 1 {
            let (found, expected) = (format!("rows of {width}"), "one number for each graph");
            return Err(arrays.fault(&array, Problem::Shape { found, expected }));
        }
        let n_class = self.classes.len() as f64;
        let is_right = |value: f64| match value {
            value if value.is_nan() => !is_needed,
            value if self.has_classes() => value.fract() == 0.0 && value >= 0.0 && value < n_class,
            value => value.is_finite(),
        };
        if let Some(at) = values.iter().position(|&value| !is_right(value)) {
            let expected = match self.classes.len() {
                0 => "a finite number".to_owned(),
                n => format!("the number of a class, 0 to {}", n - 1),
            };
            let value = values[at].to_string();
            return Err(arrays.fault(&array, Problem::Value { at, value, expected }));
        }
        Ok(Some(if self.has_classes() {
            Target::classes(&self.target, self.classes.clone(), values)
        } else {
            Target::regression(&self.target, self.unit.as_deref(), values)
        }))
    }
}

#[cfg(test)]
mod tests;
