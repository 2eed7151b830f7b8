//! `batchlab compare`: two runs, or two folders of results, side by side.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use batchlab_report::compare::{CompareError, Side, compare, text};

use crate::exit::Usage;
use crate::export::fault as of_tables;
use crate::named::named_run;
use crate::output::{json, print};
use crate::say::say;

/// Compare two runs, or two folders of results: settings, times, fill, shapes, errors.
///
/// Each ratio comes with an interval where there are replicates: at least three mirrored pairs of
/// blocks that two runs of one cell share, or three seeds on either side. `batchlab report` compares
/// many runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A run, `results/<study>/runs/<run_id>` or only its identifier, or the folder of a study.
    #[arg(value_name = "A")]
    a: String,
    /// The run or folder to compare it with.
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
