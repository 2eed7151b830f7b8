//! Epochs on request.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use batchlab_core::graphs::{NodeFeature, OneGraph, Topology};
use batchlab_core::{BatchContext, BatchPlan, Batcher, Dataset, Graphs, LoadContext, Purpose};
use serde::Deserialize;
use serde_json::{Value, json};

use super::case::{Case, Choice};
use super::influence;
use crate::export;
use crate::source::SEED;
use crate::training::memory::resident;

/// One request: a line of JSON. Cases are called by their number from 0.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "do")]
enum Request {
    /// Loads a data set.
    Load {
        dataset: Value,
    },
    /// Writes the graph for the peers.
    WriteGraph {
        folder: PathBuf,
    },
    Open {
        choice: Choice,
    },
    Epoch {
        case: usize,
        train: bool,
    },
    /// Frees a case.
    Drop {
        case: usize,
    },
    /// Writes a batch with parameters, loss and gradients.
    WriteBatch {
        case: usize,
        folder: PathBuf,
    },
    Ppr {
        k: usize,
    },
    WritePpr {
        n_root: usize,
        folder: PathBuf,
    },
    /// Opens a batcher: all that it prepares.
    Prepare {
        batcher: Value,
    },
    Memory {},
}

/// Answers every line of `requests` with one line. Ends with the requests.
pub fn serve(requests: impl BufRead, mut answers: impl Write) -> anyhow::Result<()> {
    let mut server = Server::default();
    for line in requests.lines() {
        let answer = server.answer(serde_json::from_str(&line?)?)?;
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}

#[derive(Default)]
struct Server {
    graphs: Option<Graphs>,
    cases: Vec<Option<Case>>,
}

impl Server {
    fn answer(&mut self, request: Request) -> anyhow::Result<Value> {
        Ok(match request {
            Request::Load { dataset } => {
                let dataset: Box<dyn Dataset> = serde_json::from_value(dataset)?;
                self.cases.clear();
                self.graphs = Some(dataset.load(&LoadContext::new())?);
                json!({})
            }
            Request::WriteGraph { folder } => {
                write_graph(self.graphs()?, &folder)?;
                json!({})
            }
            Request::Open { choice } => {
                let graphs = self.graphs()?;
                let case = Case::open(graphs, training_nodes(graphs)?, &choice)?;
                self.cases.push(Some(case));
                json!({ "case": self.cases.len() - 1 })
            }
            Request::Epoch { case, train } => {
                let (graphs, case) = self.case(case)?;
                serde_json::to_value(case.epoch(graphs, train)?)?
            }
            Request::Drop { case } => {
                self.case(case)?;
                self.cases[case] = None;
                json!({})
            }
            Request::WriteBatch { case, folder } => {
                let (graphs, case) = self.case(case)?;
                case.write(graphs, &folder)?;
                json!({})
            }
            Request::Ppr { k } => {
                let graphs = self.graphs()?;
                influence::time(one_graph(graphs)?, training_nodes(graphs)?, k)?
            }
            Request::WritePpr { n_root, folder } => {
                let graphs = self.graphs()?;
                let roots = training_nodes(graphs)?;
                let roots = &roots[..n_root.min(roots.len())];
                influence::write(one_graph(graphs)?, roots, &folder)?;
                json!({})
            }
            Request::Prepare { batcher } => prepare(self.graphs()?, batcher)?,
            Request::Memory {} => {
                let (now, peak) = resident()?;
                json!({ "now_bytes": now, "peak_bytes": peak })
            }
        })
    }

    fn graphs(&self) -> anyhow::Result<&Graphs> {
        self.graphs.as_ref().context("no data set was loaded")
    }

    fn case(&mut self, case: usize) -> anyhow::Result<(&Graphs, &mut Case)> {
        let known = self.cases.len();
        let found = self.cases.get_mut(case).and_then(Option::as_mut);
        let found =
            found.with_context(|| format!("case {case} of {known} was asked for, or dropped"))?;
        Ok((self.graphs.as_ref().context("no data set was loaded")?, found))
    }
}

fn one_graph(graphs: &Graphs) -> anyhow::Result<&OneGraph> {
    let Topology::One(one) = &graphs.topology else { anyhow::bail!("these are many graphs") };
    Ok(one)
}

fn training_nodes(graphs: &Graphs) -> anyhow::Result<&[u32]> {
    Ok(&graphs.split.as_ref().context("the data set has no split")?.train)
}

fn write_graph(graphs: &Graphs, folder: &std::path::Path) -> anyhow::Result<()> {
    let one = one_graph(graphs)?;
    let offset: Vec<u32> = one.offset.iter().map(|&edge| edge as u32).collect();
    export::write(folder, "offset", &offset)?;
    export::write(folder, "sender", &one.sender)?;
    export::write(folder, "weight", &one.edge_weight)?;
    let Some(NodeFeature::Dense { value, .. }) = &graphs.node_feature else {
        anyhow::bail!("the peers read dense features only")
    };
    export::write(folder, "feature", value)?;
    let target = graphs.target.as_ref().context("the data set has no classes")?;
    export::write(folder, "class", &target.training)?;
    export::write(folder, "train", training_nodes(graphs)?)
}

/// Seconds until a batcher's stream is open, and for its first plan.
fn prepare(graphs: &Graphs, batcher: Value) -> anyhow::Result<Value> {
    let batcher: Box<dyn Batcher> = serde_json::from_value(batcher)?;
    let start = Instant::now();
    let view = graphs.view(training_nodes(graphs)?);
    let mut stream = batcher.open(view, BatchContext::new(Purpose::Training, SEED))?;
    let seconds = start.elapsed().as_secs_f64();
    anyhow::ensure!(stream.next(&mut BatchPlan::default())?, "a training stream does not end");
    Ok(json!({ "seconds": seconds }))
}
