//! Why a study could not be done.

use batchlab_config::Diagnostic;
use batchlab_results::ResultsError;
use batchlab_run::RunError;

use crate::DeviceBusy;

/// Why a study could not be done.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// A run could not be done, or its configuration is wrong.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The state of a cell cannot be written or read.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// Another study measures times on the device.
    #[error(transparent)]
    DeviceBusy(#[from] DeviceBusy),
}

impl From<Diagnostic> for StudyError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Run(diagnostic.into())
    }
}
