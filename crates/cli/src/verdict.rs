//! `batchlab verdict`: compares times recorded by other programs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use batchlab_files::open_data;
use batchlab_report::{Questions, RecordedTime, Replicate, text, verdict_of_times};
use serde::Deserialize;

use crate::exit::DataFault;
use crate::output::{json, print};
use crate::share::share;

/// Judge times recorded by another program, by the same procedure as every verdict.
///
/// The file is CSV with a header: `strategy`, `seconds`, `n_output` (graphs trained in these
/// seconds), and either `block` or `run`.
///
/// `block`: the strategies were interleaved in one process, in blocks numbered from 1, every second
/// block in the reverse order of the one before; block 0 is the warm-up. Blocks 1 and 2, 3 and 4,
/// ... are pairs. With several processes, `cell` tells them apart.
///
/// `run`: every run is a separate process, and its rows are added up.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(value_name = "FILE.csv")]
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
    let times = read(file)?;
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

#[derive(Deserialize)]
struct Row {
    strategy: String,
    seconds: f64,
    n_output: f64,
    block: Option<i64>,
    cell: Option<String>,
    run: Option<String>,
}

fn read(file: &Path) -> Result<Vec<RecordedTime>> {
    let name = file.display();
    let opened = open_data(file).with_context(|| format!("cannot read {name}"))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(opened);
    let mut times = Vec::new();
    let mut record = csv::StringRecord::new();
    let heading = reader.headers().map_err(|error| DataFault(format!("{name}: {error}")))?.clone();
    for column in ["strategy", "seconds", "n_output"] {
        if !heading.iter().any(|found| found == column) {
            let found = heading.iter().collect::<Vec<_>>().join(", ");
            bail!(DataFault(format!(
                "{name}: line 1: there is no column {column}; it has {found}, and needs strategy, seconds, \
                 n_output, and block or run"
            )));
        }
    }
    while reader.read_record(&mut record).map_err(|error| DataFault(format!("{name}: {error}")))? {
        let line = record.position().map_or(0, csv::Position::line);
        let row: Row = record
            .deserialize(Some(&heading))
            .map_err(|error| DataFault(format!("{name}: line {line}: {error}")))?;
        let replicate = match (row.block, row.run) {
            (Some(number), None) if number >= 0 => {
                Replicate::Block { cell: row.cell.unwrap_or_default(), number }
            }
            (None, Some(run)) if !run.is_empty() => Replicate::Run(run),
            (None, _) => bail!(DataFault(format!(
                "{name}: line {line}: neither block nor run is given, so nothing says which times are \
                 replicates: steps of one process are none, because what slows that process slows all of them"
            ))),
            _ => bail!(DataFault(format!(
                "{name}: line {line}: give either block, a whole number from 0 on, or run, not both"
            ))),
        };
        let Row { strategy, seconds, n_output, .. } = row;
        times.push(RecordedTime { line, strategy, seconds, n_output, replicate });
    }
    Ok(times)
}
