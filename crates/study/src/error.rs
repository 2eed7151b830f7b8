//! Why a study failed.

use std::path::PathBuf;

use batchlab_config::Diagnostic;
use batchlab_results::ResultsError;
use batchlab_run::RunError;

use crate::{ClaimError, DeviceBusy};

#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Results(#[from] ResultsError),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    DeviceBusy(#[from] DeviceBusy),
    #[error(
        "BATCHLAB_LOCKS={}: there is no such folder. Make it, on every machine, or unset the variable: locks are \
         then in /tmp",
        folder.display()
    )]
    NoLocks { folder: PathBuf },
    #[error(
        "earlier sweeps in {} used {earlier} threads, but this one uses {n_thread}: their times could not be \
         compared. Use --threads {earlier}, or another name for the hardware (--hardware)",
        folder.display()
    )]
    Threads { folder: PathBuf, earlier: usize, n_thread: usize },
}

impl From<Diagnostic> for StudyError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Run(diagnostic.into())
    }
}
