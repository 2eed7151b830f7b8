//! `batchlab export`: converts published tables into other formats.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use batchlab_core::Sink;
use batchlab_core::quote::shell;
use batchlab_core::registry::{Kind, components, suggestion};
use batchlab_results::ResultsError;
use batchlab_results::export::{to_sink, to_tensorboard};

use crate::exit::{DataFault, Usage};
use crate::out_file::own_folder_around;
use crate::say::say;

/// Export published results as CSV, JSON Lines or TensorBoard event files.
///
/// Existing files of the same name are replaced. docs/export.md describes the formats.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Results directory, with `tables/`.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// `csv`, `jsonl`, `tensorboard`, or the name of another sink.
    #[arg(long, value_name = "FORMAT")]
    to: String,
    /// Output directory for `<format>/<table>/<run_id>.<ending>`, or for one directory per run
    /// (`tensorboard`).
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

const TENSORBOARD: &str = "tensorboard";

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { dir, to, out } = arguments;
    let sink = if to == TENSORBOARD { None } else { Some(sink(to)?) };
    if let Some(own) = own_folder_around(out) {
        bail!(Usage(format!("only runs write into {}; name another folder", own.display())));
    }
    let exported = match &sink {
        Some(sink) => to_sink(dir, out, &**sink),
        None => to_tensorboard(dir, out),
    };
    let exported = exported.map_err(fault)?;
    for run in &exported.damaged {
        say!("left out: {}: {}", run.stem, run.reason);
    }
    let what = if sink.is_some() { "rows" } else { "values" };
    let (n_row, n_file) = (exported.n_row, exported.files.len());
    say!("{n_row} {what} in {n_file} files in {}", out.display());
    if sink.is_none() {
        say!("look at them with: tensorboard --logdir {}", shell(out));
    }
    Ok(ExitCode::SUCCESS)
}

/// The same encoder as in a run, with default options.
fn sink(name: &str) -> Result<Box<dyn Sink>> {
    let mut known: Vec<&str> = components(Kind::Sink).into_keys().collect();
    if known.contains(&name) {
        return Ok(serde_json::from_value(serde_json::json!({ "name": name }))?);
    }
    known.push(TENSORBOARD);
    bail!(Usage(format!(
        "unknown format \"{name}\"{}\nknown: {}",
        suggestion(name, &known),
        known.join(", ")
    )))
}

pub(crate) fn fault(error: ResultsError) -> anyhow::Error {
    match error {
        ResultsError::NoTables { .. } => Usage(error.to_string()).into(),
        error if error.is_data() => DataFault::of(error).into(),
        error => error.into(),
    }
}
