//! Why a run could not be done.

use std::path::PathBuf;

use batchlab_core::{BatcherError, CollateError, DatasetError, ModelError, SinkError};

/// Everything that ends a run before it starts, or in its middle.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is wrong. The text is a complete diagnostic with the place underlined.
    #[error("{0}")]
    Config(String),
    /// The data are wrong.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The batcher cannot work, or cannot go on.
    #[error("batcher: {0}")]
    Batcher(#[from] BatcherError),
    /// A plan cannot become a batch.
    #[error("batch: {0}")]
    Collate(#[from] CollateError),
    /// The model cannot work, or cannot go on.
    #[error("model: {0}")]
    Model(#[from] ModelError),
    /// Records cannot be encoded.
    #[error("sink: {0}")]
    Sink(#[from] SinkError),
    /// The results cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Publish {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A part of the program stopped without saying why; a bug.
    #[error("the thread that prepares batches stopped unexpectedly; please report this")]
    Pipeline,
}

impl RunError {
    /// Whether the user's configuration is at fault, rather than data, device or disk.
    #[must_use]
    pub fn is_config(&self) -> bool {
        matches!(
            self,
            Self::Config(_)
                | Self::Batcher(BatcherError::Options(_) | BatcherError::WrongLevel { .. })
                | Self::Model(ModelError::Options(_) | ModelError::Device { .. })
                | Self::Dataset(DatasetError::UnknownTarget { .. })
        )
    }

    /// Whether the data are at fault.
    #[must_use]
    pub fn is_data(&self) -> bool {
        !self.is_config() && matches!(self, Self::Dataset(_) | Self::Batcher(_) | Self::Collate(_))
    }
}
