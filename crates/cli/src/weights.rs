//! `batchlab weights`: exports the parameters of a trained model.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use batchlab_run::predictions::encode_weights;

use crate::exit::Usage;
use crate::out_file::{Force, Kind, OutFile};
use crate::say::say;
use crate::trained::read;

/// Write the weights of a trained model as safetensors, for Python and other programs.
///
/// Contains only the parameters, under the model's own names; the metadata hold the run, the step
/// and the configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A run, given as `results/<study>/runs/<run_id>`, by its ID, or as `results/<study>` for the
    /// newest one there; its newest checkpoint is used. Or a checkpoint file
    /// `step-....safetensors`.
    #[arg(value_name = "RUN|CHECKPOINT")]
    trained: PathBuf,
    /// Output file; it appears once it is complete.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    force: Force,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let out = OutFile::new(&arguments.out, Kind::Weights, arguments.force)?;
    let checkpoint = read(&arguments.trained)?;
    if !checkpoint.trainer.engine.is_empty() {
        bail!(Usage(format!(
            "run {} was trained by an engine in another process, and its parameters are in that engine's own \
             format: the bytes that its `state()` returned are the tensor \"engine\" of its checkpoints",
            checkpoint.state.run_id
        )));
    }
    let (n_tensor, weights) = encode_weights(&checkpoint)?;
    let place = out.write(&weights)?;
    let state = &checkpoint.state;
    let (run_id, step) = (&state.run_id, state.step);
    say!("{n_tensor} tensors of run {run_id} after {step} steps in {place}");
    Ok(ExitCode::SUCCESS)
}
