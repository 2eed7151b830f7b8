//! `batchlab import`: published results of others, in our tables.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use batchlab_core::Sink;
use batchlab_core::sink::SinkContext;
use batchlab_results::Publisher;
use batchlab_report::import::{self, Counts, ImportError, Imported, PublishedFile};

use crate::exit::{DataFault, Usage};

/// Turn the CSV files of arXiv 2502.00944 into result tables.
///
/// Errors that are mean absolute errors under the name of root mean squared ones, and rows that
/// carry the times of another campaign, are flagged and counted, not dropped; docs/study.md says
/// how they are found. Give all files at once: copied rows are found by comparison.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Files as the authors publish them.
    #[arg(value_name = "FILE.csv", required = true)]
    files: Vec<PathBuf>,
    /// Folder of results; the tables appear in `tables/`.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the counts as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let read = arguments.files.iter().map(|file| import::read(file));
    let files: Vec<PublishedFile> = read.collect::<Result<_, _>>().map_err(fault)?;
    for (place, file) in files.iter().enumerate() {
        if let Some(twin) = files[..place].iter().find(|other| other.sha256 == file.sha256) {
            let (a, b) = (twin.path.display(), file.path.display());
            bail!(Usage(format!("{a} and {b} are the same file; give it once")));
        }
    }
    let imported = import::tables(&files).map_err(fault)?;
    for one in &imported {
        let known = arguments.out.join("tables/runs").join(format!("{}.parquet", one.stem));
        if known.exists() {
            let known = known.display();
            bail!(Usage(format!(
                "{known}: this file was imported before; remove it, or name another --out"
            )));
        }
    }
    let sink: Box<dyn Sink> = serde_json::from_str(r#"{"name": "parquet"}"#)?;
    for (file, one) in files.iter().zip(&imported) {
        publish(sink.as_ref(), &arguments.out, one)
            .with_context(|| format!("cannot publish {}", file.path.display()))?;
    }
    let counts: Vec<(String, Counts)> =
        files.iter().zip(&imported).map(|(file, one)| (file.stem(), one.counts)).collect();
    let text = if arguments.json { json(&counts)? } else { table(&counts) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn fault(error: ImportError) -> DataFault {
    DataFault::of(error)
}

fn publish(sink: &dyn Sink, out: &Path, imported: &Imported) -> Result<()> {
    let publisher = Publisher::open(out, &imported.stem)?;
    let dir = publisher.sink_folder("parquet")?;
    let metadata = vec![("imported".to_owned(), "arXiv 2502.00944".to_owned())];
    let ctx = SinkContext { dir, run_id: imported.stem.clone(), metadata };
    let mut writer = sink.open(&ctx)?;
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
