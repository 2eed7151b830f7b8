//! Blocks on request, so that another program can interleave ours with its own.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use batchlab_core::Graphs;
use serde::Deserialize;
use serde_json::json;

use crate::export;
use crate::source::{Fields, Source, Strategy};

/// One request: a line of JSON.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "do")]
enum Request {
    /// Opens a source, which is called by its number from then on, counted from 0.
    Open { strategy: Strategy, batch_size: u32, fields: Fields },
    Time {
        source: usize,
        n_batch: u32,
        /// Whether something else fills the caches before every batch, untimed.
        is_cold: bool,
    },
    /// Writes the first batches of a strategy to a folder.
    Dump { strategy: Strategy, batch_size: u32, n_batch: u32, folder: PathBuf },
}

/// Answers every line of `requests` with one line: `{}`, or `{"us": ...}`, the microseconds per
/// batch. Ends with the requests.
pub fn serve(
    graphs: &Graphs,
    requests: impl BufRead,
    mut answers: impl Write,
) -> anyhow::Result<()> {
    let mut sources = Vec::new();
    // Larger than the last-level cache; its pages are allocated when they are first written.
    let mut other = vec![0_u64; (64 << 20) / 8];
    for line in requests.lines() {
        let answer = match serde_json::from_str(&line?)? {
            Request::Open { strategy, batch_size, fields } => {
                sources.push(Source::open(graphs, strategy, batch_size, fields)?);
                json!({})
            }
            Request::Time { source, n_batch, is_cold } => {
                let known = sources.len();
                let Some(source) = sources.get_mut(source) else {
                    anyhow::bail!("source {source} of {known} was asked for")
                };
                let time = if is_cold {
                    source.time_apart(n_batch, || other.iter_mut().for_each(|byte| *byte += 1))?
                } else {
                    source.time(n_batch)?
                };
                json!({ "us": time.as_secs_f64() * 1e6 / f64::from(n_batch) })
            }
            Request::Dump { strategy, batch_size, n_batch, folder } => {
                export::batches(graphs, strategy, batch_size, n_batch, &folder)?;
                json!({})
            }
        };
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}
