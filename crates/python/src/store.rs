//! Graphs: a data set by name, or arrays from Python.

use std::path::Path;
use std::sync::Arc;

use batchlab_config::StudyFile;
use batchlab_core::graphs::{
    Edges, ManyGraphs, NodeClass, NodeFeature, Number, OwnField, OwnShape, Per, StoredEdges,
    Target, Topology,
};
use batchlab_core::{BatchFields, Graphs, LoadContext};
use batchlab_run::cache::Keep;
use batchlab_run::{Cache, memory, search_folders};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::batches::Batches;
use crate::error::value_error;
use crate::forecast::forecast;
use crate::interrupt::interruptible;
use crate::planner::Epoch;
use crate::results::Table;

/// Many graphs.
#[pyclass(frozen, module = "batchlab._batchlab")]
pub(crate) struct Store {
    graphs: Arc<Graphs>,
}

/// Arrays of graphs, one-dimensional and contiguous.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Arrays {
    n_node: PyBuffer<u32>,
    /// Per graph; `None`: all ordered pairs of distinct nodes are edges.
    n_edge: Option<PyBuffer<u32>>,
    /// `None`: edges are only counted.
    sender: Option<PyBuffer<u32>>,
    receiver: Option<PyBuffer<u32>>,
    distance: Option<PyBuffer<f32>>,
    displacement: Option<PyBuffer<f32>>,
    node_class: Option<PyBuffer<u32>>,
    class_name: Vec<String>,
    node_feature: Option<PyBuffer<f32>>,
    position: Option<PyBuffer<f32>>,
    target: Option<PyBuffer<f64>>,
    /// Name, per ("graph", "node" or "edge"), element type, values per row, and bytes.
    own: Vec<(String, String, String, usize, PyBuffer<u8>)>,
}

impl Store {
    /// With positions as a field, and with targets that training can use: 0 where they are missing,
    /// as these outputs have no weight.
    fn of(mut graphs: Graphs) -> Self {
        if let Some(position) = &graphs.position
            && graphs.own.iter().all(|field| field.shape().name != POSITION)
        {
            graphs.own.push(OwnField::new(POSITION, Per::Node, 3, position.as_flattened()));
        }
        if let Some(target) = &mut graphs.target {
            for member in 0..target.value.len() as u32 {
                if target.known(member).is_none() {
                    target.training[member as usize] = 0.0;
                }
            }
        }
        Self { graphs: Arc::new(graphs) }
    }
}

/// Name of positions in batches, as in PyTorch Geometric.
const POSITION: &str = "pos";

#[pymethods]
impl Store {
    /// Loads a data set, described by a TOML table in one line.
    #[staticmethod]
    fn load(py: Python<'_>, table: &str) -> PyResult<Self> {
        let changes = [format!("dataset={table}")];
        let file = StudyFile::read(None, &changes, batchlab_cli::DEFAULTS).map_err(value_error)?;
        let Ok([dataset]) = <[_; 1]>::try_from(file.datasets().map_err(value_error)?) else {
            return Err(value_error("name one data set"));
        };
        dataset.check().map_err(value_error)?;
        let memory = memory::budget().map_err(value_error)?;
        let search = search_folders(Path::new(""));
        // Without a target, graphs can still be batched.
        let ctx = LoadContext { search, memory, needs_target: false, ..LoadContext::new() };
        let load = move |_: &_| Cache::from_environment().load(&*dataset, &ctx, Keep::WhenSlow);
        let loaded = interruptible(py, load)?.map_err(value_error)?;
        Ok(Self::of(loaded.graphs))
    }

    #[staticmethod]
    fn of_arrays(py: Python<'_>, arrays: Arrays) -> PyResult<Self> {
        Ok(Self::of(graphs(py, arrays)?))
    }

    fn __len__(&self) -> usize {
        self.graphs.n_member()
    }

    /// Nodes and edges of each graph, as 32-bit integers.
    fn sizes<'py>(&self, py: Python<'py>) -> PyResult<[Bound<'py, PyBytes>; 2]> {
        let Topology::Many(many) = &self.graphs.topology else {
            return Err(value_error(format!(
                "dataset \"{}\" is one graph; samplers and loaders batch many graphs",
                self.graphs.dataset
            )));
        };
        let sizes: Vec<_> = (0..many.n_graph()).map(|graph| many.size(graph)).collect();
        let n_node: Vec<u32> = sizes.iter().map(|size| size.n_node).collect();
        let n_edge: Vec<u32> = sizes.iter().map(|size| size.n_edge).collect();
        Ok([n_node, n_edge].map(|sizes| PyBytes::new(py, bytemuck::cast_slice(&sizes))))
    }

    /// Names of the fields that batches can have.
    fn fields(&self) -> Vec<String> {
        self.graphs.fields().names().map(str::to_owned).collect()
    }

    /// Name of each field of the data set's own, and what its rows belong to.
    fn own(&self) -> Vec<(String, String)> {
        let shapes = self.graphs.own.iter().map(OwnField::shape);
        shapes.map(|shape| (shape.name.clone(), shape.per.to_string())).collect()
    }

    /// True value of each graph in the target's unit, as 64-bit floats.
    fn target<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let target = self.graphs.target.as_ref()?;
        Some(PyBytes::new(py, bytemuck::cast_slice(&target.value)))
    }

    /// Name of each class of nodes.
    fn class_names(&self) -> Vec<String> {
        self.graphs.node_class.as_ref().map_or_else(Vec::new, |class| class.name.clone())
    }

    /// Name of each graph in its source, or none.
    fn names(&self) -> Vec<String> {
        self.graphs.name.clone()
    }

    /// Counts for the user, such as graphs that were left out and why.
    fn notes(&self) -> Vec<(String, u64)> {
        self.graphs.notes.clone()
    }

    /// How strategies, given as TOML tables, would batch these graphs.
    fn forecast(
        &self,
        py: Python<'_>,
        tables: Vec<String>,
        batch_sizes: Vec<u32>,
        n_step: u64,
        seed: u64,
    ) -> PyResult<Table> {
        forecast(py, &self.graphs, &tables, &batch_sizes, n_step, seed)
    }

    /// Collates the batches of an epoch from `first` on; a field that the data do not have is reported
    /// with the first batch.
    fn collate(
        &self,
        epoch: &Epoch,
        first: usize,
        fields: Vec<String>,
        prefetch: usize,
    ) -> Batches {
        let graphs = Arc::clone(&self.graphs);
        Batches::start(graphs, Arc::clone(&epoch.plans), first, needs(fields), prefetch)
    }
}

fn needs(fields: Vec<String>) -> BatchFields {
    let mut needs = BatchFields::default();
    for field in fields {
        match field.as_str() {
            "node_class" => needs.node_class = true,
            "node_feature" => needs.node_feature = true,
            "distance" => needs.distance = true,
            "displacement" => needs.displacement = true,
            "sender_order" => needs.sender_order = true,
            _ => needs.own.push(field),
        }
    }
    needs
}

fn graphs(py: Python<'_>, arrays: Arrays) -> PyResult<Graphs> {
    let n_node = arrays.n_node.to_vec(py)?;
    let n_edge = arrays.n_edge.as_ref().map(|n_edge| n_edge.to_vec(py)).transpose()?;
    let mut order = None;
    let edges = match (n_edge, &arrays.sender, &arrays.receiver) {
        (None, ..) => Edges::FullyConnected,
        (Some(n_edge), Some(sender), Some(receiver)) => {
            let receiver = receiver.to_vec(py)?;
            let distance = floats(py, arrays.distance.as_ref())?.unwrap_or_default();
            let displacement = floats(py, arrays.displacement.as_ref())?.unwrap_or_default();
            let displacement: &[[f32; 3]] = bytemuck::cast_slice(&displacement);
            let sender = sender.to_vec(py)?;
            let stored = StoredEdges::new(&n_edge, &sender, &receiver, &distance, displacement);
            let stored = stored.map_err(value_error)?;
            order = Some(StoredEdges::order(&n_edge, &receiver));
            Edges::Stored(stored)
        }
        (Some(n_edge), ..) => Edges::Counted(n_edge),
    };
    let many = ManyGraphs::new(&n_node, edges).map_err(value_error)?;
    let mut graphs = Graphs::new("python", Topology::Many(many)).map_err(value_error)?;
    let n_node = graphs.n_node();
    if let Some(class) = &arrays.node_class {
        graphs.node_class = Some(NodeClass { value: class.to_vec(py)?, name: arrays.class_name });
    }
    if let Some(value) = floats(py, arrays.node_feature.as_ref())? {
        let width = value.len() / n_node.max(1);
        graphs.node_feature = Some(NodeFeature::Dense { value, width });
    }
    let position = floats(py, arrays.position.as_ref())?;
    graphs.position = position.map(|position| bytemuck::cast_slice(&position).to_vec());
    if let Some(target) = &arrays.target {
        graphs.target = Some(Target::regression("target", None, target.to_vec(py)?));
    }
    for (name, per, number, width, bytes) in arrays.own {
        let shape = OwnShape { name, per: per_of(&per)?, number: number_of(&number)?, width };
        let is_per_edge = shape.per == Per::Edge;
        let field = OwnField::from_bytes(shape, bytes.to_vec(py)?);
        graphs.own.push(match &order {
            Some(order) if is_per_edge => field.reordered(order),
            _ => field,
        });
    }
    graphs.check().map_err(value_error)?;
    Ok(graphs)
}

fn floats(py: Python<'_>, values: Option<&PyBuffer<f32>>) -> PyResult<Option<Vec<f32>>> {
    values.map(|values| values.to_vec(py)).transpose()
}

fn per_of(per: &str) -> PyResult<Per> {
    serde_json::from_value(per.into()).map_err(value_error)
}

fn number_of(number: &str) -> PyResult<Number> {
    serde_json::from_value(number.into()).map_err(value_error)
}
