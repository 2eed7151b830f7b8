//! `batchlab check`: checks a configuration.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use batchlab_report::count;
use batchlab_study::Study;
use serde_json::Value;

use crate::configuration::Configuration;
use crate::output::{json, print};
use crate::say::say;

/// Check a configuration without loading data, and print it with all defaults filled in.
///
/// For a study, print its cells, each of which is a set of runs trained side by side.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// Print JSON: the configuration, or for a study the configurations of all runs.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let study = Study::of(&arguments.configuration.read(&[])?)?;
    let (n_cell, n_run) = (study.cells.len(), study.n_run());
    let mut runs = study.cells.iter().flat_map(|cell| &cell.runs);
    if let (Some(one), None) = (runs.next(), runs.next()) {
        print(&if arguments.json { one.to_json() + "\n" } else { one.to_toml() })?;
        say!("{} is valid; its hash is {}", study.name_of_file(), &one.hash()[..8]);
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.json {
        let runs = study.cells.iter().flat_map(|cell| &cell.runs);
        let all: Vec<Value> =
            runs.map(|run| serde_json::from_str(&run.to_json())).collect::<Result<_, _>>()?;
        print(&json(&all)?)?;
    } else {
        let mut text = String::new();
        for cell in &study.cells {
            let _ = writeln!(text, "{}: {}", cell.info.title(), cell.info.batchers.join(", "));
        }
        print(&text)?;
    }
    say!("{} is valid: {} in {}", study.name_of_file(), count(n_run, "run"), count(n_cell, "cell"));
    Ok(ExitCode::SUCCESS)
}
