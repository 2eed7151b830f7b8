//! Steps on request, so that another program can interleave ours with its own.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufRead, Write};
use std::path::PathBuf;

use batchlab_core::Graphs;
use batchlab_tensor::measure::Layout;
use serde::Deserialize;
use serde_json::{Value, json};

use super::batch::Choice;
use super::case::{Case, Engine, memory_of_steps};
use super::floor::{self, Product};
use super::memory::resident;
use super::structures::Structures;

/// One request: a line of JSON. Cases are called by their number from 0.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "do")]
enum Request {
    /// Opens a model on a batch: the next case.
    Open {
        structures: Structures,
        choice: Choice,
        model: Value,
    },
    /// Writes the batch, the current parameters and their results, for the peers.
    Write {
        case: usize,
        folder: PathBuf,
    },
    Time {
        case: usize,
        n_step: u32,
    },
    Floor {
        case: usize,
    },
    Square {
        size: usize,
    },
    Memory {},
    /// Trains on changing batches and reports the memory `n_report` times, every `n_step` steps.
    Steady {
        structures: Structures,
        choice: Choice,
        model: Value,
        n_step: usize,
        n_report: usize,
    },
    Close {},
}

/// Answers every line of `requests` with one line. Ends with the requests. Models run on `engine`.
pub fn serve(
    engine: Engine,
    requests: impl BufRead,
    mut answers: impl Write,
) -> anyhow::Result<()> {
    let mut server = Server { engine, ..Server::default() };
    for line in requests.lines() {
        let answer = server.answer(serde_json::from_str(&line?)?)?;
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}

#[derive(Default)]
struct Server {
    engine: Engine,
    graphs: HashMap<Structures, Graphs>,
    cases: Vec<Case>,
}

impl Server {
    fn answer(&mut self, request: Request) -> anyhow::Result<Value> {
        Ok(match request {
            Request::Open { structures, choice, model } => self.open(structures, &choice, model)?,
            Request::Write { case, folder } => {
                self.case(case)?.write(&folder)?;
                json!({})
            }
            Request::Time { case, n_step } => {
                let (milliseconds, loss) = self.case(case)?.time(n_step)?;
                json!({ "ms": milliseconds, "loss": loss })
            }
            Request::Floor { case } => self.floor(case)?,
            Request::Square { size } => {
                let product = Product { size: [size; 3], layout: Layout::Plain };
                let rate = product.n_operation() as f64 / floor::seconds(product) / 1e9;
                json!({ "giga_per_second": rate })
            }
            Request::Memory {} => {
                let (now, peak) = resident()?;
                json!({ "now_bytes": now, "peak_bytes": peak })
            }
            Request::Steady { structures, choice, model, n_step, n_report } => {
                let engine = self.engine.clone();
                let graphs = self.graphs(structures)?;
                let bytes = memory_of_steps(graphs, model, &choice, &engine, [n_step, n_report])?;
                json!({ "now_bytes": bytes })
            }
            Request::Close {} => {
                self.cases.clear();
                json!({})
            }
        })
    }

    fn graphs(&mut self, from: Structures) -> anyhow::Result<&Graphs> {
        Ok(match self.graphs.entry(from) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(from.load()?),
        })
    }

    fn open(&mut self, from: Structures, choice: &Choice, model: Value) -> anyhow::Result<Value> {
        let engine = self.engine.clone();
        let case = Case::open(self.graphs(from)?, model, choice, &engine)?;
        let batch = case.batch();
        let answer = json!({
            "padded": { "n_node": batch.shape.n_node, "n_edge": batch.shape.n_edge, "n_graph": batch.shape.n_graph },
            "real": { "n_node": batch.real.n_node, "n_edge": batch.real.n_edge, "n_graph": batch.real.n_graph },
        });
        self.cases.push(case);
        Ok(answer)
    }

    fn floor(&mut self, case: usize) -> anyhow::Result<Value> {
        let case = self.case(case)?;
        let shape = case.batch().shape;
        let (parameters, model) = (case.parameters()?, case.model["name"].clone());
        let sizes = [shape.n_node as usize, shape.n_edge as usize];
        let model = model.as_str().unwrap_or_default();
        Ok(serde_json::to_value(floor::floor(model, &parameters, sizes)?)?)
    }

    fn case(&mut self, case: usize) -> anyhow::Result<&mut Case> {
        let known = self.cases.len();
        let found = self.cases.get_mut(case);
        found.ok_or_else(|| anyhow::anyhow!("case {case} of {known} was asked for"))
    }
}
