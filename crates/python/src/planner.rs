//! Plans whole epochs, for samplers and loaders.

use std::sync::{Arc, Mutex, PoisonError};

use batchlab_config::batcher_of_argument;
use batchlab_core::padding::{BatchSize, Padding};
use batchlab_core::plan::Cursor;
use batchlab_core::registry::{Kind, find};
use batchlab_core::{
    BatchContext, BatchPlan, BatchStream, Batcher, BatcherError, Dataset, GraphSize, Purpose,
    Shape, View, random,
};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::Deserialize;

use crate::error::value_error;
use crate::groups::{padding_rule, plans, shapes};
use crate::interrupt::look_for_signals;
use crate::ranks::{Rank, Share};

/// Plans the epochs of a batching strategy on graphs of given sizes.
#[pyclass(frozen, module = "batchlab._batchlab")]
pub(crate) struct Planner {
    batcher: Box<dyn Batcher>,
    view: View,
    purpose: Purpose,
    seed: u64,
    /// Whether an epoch can be planned without those before it.
    is_independent: bool,
    stream: Mutex<Option<Stream>>,
}

/// A stream at the beginning of an epoch.
struct Stream {
    batches: Box<dyn BatchStream>,
    /// Where the epoch begins.
    start: Cursor,
    /// The first plan of the epoch, if it is known.
    first: Option<BatchPlan>,
}

/// The plans of one epoch.
#[pyclass(frozen, module = "batchlab._batchlab")]
pub(crate) struct Epoch {
    pub(crate) plans: Arc<[BatchPlan]>,
    start: Cursor,
    /// Graphs of each step on all ranks together; `None` on one rank.
    n_graph: Option<Vec<u32>>,
}

#[pymethods]
impl Planner {
    /// `batcher` is a TOML table.
    #[new]
    fn new(
        py: Python<'_>,
        graphs: Sizes,
        batcher: &str,
        batch_size: u32,
        seed: u64,
        shuffle: bool,
    ) -> PyResult<Self> {
        let batcher = batcher_of(batcher, batch_size)?;
        let graphs = sizes_of(py, graphs)?;
        let table = serde_json::to_value(&batcher).map_err(value_error)?;
        let is_independent = !shuffle
            || (table["epoch_boundary"] == "emit-partial" && table["composition"] != "fixed");
        let purpose = if shuffle { Purpose::Training } else { Purpose::Evaluation };
        let planner = Self {
            batcher,
            view: View::ManyGraphs(graphs.into()),
            purpose,
            seed,
            is_independent,
            stream: Mutex::default(),
        };
        // Reports options that do not fit the data.
        let stream = py.detach(|| planner.open(Cursor::default())).map_err(value_error)?;
        *planner.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
        Ok(planner)
    }

    /// Name of the strategy in results.
    #[getter]
    fn label(&self) -> String {
        self.batcher.label()
    }

    /// Plans an epoch.
    fn epoch(&self, py: Python<'_>, number: u64) -> PyResult<Epoch> {
        py.detach(|| self.plan(number))
    }

    /// Continues with the epoch that begins at this position; see `Epoch.start`.
    fn seek(&self, py: Python<'_>, start: &str) -> PyResult<()> {
        let start: Cursor = serde_json::from_str(start).map_err(value_error)?;
        let stream = self.open(start).map_err(value_error)?;
        // Another thread that plans asks for signals, for which it needs the interpreter's lock.
        py.detach(|| *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream));
        Ok(())
    }
}

impl Planner {
    fn open(&self, start: Cursor) -> Result<Stream, BatcherError> {
        let ctx = BatchContext::new(self.purpose, self.seed);
        let mut batches = self.batcher.open(self.view.clone(), ctx)?;
        // Every pass of an evaluation is the same.
        if start != Cursor::default() && self.purpose == Purpose::Training {
            batches.seek(&start)?;
        }
        Ok(Stream { batches, start, first: None })
    }

    fn plan(&self, number: u64) -> PyResult<Epoch> {
        let mut held = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let open = |start| self.open(start).map_err(value_error);
        let mut stream = match held.take() {
            Some(stream) if stream.start.epoch == number => stream,
            _ if self.is_independent => open(Cursor { epoch: number, ..Cursor::default() })?,
            Some(stream) if stream.start.epoch < number => stream,
            _ => open(Cursor::default())?,
        };
        while stream.start.epoch < number {
            stream.epoch(self.purpose)?;
        }
        let epoch = stream.epoch(self.purpose)?;
        *held = (self.purpose == Purpose::Training).then_some(stream);
        Ok(epoch)
    }
}

impl Stream {
    /// Plans one epoch and moves to the next. Ctrl-C ends it.
    fn epoch(&mut self, purpose: Purpose) -> PyResult<Epoch> {
        let start = self.start.clone();
        let mut plans: Vec<BatchPlan> = self.first.take().into_iter().collect();
        look_for_signals()?;
        loop {
            if plans.len() % BETWEEN_LOOKS == BETWEEN_LOOKS - 1 {
                look_for_signals()?;
            }
            let mut plan = BatchPlan::default();
            let is_planned = self.batches.next(&mut plan).map_err(value_error)?;
            if purpose == Purpose::Evaluation && is_planned {
                plans.push(plan);
                continue;
            }
            let epoch = start.epoch + 1;
            if !is_planned {
                self.start = Cursor { epoch, ..Cursor::default() };
                break;
            }
            if plan.cursor.epoch < epoch {
                plans.push(plan);
                continue;
            }
            if plan.cursor.epoch > epoch {
                return Err(value_error(format!(
                    "epoch {epoch} yields no complete batch; use a smaller batch_size or \
                     epoch_boundary = \"emit-partial\""
                )));
            }
            self.start = Cursor { batch: 0, ..plan.cursor.clone() };
            self.first = Some(plan);
            break;
        }
        Ok(Epoch { plans: plans.into(), start, n_graph: None })
    }
}

/// Batches planned between looks for Ctrl-C.
const BETWEEN_LOOKS: usize = 1024;

/// Ids, nodes and edges of graphs, each an array of 32-bit integers.
type Sizes = [PyBuffer<u32>; 3];

fn sizes_of(py: Python<'_>, [ids, n_node, n_edge]: Sizes) -> PyResult<Vec<GraphSize>> {
    let sizes = n_node.to_vec(py)?.into_iter().zip(n_edge.to_vec(py)?);
    let graphs = ids.to_vec(py)?.into_iter().zip(sizes);
    Ok(graphs.map(|(id, (n_node, n_edge))| GraphSize { id, n_node, n_edge }).collect())
}

#[pymethods]
impl Epoch {
    /// Batches that were grouped in Python, as lists of ids; `first` are those of epoch 0, from
    /// which padded shapes follow.
    #[staticmethod]
    fn of_groups(
        py: Python<'_>,
        graphs: Sizes,
        groups: Vec<Vec<u32>>,
        first: Vec<Vec<u32>>,
        padding: &str,
        batch_size: u32,
        number: u64,
    ) -> PyResult<Self> {
        let size = BatchSize::try_from(batch_size).map_err(value_error)?;
        let padding = toml::from_str(&format!("padding = {padding}"));
        let Padded { padding } = padding.map_err(value_error)?;
        let sizes = sizes_of(py, graphs)?.into_iter().map(|graph| (graph.id, graph)).collect();
        let rule = padding_rule(padding, size, &shapes(&first, &sizes));
        let plans = plans(groups, &sizes, size, &rule, number).map_err(value_error)?;
        let start = Cursor { epoch: number, ..Cursor::default() };
        Ok(Self { plans: plans.into(), start, n_graph: None })
    }

    /// The share of one of `n_rank` ranks.
    fn share(
        &self,
        py: Python<'_>,
        graphs: Sizes,
        rank: usize,
        n_rank: usize,
        assignment: &str,
    ) -> PyResult<Self> {
        let assignment = assignment.parse().map_err(value_error)?;
        if rank >= n_rank {
            return Err(value_error(format!("rank {rank} is not one of {n_rank} ranks")));
        }
        let graphs = sizes_of(py, graphs)?;
        let rank = Rank { number: rank, among: n_rank, assignment };
        let steps = py.detach(|| rank.steps(&self.plans, &graphs, self.start.epoch));
        let (plans, n_graph): (Vec<BatchPlan>, _) =
            steps.into_iter().map(|Share { plan, n_graph }| (plan, n_graph)).unzip();
        Ok(Self { plans: plans.into(), start: self.start.clone(), n_graph: Some(n_graph) })
    }

    /// Graphs of each step on all ranks together, as 32-bit integers.
    fn graphs_per_step<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let on_one_rank = || self.plans.iter().map(|plan| plan.real.n_graph).collect();
        let n_graph = self.n_graph.clone().unwrap_or_else(on_one_rank);
        PyBytes::new(py, bytemuck::cast_slice(&n_graph))
    }

    fn __len__(&self) -> usize {
        self.plans.len()
    }

    /// The graphs of a batch.
    fn ids(&self, batch: usize) -> PyResult<Vec<u32>> {
        let plan = self.plans.get(batch);
        plan.map(|plan| plan.members.clone()).ok_or_else(|| value_error("there is no such batch"))
    }

    /// Padded and real sizes of each batch: rows of `n_node`, `n_edge`, `n_graph`, first padded,
    /// then real, as 32-bit integers.
    fn shapes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let row = |of: Shape| [of.n_node, of.n_edge, of.n_graph];
        let rows: Vec<[[u32; 3]; 2]> =
            self.plans.iter().map(|plan| [row(plan.shape), row(plan.real)]).collect();
        PyBytes::new(py, bytemuck::cast_slice(&rows))
    }

    /// Where this epoch begins, for `Planner.seek`.
    #[getter]
    fn start(&self) -> PyResult<String> {
        serde_json::to_string(&self.start).map_err(value_error)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Padded {
    padding: Padding,
}

/// A random order of `n` graphs, as a run draws it: with the purpose "order", that of an epoch of
/// training; with "split", that from which the subsets are taken.
#[pyfunction]
pub(crate) fn permutation(seed: u64, purpose: &str, epoch: u64, n: usize) -> Vec<u32> {
    random::permutation(seed, purpose, epoch, n)
}

/// Labels of strategies.
#[pyfunction]
pub(crate) fn labels() -> Vec<&'static str> {
    batchlab_builtin::PRESETS.iter().map(|(label, _)| *label).collect()
}

/// The table of a strategy, given by label or name, as JSON.
#[pyfunction]
pub(crate) fn strategy(label: &str) -> PyResult<String> {
    let preset = batchlab_builtin::PRESETS.iter().find(|(known, _)| *known == label);
    let Some((_, preset)) = preset else {
        if find(Kind::Batcher, label).is_none() {
            // Only for its message, which names those that are known.
            batcher_of(&label.replace(['=', '{'], " "), 2)?;
        }
        return Ok(serde_json::json!({ "name": label }).to_string());
    };
    let table: toml::Table = toml::from_str(&format!("preset = {preset}")).map_err(value_error)?;
    serde_json::to_string(&table["preset"]).map_err(value_error)
}

/// The options of a batcher, or none if there is no such batcher.
#[pyfunction]
pub(crate) fn options(name: &str) -> Vec<String> {
    let schema = find(Kind::Batcher, name).map(|registration| (registration.schema)());
    let options = schema.as_ref().and_then(|schema| schema["properties"].as_object());
    options.map_or_else(Vec::new, |options| options.keys().cloned().collect())
}

/// The batcher of a TOML table, checked against graphs of given sizes.
pub(crate) fn batcher_of(table: &str, batch_size: u32) -> PyResult<Box<dyn Batcher>> {
    let size = BatchSize::try_from(batch_size).map_err(value_error)?;
    let presets = batchlab_builtin::PRESETS;
    batcher_of_argument("batcher", table, presets, size, &*sizes()?).map_err(value_error)
}

/// The data set of sizes alone, against which batchers are checked.
fn sizes() -> PyResult<Box<dyn Dataset>> {
    let registration = find(Kind::Dataset, "sizes").ok_or_else(|| value_error("no dataset"))?;
    serde_json::from_value((registration.example)()).map_err(value_error)
}
