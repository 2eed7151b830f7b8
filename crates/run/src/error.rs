//! Why a run failed.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use batchlab_config::Diagnostic;
use batchlab_core::quote::shell;
use batchlab_core::{BatcherError, CollateError, DatasetError, ModelError};
use batchlab_ranks::LostRanks;
use batchlab_results::ResultsError;

use crate::ResumeError;
use crate::checkpoint::CheckpointError;

/// `EMFILE`, on Linux and macOS.
const TOO_MANY_OPEN_FILES: i32 = 24;
/// Files that a run of a cell keeps open.
const FILES_PER_RUN: usize = 8;
/// Files that are open for a moment, whatever the number of runs.
const OTHER_FILES: usize = 16;

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
    /// A bug.
    #[error("cannot encode the file: {0}")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
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
        "{source}\na cell keeps about eight files open for each of its {n_run} runs: raise the limit, as \
         with `ulimit -n {}`, or compare fewer batchers at a time",
        (16 * n_run).next_power_of_two().max(1024)
    )]
    OpenFiles { source: Box<dyn Error + Send + Sync>, n_run: usize },
    #[error(
        "cannot create a thread for prefetching batches ({0}); use training.prefetch=0, or raise the \
         limit on processes (`ulimit -u`)"
    )]
    Thread(#[source] std::io::Error),
    #[error(transparent)]
    LostRanks(#[from] LostRanks),
    #[error(
        "after {step} steps the parameters of rank {rank} differ from those of rank 0; ranks must compute on \
         processors of one kind (or all with the same BATCHLAB_VECTORS), and an engine in another process must \
         begin with the same parameters on all of them (from context.seed)"
    )]
    RanksDiffer { rank: usize, step: u64 },
    /// A bug.
    #[error("the thread that prepares batches stopped unexpectedly; please report this")]
    Pipeline,
}

impl RunError {
    /// An invalid configuration, without a location in its file.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::Config(Diagnostic::new(message))
    }

    /// The same for data other than those of the configuration.
    pub(crate) fn of_data(self, name: &str) -> Self {
        match self {
            Self::Config(error) => Self::Config(error.within(name)),
            other => other,
        }
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

    /// Whether this process can no longer use its device.
    #[must_use]
    pub fn is_device_lost(&self) -> bool {
        matches!(self, Self::Model(ModelError::DeviceLost(_)))
    }

    /// Checks that the process may open the files of a cell with this many runs. Without a free descriptor, what has
    /// been made for the first runs could not even be removed.
    ///
    /// # Errors
    /// [`OpenFiles`](Self::OpenFiles).
    pub fn require_open_files(n_run: usize) -> Result<(), Self> {
        let all = || -> io::Result<()> {
            let (file, _writer) = io::pipe()?;
            (0..FILES_PER_RUN * n_run + OTHER_FILES)
                .map(|_| file.try_clone())
                .collect::<io::Result<Vec<_>>>()?;
            Ok(())
        };
        all().map_err(|error| Self::OpenFiles { source: error.into(), n_run })
    }

    /// Adds a remedy if a cell with this many runs exceeds the process's limit of open files.
    #[must_use]
    pub fn with_remedy(self, n_run: usize) -> Self {
        let mut causes = std::iter::successors(self.source(), |&error| error.source());
        let is_limit = |error: &(dyn Error + 'static)| {
            let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
            code == Some(TOO_MANY_OPEN_FILES)
        };
        if causes.any(is_limit) { Self::OpenFiles { source: Box::new(self), n_run } } else { self }
    }

    /// Whether results or checkpoints cannot be stored; rows already in the journal are safe.
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
            Self::Checkpoint(_) | Self::Unpublished { .. } | Self::OpenFiles { .. } => true,
            _ => false,
        }
    }
}
