//! `batchlab verdict`: compares times recorded by other programs.

mod times;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use batchlab_report::{Questions, text, verdict_of_times};

use crate::exit::DataFault;
use crate::output::{json, print};
use crate::share::share;

/// Judge times recorded by another program, by the same procedure as every verdict.
///
/// The file is CSV with a header, or Parquet, with the columns `strategy`, `seconds`, `n_output` (graphs trained in these
/// seconds), and either `block` or `run`.
///
/// `block`: the strategies were interleaved in one process, in blocks numbered from 1, every second
/// block in the reverse order of the one before; block 0 is the warm-up. Blocks 1 and 2, 3 and 4,
/// ... are pairs. With several processes, `cell` tells them apart.
///
/// `run`: every run is a separate process, and its rows are added up.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    asked: Asked,
}

/// How to judge times.
#[derive(Debug, clap::Args)]
pub(crate) struct Asked {
    /// Strategy to compare all others with, named before looking at the times.
    #[arg(long, value_name = "STRATEGY")]
    reference: Option<String>,
    /// Differences up to this share count as equal; 2% by default.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    margin: Option<f64>,
    /// Print the verdict as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    print(&judged(&arguments.file, &arguments.asked)?)
}

/// The verdict on the times in a file, as printed.
pub(crate) fn judged(file: &Path, asked: &Asked) -> Result<String> {
    let times = times::read(file)?;
    if let Some(reference) = &asked.reference
        && !times.iter().any(|time| time.strategy == *reference)
    {
        bail!(crate::exit::Usage(format!("{}: no time is of \"{reference}\"", file.display())));
    }
    let margin = asked.margin.unwrap_or(Questions::default().margin);
    let questions =
        Questions { reference: asked.reference.clone(), margin, ..Questions::default() };
    let verdict = verdict_of_times(&times, &questions)
        .map_err(|error| DataFault(format!("{}: {error}", file.display())))?;
    if asked.json { json(&verdict) } else { Ok(text(&verdict)) }
}
