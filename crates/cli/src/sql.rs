//! `batchlab sql`: queries on results for DuckDB, polars, pandas and Spark.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use batchlab_report::queries;

use crate::exit::Usage;
use crate::output::print;

/// Print ready-to-run queries on results, in SQL, polars, pandas or Spark.
///
/// For DuckDB these are the queries behind all figures of `batchlab report`, with the same numbers;
/// for the others, the verdict's factors, throughput, padding, learning curves and final errors.
/// docs/records.md defines every column.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Results directory, with `tables/`.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The program that will run the queries.
    #[arg(long, value_name = "TOOL", default_value = "duckdb")]
    tool: Tool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tool {
    Duckdb,
    Polars,
    Pandas,
    Spark,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let dir = arguments.dir.display().to_string();
    let dir = dir.trim_end_matches('/');
    // The four tools have no common way to escape these.
    if dir.contains(['\'', '"', '\\', '*', '?', '[', ']', '{', '}'])
        || dir.contains(char::is_control)
    {
        bail!(Usage(format!(
            "{dir}: queries hold the folder in quoted patterns; give one without quotes, backslashes \
             and * ? [ ] {{ }}"
        )));
    }
    if !arguments.dir.join("tables/runs").is_dir() {
        bail!(Usage(format!("{dir}: there is no {dir}/tables/runs; give the folder of a study")));
    }
    let tool = match arguments.tool {
        Tool::Duckdb => batchlab_report::Tool::Duckdb,
        Tool::Polars => batchlab_report::Tool::Polars,
        Tool::Pandas => batchlab_report::Tool::Pandas,
        Tool::Spark => batchlab_report::Tool::Spark,
    };
    print(&queries(tool, dir))
}
