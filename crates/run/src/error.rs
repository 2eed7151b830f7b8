//! Why a run could not be done.

use std::path::PathBuf;

use batchlab_config::Diagnostic;
use batchlab_core::quote::shell;
use batchlab_core::{BatcherError, CollateError, DatasetError, ModelError};
use batchlab_results::ResultsError;

use crate::ResumeError;
use crate::checkpoint::CheckpointError;

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Config(#[from] Diagnostic),
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error("batcher: {0}")]
    Batcher(#[from] BatcherError),
    #[error("batch: {0}")]
    Collate(#[from] CollateError),
    #[error("model: {0}")]
    Model(#[from] ModelError),
    #[error(transparent)]
    Results(#[from] ResultsError),
    #[error("cannot write a checkpoint: {0}")]
    Checkpoint(#[source] CheckpointError),
    #[error(transparent)]
    Resume(#[from] ResumeError),
    #[error(
        "{source}\nwhat was recorded so far is kept in {}; when there is space again, publish it with \
         `batchlab doctor {}`",
        out.join("wip").display(),
        shell(out)
    )]
    Unpublished { source: Box<RunError>, out: PathBuf },
    #[error(
        "the system gives no thread to prepare batches ahead ({0}); use training.prefetch=0, or raise the \
         limit on processes (`ulimit -u`)"
    )]
    Thread(#[source] std::io::Error),
    /// A bug.
    #[error("the thread that prepares batches stopped unexpectedly; please report this")]
    Pipeline,
}

impl RunError {
    /// A wrong configuration, without a place in its file.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::Config(Diagnostic::new(message))
    }
}

impl RunError {
    /// Whether the cause is the configuration, rather than data, device or disk.
    #[must_use]
    pub fn is_config(&self) -> bool {
        matches!(
            self,
            Self::Config(_)
                | Self::Batcher(BatcherError::Options(_) | BatcherError::WrongLevel { .. })
                | Self::Model(ModelError::Options(_) | ModelError::Device { .. })
                | Self::Dataset(DatasetError::UnknownTarget { .. })
                | Self::Resume(
                    ResumeError::Config { .. }
                        | ResumeError::NoRun { .. }
                        | ResumeError::Copy { .. }
                        | ResumeError::Extension { .. }
                        | ResumeError::NoMore { .. }
                )
        )
    }

    #[must_use]
    pub fn is_data(&self) -> bool {
        let is_data = matches!(
            self,
            Self::Dataset(_)
                | Self::Batcher(_)
                | Self::Collate(_)
                | Self::Resume(ResumeError::Dataset { .. } | ResumeError::Checkpoint { .. })
        );
        is_data && !self.is_config()
    }

    /// Whether this process can do nothing more on its device.
    #[must_use]
    pub fn is_device_lost(&self) -> bool {
        matches!(self, Self::Model(ModelError::DeviceLost(_)))
    }

    /// Whether results or checkpoints cannot be stored; what is in the journal is safe.
    #[must_use]
    pub fn is_storage(&self) -> bool {
        let is_of_results = |error: &ResultsError| {
            matches!(
                error,
                ResultsError::Write { .. }
                    | ResultsError::OtherVersion { .. }
                    | ResultsError::Sink(_)
                    | ResultsError::Rows { .. }
            )
        };
        match self {
            Self::Results(error) => is_of_results(error),
            Self::Checkpoint(_) | Self::Unpublished { .. } => true,
            _ => false,
        }
    }
}
