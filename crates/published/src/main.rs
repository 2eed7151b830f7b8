//! Imports the CSV files of arXiv 2502.00944, for `batchlab report`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what a command line does")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use batchlab_core::Sink;
use batchlab_core::sink::SinkContext;
use batchlab_published::{Counts, ImportError, Imported, PublishedFile, read, tables};
use batchlab_results::Publisher;
use clap::Parser;
use sink_parquet::Parquet;

/// Turn the CSV files of arXiv 2502.00944 into result tables.
///
/// Errors that are mean absolute errors under the name of root mean squared ones, and rows that
/// carry the times of another campaign, are flagged and counted, not dropped; docs/study.md says
/// how they are found. Give all files at once: copied rows are found by comparison.
#[derive(Debug, Parser)]
#[command(name = "batchlab-published", version)]
struct Arguments {
    /// Files as the authors publish them; a folder stands for its files `parsed_*.csv`.
    #[arg(value_name = "FOLDER|FILE.csv", required = true)]
    paths: Vec<PathBuf>,
    /// Folder of results; the tables appear in `tables/`.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the counts as JSON.
    #[arg(long)]
    json: bool,
}

/// Wrong arguments.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Exit codes as of `batchlab`: 2 for arguments, 3 for data, 1 for everything else.
fn main() -> ExitCode {
    let Err(error) = run(&Arguments::parse()) else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    if error.is::<Usage>() {
        2.into()
    } else if error.is::<ImportError>() {
        3.into()
    } else {
        1.into()
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let mut files: Vec<PublishedFile> = Vec::new();
    for path in csv_files(&arguments.paths)? {
        let file = read(&path)?;
        if let Some(twin) = files.iter().find(|other| other.sha256 == file.sha256) {
            let (a, b) = (twin.path.display(), path.display());
            return Err(Usage(format!("{a} and {b} are the same file; give it once")).into());
        }
        files.push(file);
    }
    let imported = tables(&files)?;
    for one in &imported {
        let known = arguments.out.join("tables/runs").join(format!("{}.parquet", one.stem));
        if known.exists() {
            let known = known.display();
            return Err(Usage(format!(
                "{known}: this file was imported before; remove it, or name another --out"
            ))
            .into());
        }
    }
    for (file, one) in files.iter().zip(&imported) {
        publish(&arguments.out, one)
            .with_context(|| format!("cannot publish {}", file.path.display()))?;
    }
    let counts: Vec<(String, Counts)> =
        files.iter().zip(&imported).map(|(file, one)| (file.stem(), one.counts)).collect();
    print!("{}", if arguments.json { json(&counts)? } else { table(&counts) });
    Ok(())
}

fn csv_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let is_published = |file: &PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("parsed_") && name.ends_with(".csv")
        };
        let mut found: Vec<PathBuf> =
            entries.iter().map(std::fs::DirEntry::path).filter(is_published).collect();
        if found.is_empty() {
            let text = format!("{}: there is no parsed_*.csv in this folder", path.display());
            return Err(Usage(text).into());
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

fn publish(out: &Path, imported: &Imported) -> Result<()> {
    let publisher = Publisher::open(out, &imported.stem)?;
    let dir = publisher.sink_folder("parquet")?;
    let metadata = vec![("imported".to_owned(), "arXiv 2502.00944".to_owned())];
    let ctx = SinkContext { dir, run_id: imported.stem.clone(), metadata };
    let mut writer = Parquet::default().open(&ctx)?;
    for (table, rows) in &imported.tables {
        writer.write(*table, rows)?;
    }
    publisher.tables(&writer.finish()?)?;
    publisher.text("counts.json", &serde_json::to_string_pretty(&imported.counts)?)?;
    publisher.close(false)?;
    Ok(())
}

fn json(counts: &[(String, Counts)]) -> Result<String> {
    let objects: Vec<serde_json::Value> = counts
        .iter()
        .map(|(file, counts)| serde_json::json!({ "file": file, "counts": counts }))
        .collect();
    Ok(serde_json::to_string_pretty(&objects)? + "\n")
}

fn table(counts: &[(String, Counts)]) -> String {
    let mut text = String::new();
    for (file, c) in counts {
        let Counts { n_row, n_completed, n_incomplete, n_back_filled, n_error, n_mae_as_rmse } = c;
        let _ = writeln!(
            text,
            "{file}\n\
             {n_row:>8} runs: {n_completed} completed, {n_incomplete} incomplete, \
             {n_back_filled} back-filled (flagged as failed)\n\
             {n_error:>8} errors at checkpoints: {n_mae_as_rmse} are MAE under the name of RMSE \
             (kept as mae)"
        );
    }
    text
}
