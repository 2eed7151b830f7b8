//! One error type per trait of the contract.
//!
//! Messages are lower-case, without a final full stop, and name the remedy if there is one. A
//! plugin wraps its own errors in the variant `Other`, whose text is shown unchanged.

use std::path::{Path, PathBuf};

pub use crate::contract::suggestion::nearest_path;
pub use crate::quote::{excerpt, shown};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a data set could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Error reported by the system.
        source: std::io::Error,
    },
    /// A relative path was not found in any search folder.
    #[error("{} does not exist{}{}", path.display(), nearest_of(tried), looked_for(path, tried))]
    NotFound {
        /// Path in the configuration.
        path: PathBuf,
        /// Every path tried.
        tried: Vec<PathBuf>,
    },
    /// The content of a file violates its format.
    #[error("{}:{line}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong, with the offending value, and what is expected.
        message: String,
    },
    /// The data set has no such target.
    #[error("unknown target \"{target}\"{}; known targets: {}", crate::contract::suggestion::suggestion(target, known), known.join(", "))]
    UnknownTarget {
        /// Requested name.
        target: String,
        /// Available names.
        known: Vec<String>,
    },
    /// Nothing is left to train on.
    #[error("the data set is empty: {0}")]
    Empty(String),
    /// The data need more memory than the budget allows.
    #[error("{}; {}", .0, .0.remedy())]
    Memory(#[from] crate::contract::memory::OverBudget),
    /// A target value that cannot be used for training.
    #[error("target \"{name}\" of graph or node {at} is {value}: {reason}")]
    Target {
        /// Name of the target.
        name: String,
        /// Index of the graph or node in the data set, from 0.
        at: usize,
        /// The value.
        value: f64,
        /// What is wrong with it, and what is expected.
        reason: &'static str,
    },
    /// The arrays of a store contradict each other: a bug in the plugin that filled it.
    #[error("inconsistent graphs: {0}")]
    Inconsistent(String),
    /// An error of the plugin itself.
    #[error(transparent)]
    Other(Source),
}

/// Why a batcher could not be opened or could not continue.
#[derive(Debug, thiserror::Error)]
pub enum BatcherError {
    /// The batcher works on many graphs but the data set is one graph, or vice versa.
    #[error("this batcher works on {expected}, but the data set holds {got}")]
    WrongLevel {
        /// Level of the batcher.
        expected: crate::contract::level::Level,
        /// Level of the data set.
        got: crate::contract::level::Level,
    },
    /// A graph exceeds the limits of a whole batch.
    #[error(
        "graph {graph} has {n_node} nodes and {n_edge} edges, more than a batch may hold \
         ({limits}): {remedy}"
    )]
    Oversize {
        /// Identifier of the graph in the store.
        graph: u32,
        /// Its number of nodes.
        n_node: u32,
        /// Its number of edges.
        n_edge: u32,
        /// The limits, for example `31 nodes, 64 edges`.
        limits: String,
        /// What the user can change.
        remedy: String,
    },
    /// A whole epoch yielded no batch.
    #[error("no batch can be formed from {n_graph} graphs: {reason}")]
    NoBatch {
        /// Number of graphs in the view.
        n_graph: usize,
        /// Reason and remedy.
        reason: String,
    },
    /// The cursor does not belong to this stream.
    #[error("cannot resume at epoch {epoch}, batch {batch}: {reason}")]
    BadCursor {
        /// Epoch of the cursor.
        epoch: u64,
        /// Batch within the epoch.
        batch: u64,
        /// Reason.
        reason: String,
    },
    /// Options that contradict each other.
    #[error("{0}")]
    Options(String),
    /// An error of the plugin itself.
    #[error(transparent)]
    Other(Source),
}

/// Why a plan could not be turned into a batch.
#[derive(Debug, thiserror::Error)]
pub enum CollateError {
    /// The padded shape is too small for the plan.
    #[error("the plan's {what} is {padded}, but its graphs need {needed}: {why}")]
    NoRoom {
        /// `n_node`, `n_edge`, `n_graph` or `n_output`.
        what: &'static str,
        /// Size in the padded shape.
        padded: u32,
        /// Size needed.
        needed: u32,
        /// The rule that requires this size.
        why: &'static str,
    },
    /// The plan names a graph, node or edge that does not exist.
    #[error("the plan names {what} {id}, but there are only {len}")]
    OutOfRange {
        /// Kind of item: graph, node or row.
        what: &'static str,
        /// The identifier.
        id: u32,
        /// Number of existing items.
        len: usize,
    },
    /// The plan contradicts itself.
    #[error("inconsistent plan: {0}")]
    Inconsistent(String),
    /// The model needs a field that the data set does not have.
    #[error("the data set has no {0}")]
    Missing(String),
}

/// Why a model could not be opened, or a step failed.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The device does not exist, or this build does not support it.
    #[error("device \"{device}\" is not available: {reason}")]
    Device {
        /// Device in the configuration.
        device: String,
        /// Reason and remedy.
        reason: String,
    },
    /// A tensor of a saved state does not fit the model.
    #[error("tensor \"{name}\" does not fit: {reason}")]
    State {
        /// Name of the tensor.
        name: String,
        /// Difference.
        reason: String,
    },
    /// A batch that the model cannot process.
    #[error("{0}")]
    Batch(String),
    /// Options that contradict each other or the data.
    #[error("{0}")]
    Options(String),
    /// The engine failed, for example because it ran out of memory.
    #[error("the engine failed: {0}")]
    Engine(String),
    /// The device failed and cannot be used again by this process.
    #[error("the device was lost: {0}")]
    DeviceLost(String),
}

/// Why results could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Error reported by the system.
        source: std::io::Error,
    },
    /// Records cannot be encoded.
    #[error("cannot encode table \"{table}\" into {}: {source}", path.display())]
    Encode {
        /// Name of the table.
        table: &'static str,
        /// The file.
        path: PathBuf,
        /// Error reported by the encoder.
        source: Source,
    },
}

fn nearest_of(tried: &[PathBuf]) -> String {
    tried.iter().map(|path| nearest_path(path)).find(|near| !near.is_empty()).unwrap_or_default()
}

/// The paths tried, unless the only one is the path itself.
fn looked_for(path: &Path, tried: &[PathBuf]) -> String {
    if tried == [path] {
        return String::new();
    }
    let tried: Vec<String> = tried.iter().map(|path| path.display().to_string()).collect();
    format!("; looked for {}", tried.join(" and "))
}

macro_rules! wrap_other {
    ($($error:ident),*) => {$(
        impl $error {
            /// Wraps an error of the plugin itself.
            pub fn other(source: impl std::error::Error + Send + Sync + 'static) -> Self {
                Self::Other(Box::new(source))
            }
        }
    )*};
}
wrap_other!(DatasetError, BatcherError);
