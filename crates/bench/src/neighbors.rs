//! Neighbour lists: how many structures are connected per second. On request, so that
//! `peers/neighbors.py` can interleave the same work of ASE and matscipy, and compare the edges.

use std::hint::black_box;
use std::io::{BufRead, Write};
use std::time::Instant;

use batchlab_core::EdgeRule;
use batchlab_neighbors::{Neighbors, connect};
use serde::Deserialize;
use serde_json::{Value, json};

/// A structure as the peers send it, in angstrom.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Structure {
    positions: Vec<[f64; 3]>,
    cell: [[f64; 3]; 3],
}

/// One request: a line of JSON.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "do")]
enum Request {
    Structures {
        structures: Vec<Structure>,
    },
    Time {
        rule: EdgeRule,
    },
    /// The edges of one structure, counted from 0.
    Edges {
        rule: EdgeRule,
        structure: usize,
    },
}

/// Answers every line of `requests` with one line: `{}`, `{"seconds": ..., "n_edge": ...}`, or the
/// arrays of the edges. Ends with the requests.
pub fn serve(requests: impl BufRead, mut answers: impl Write) -> anyhow::Result<()> {
    let mut known = Vec::new();
    for line in requests.lines() {
        let answer = match serde_json::from_str(&line?)? {
            Request::Structures { structures } => {
                known = structures;
                json!({})
            }
            Request::Time { rule } => time(&known, rule)?,
            Request::Edges { rule, structure } => {
                let Some(Structure { positions, cell }) = known.get(structure) else {
                    anyhow::bail!("structure {structure} of {} was asked for", known.len())
                };
                let Neighbors { sender, receiver, distance, displacement } =
                    connect(rule, positions, Some(cell))?;
                json!({
                    "sender": sender, "receiver": receiver,
                    "distance": distance, "displacement": displacement,
                })
            }
        };
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}

fn time(structures: &[Structure], rule: EdgeRule) -> anyhow::Result<Value> {
    let mut n_edge = 0;
    let start = Instant::now();
    for Structure { positions, cell } in structures {
        n_edge += black_box(connect(rule, positions, Some(cell))?).n_edge();
    }
    Ok(json!({ "seconds": start.elapsed().as_secs_f64(), "n_edge": n_edge }))
}
