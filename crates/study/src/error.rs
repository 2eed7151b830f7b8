//! Why a study failed.

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
}

impl From<Diagnostic> for StudyError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Run(diagnostic.into())
    }
}
