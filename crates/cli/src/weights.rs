//! `batchlab weights`: the parameters of a trained model, for other programs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use batchlab_run::predictions::encode_weights;

use crate::exit::Usage;
use crate::out_file::{Force, Kind, OutFile};
use crate::say::say;
use crate::trained::read;

/// Write the weights of a trained model as safetensors, which Python and others read.
///
/// Only the parameters, under the names that the model gives them; the metadata hold the run, the step
/// and the configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A run, `results/<study>/runs/<run_id>`, only its identifier, or `results/<study>` for the newest
    /// there, whose newest checkpoint is taken; or a checkpoint, a file `step-....safetensors`.
    #[arg(value_name = "RUN|CHECKPOINT")]
    trained: PathBuf,
    /// The file; it appears when it is complete.
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
