//! `batchlab predict`: predicts with a trained model.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use batchlab_run::predictions::encode_predictions;

use crate::evaluate::as_text;
use crate::out_file::{Force, Kind, OutFile};
use crate::say::say;
use crate::trained::{Choice, Evaluated};

/// Predict with a trained model and write the predictions to a Parquet file.
///
/// One row per graph: by default the run's test graphs (`--subset`), or all graphs of other data.
/// Columns: `run_id`, `index` in the data set, `name` (its `id`, file or row), `subset`, `target`,
/// `prediction`, in the unit given in the footer. See docs/export.md.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// Output file; it appears once it is complete.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    force: Force,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let out = OutFile::new(&arguments.out, Kind::Predictions, arguments.force)?;
    let evaluated = arguments.choice.evaluate()?;
    let Evaluated { model, evaluation, .. } = &evaluated;
    let rows = encode_predictions(evaluation, &model.state, model.dataset())?;
    let place = out.write(&rows)?;
    say!("{}", as_text(&evaluated).trim_end());
    say!("predictions in {place}");
    Ok(ExitCode::SUCCESS)
}
