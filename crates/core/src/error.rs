//! One error type per trait of the contract.
//!
//! Messages are lower-case, without a final stop, and name the remedy where there is one. A plugin
//! with errors of its own wraps them in the variant `Other`, whose text is shown unchanged.

use std::path::{Path, PathBuf};

use crate::registry::nearest;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a data set could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A relative path exists nowhere where it was looked for.
    #[error("{} does not exist{}{}", path.display(), nearest_of(tried), looked_for(path, tried))]
    NotFound {
        /// The path as the configuration gives it.
        path: PathBuf,
        /// Every place that was tried.
        tried: Vec<PathBuf>,
    },
    /// The file's content breaks its format.
    #[error("{}:{line}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong, with the offending value, and what would be right.
        message: String,
    },
    /// The data set has no such target.
    #[error("unknown target \"{target}\"{}; known targets: {}", crate::registry::suggestion(target, known), known.join(", "))]
    UnknownTarget {
        /// The name that was asked for.
        target: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// Nothing is left to train on.
    #[error("the data set is empty: {0}")]
    Empty(String),
    /// Data that need more memory than they are given.
    #[error("{}; {}", .0, .0.remedy())]
    Memory(#[from] crate::memory::OverBudget),
    /// A target that cannot be trained on.
    #[error("target \"{name}\" of graph or node {at} is {value}: {reason}")]
    Target {
        /// Name of the target.
        name: String,
        /// Which graph or node, by its place in the data set, from 0.
        at: usize,
        /// The value.
        value: f64,
        /// What is wrong with it, and what would be right.
        reason: &'static str,
    },
    /// The arrays of a store contradict each other; a bug of the plugin that filled it.
    #[error("inconsistent graphs: {0}")]
    Inconsistent(String),
    /// An error of the plugin's own.
    #[error(transparent)]
    Other(Source),
}

/// Why a batcher could not be opened or could not continue.
#[derive(Debug, thiserror::Error)]
pub enum BatcherError {
    /// The batcher works on many graphs, the data set is one graph, or the reverse.
    #[error("this batcher works on {expected}, but the data set holds {got}")]
    WrongLevel {
        /// What the batcher works on.
        expected: crate::Level,
        /// What it was given.
        got: crate::Level,
    },
    /// A graph is larger than a whole batch may be.
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
        /// What fits, for example `31 nodes, 64 edges`.
        limits: String,
        /// What the user can change.
        remedy: String,
    },
    /// A whole epoch did not produce a single batch.
    #[error("no batch can be formed from {n_graph} graphs: {reason}")]
    NoBatch {
        /// Number of graphs in the view.
        n_graph: usize,
        /// Why, and what to change.
        reason: String,
    },
    /// The cursor does not belong to this stream.
    #[error("cannot resume at epoch {epoch}, batch {batch}: {reason}")]
    BadCursor {
        /// Epoch of the cursor.
        epoch: u64,
        /// Batch within the epoch.
        batch: u64,
        /// What does not fit.
        reason: String,
    },
    /// Options that contradict each other.
    #[error("{0}")]
    Options(String),
    /// An error of the plugin's own.
    #[error(transparent)]
    Other(Source),
}

/// Why a plan could not be turned into a batch.
#[derive(Debug, thiserror::Error)]
pub enum CollateError {
    /// The padded shape has no room for what the plan puts into it.
    #[error("the plan's {what} is {padded}, but its graphs need {needed}: {why}")]
    NoRoom {
        /// `n_node`, `n_edge`, `n_graph` or `n_output`.
        what: &'static str,
        /// Size in the padded shape.
        padded: u32,
        /// Size needed.
        needed: u32,
        /// Which rule asks for it.
        why: &'static str,
    },
    /// The plan names a graph, node or edge that does not exist.
    #[error("the plan names {what} {id}, but there are only {len}")]
    OutOfRange {
        /// Graph, node, row.
        what: &'static str,
        /// The identifier.
        id: u32,
        /// How many exist.
        len: usize,
    },
    /// The plan contradicts itself.
    #[error("inconsistent plan: {0}")]
    Inconsistent(String),
    /// The model needs what the data set does not have.
    #[error("the data set has no {0}")]
    Missing(&'static str),
}

/// Why a model could not be opened, or a step could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The device does not exist, or support for it was not compiled in.
    #[error("device \"{device}\" is not available: {reason}")]
    Device {
        /// The device as the configuration names it.
        device: String,
        /// Why, and what to do about it.
        reason: String,
    },
    /// A tensor of a saved state does not fit the model.
    #[error("tensor \"{name}\" does not fit: {reason}")]
    State {
        /// Name of the tensor.
        name: String,
        /// What differs.
        reason: String,
    },
    /// A batch that the model cannot work on.
    #[error("{0}")]
    Batch(String),
    /// Options that contradict each other or the data.
    #[error("{0}")]
    Options(String),
    /// The engine failed, for example for lack of memory.
    #[error("the engine failed: {0}")]
    Engine(String),
    /// The device failed in such a way that this process can do nothing more on it.
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
        /// What the system said.
        source: std::io::Error,
    },
    /// Records cannot be encoded.
    #[error("cannot encode table \"{table}\" into {}: {source}", path.display())]
    Encode {
        /// Name of the table.
        table: &'static str,
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        source: Source,
    },
}

fn nearest_of(tried: &[PathBuf]) -> String {
    tried.iter().map(|path| nearest_path(path)).find(|near| !near.is_empty()).unwrap_or_default()
}

/// The path whose name is nearest to one that does not exist, as words to append to an error message; empty
/// if none is near.
#[must_use]
pub fn nearest_path(path: &Path) -> String {
    let Some((folder, name)) = path.parent().zip(path.file_name()) else { return String::new() };
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    if listed.is_dir() {
        let names = names(listed);
        let near = nearest(&name.to_string_lossy(), &names).map(|near| folder.join(near));
        return near.map_or_else(String::new, |near| {
            format!(", did you mean \"{}\"?", shown(&near.to_string_lossy()))
        });
    }
    // The folder has another name.
    let (Some(above), Some(wrong)) = (folder.parent(), folder.file_name()) else {
        return String::new();
    };
    let names = names(if above.as_os_str().is_empty() { Path::new(".") } else { above });
    let near = nearest(&wrong.to_string_lossy(), &names).map(|near| above.join(near).join(name));
    near.filter(|near| near.exists()).map_or_else(String::new, |near| {
        format!(", did you mean \"{}\"?", shown(&near.to_string_lossy()))
    })
}

/// Where a path was looked for, unless that is the path itself.
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
            /// Wraps an error of a plugin's own.
            pub fn other(source: impl std::error::Error + Send + Sync + 'static) -> Self {
                Self::Other(Box::new(source))
            }
        }
    )*};
}
wrap_other!(DatasetError, BatcherError);

/// At most the first 60 characters of a faulty line or value of a file, for messages.
///
/// ```
/// use batchlab_core::error::shown;
/// assert_eq!(shown(" 1e9\u{1b}[31m "), "1e9\\u{1b}[31m");
/// assert_eq!(shown(&"a".repeat(61)), "a".repeat(60) + "...");
/// ```
#[must_use]
pub fn shown(value: &str) -> String {
    excerpt(value.trim(), 60)
}

/// At most the first `n` characters of what came from outside. Control characters are written out: a
/// terminal would take some for commands.
#[must_use]
pub fn excerpt(value: &str, n: usize) -> String {
    let (start, rest) = match value.char_indices().nth(n) {
        Some((end, _)) => (&value[..end], "..."),
        None => (value, ""),
    };
    let visible =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    start.chars().map(visible).collect::<String>() + rest
}
