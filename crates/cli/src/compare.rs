//! `batchlab compare`: compares two runs or two results directories.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use batchlab_report::compare::{CompareError, Side, compare, text};

use crate::exit::Usage;
use crate::export::fault as of_tables;
use crate::named::named_run;
use crate::output::{json, print};
use crate::say::say;

/// Compare two runs or two results directories: settings, times, fill, shapes, errors.
///
/// A ratio comes with an interval if there are replicates: at least three mirrored pairs of blocks
/// shared by two runs of one cell, or three seeds on either side. Use `batchlab report` to compare
/// many runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A run, given as `results/<study>/runs/<run_id>` or by its ID, or the directory of a study.
    #[arg(value_name = "A")]
    a: String,
    /// The run or directory to compare it with.
    #[arg(value_name = "B")]
    b: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (a, b) = (side(&arguments.a)?, side(&arguments.b)?);
    let comparison = compare(&a, &b).map_err(fault)?;
    let words = if arguments.json { json(&comparison)? } else { text(&comparison) };
    print(&words)
}

fn side(name: &str) -> Result<Side> {
    let path = Path::new(name);
    if path.join("tables").is_dir() {
        let side = Side::of_study(name, path).map_err(fault)?;
        for run in &side.damaged {
            say!("{name}: left out: {}: {}", run.stem, run.reason);
        }
        if side.n_left_out > 0 {
            say!("{name}: {} runs that did not complete are left out", side.n_left_out);
        }
        return Ok(side);
    }
    let (run_id, dir) = named_run(path)?;
    Side::of_run(name, &dir, &run_id).map_err(fault)
}

fn fault(error: CompareError) -> anyhow::Error {
    match error {
        CompareError::Results(error) => of_tables(error),
        error => Usage(error.to_string()).into(),
    }
}
