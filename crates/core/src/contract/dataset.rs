//! Data sets: descriptions from which graphs are loaded.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use crate::contract::graphs::{Graphs, Level};
use crate::contract::progress::Progress;
use crate::{BatchFields, DatasetError, MemoryBudget};

/// A description of a data set, selected by `[dataset] name = "..."`.
///
/// The value is immutable: it is the configuration itself, and it is saved with every run. Data are
/// loaded once per run, before any timing starts.
///
/// ```
/// use batchlab_core::graphs::{Edges, Graphs, ManyGraphs, Topology};
/// use batchlab_core::{Dataset, DatasetError, Level, LoadContext, Provides};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// /// Complete graphs of one size.
/// #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Cliques {
///     /// Number of graphs.
///     n_graph: u32,
///     /// Nodes per graph.
///     n_node: u32,
/// }
///
/// #[typetag::serde(name = "cliques")]
/// impl Dataset for Cliques {
///     fn provides(&self) -> Provides {
///         Provides { level: Level::Graphs, ..Provides::default() }
///     }
///     fn load(&self, _ctx: &LoadContext) -> Result<Graphs, DatasetError> {
///         let n_node = vec![self.n_node; self.n_graph as usize];
///         let many = ManyGraphs::new(&n_node, Edges::FullyConnected)?;
///         Graphs::new("cliques", Topology::Many(many))
///     }
/// }
/// batchlab_core::register!(Dataset, Cliques, example = Cliques { n_graph: 100, n_node: 12 });
/// ```
#[typetag::serde(tag = "name")]
pub trait Dataset: std::fmt::Debug + Send + Sync {
    /// Contents of the loaded graphs. Called before [`Dataset::load`], so that incompatible
    /// components are rejected before anything is read.
    fn provides(&self) -> Provides;

    /// Whether the target is a class, which determines the default loss.
    fn has_classes(&self) -> bool {
        false
    }

    /// Checks what can be checked without reading data, such as the name of the target.
    ///
    /// # Errors
    /// What is wrong with the description.
    fn check(&self) -> Result<(), DatasetError> {
        Ok(())
    }

    /// The keys that select which data are read. All other keys say how graphs are built from them:
    /// a trained model is applied to new data that are built in the same way, unless the user
    /// overrides this.
    fn source_keys(&self) -> &'static [&'static str] {
        &["path", "limit"]
    }

    /// Reads the data. Called once per run.
    ///
    /// No graph is dropped silently: omissions are counted in [`Graphs::notes`]. A graph without a
    /// target is rejected or left out only if [`LoadContext::needs_target`] is set; otherwise its
    /// target is NaN, or a negative class.
    ///
    /// # Errors
    /// Any problem with the input, with file, line, value and remedy.
    fn load(&self, ctx: &LoadContext) -> Result<Graphs, DatasetError>;
}

/// Contents of a data set's graphs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provides {
    /// Many graphs, or one large one.
    pub level: Level,
    /// The fields that [`collate`](crate::collate()) can deliver.
    pub fields: BatchFields,
    /// Whether there is a target to train on.
    pub target: bool,
}

/// What a data set receives when it loads.
#[derive(Clone)]
pub struct LoadContext {
    /// Folders searched for relative paths, in this order.
    pub search: Vec<PathBuf>,
    /// Receives progress reports.
    pub progress: Arc<dyn Progress>,
    /// The inputs requested so far, shared by clones of the context.
    pub inputs: Inputs,
    /// Memory budget, also shared by clones. A data set must reserve memory here before it
    /// allocates anything that grows with the data.
    pub memory: MemoryBudget,
    /// Whether a graph without a target is useless, as in training but not in prediction.
    pub needs_target: bool,
}

/// The files and folders that a data set was built from, in the order in which they were requested.
///
/// Loaded graphs are cached and reused as long as all of these are unchanged.
#[derive(Debug, Clone, Default)]
pub struct Inputs(Arc<Mutex<Vec<Input>>>);

/// One file or folder that a data set was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Path in the configuration.
    pub asked: PathBuf,
    /// Path at which it was found.
    pub found: PathBuf,
}

impl Inputs {
    /// All inputs so far.
    #[must_use]
    pub fn list(&self) -> Vec<Input> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, asked: &Path, found: &Path) {
        let input = Input { asked: asked.to_owned(), found: found.to_owned() };
        let mut inputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !inputs.contains(&input) {
            inputs.push(input);
        }
    }
}

impl LoadContext {
    /// A context that resolves relative paths against the working directory, without progress
    /// reports or memory limit.
    #[must_use]
    pub fn new() -> Self {
        Self {
            search: vec![PathBuf::new()],
            progress: Arc::new(()),
            inputs: Inputs::default(),
            memory: MemoryBudget::default(),
            needs_target: true,
        }
    }

    /// Finds a file or folder named in a configuration.
    ///
    /// The result is added to [`LoadContext::inputs`], so that cached graphs are invalidated when
    /// it changes. A data set that locates a file in another way must register it here too.
    ///
    /// # Errors
    /// [`DatasetError::NotFound`] with every path tried; [`DatasetError::Io`] for a path that
    /// cannot be inspected, or that is neither a file nor a folder.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, DatasetError> {
        // Joining an absolute path yields that path.
        let mut tried: Vec<PathBuf> = self.search.iter().map(|folder| folder.join(path)).collect();
        tried.dedup();
        for candidate in &tried {
            match fs::metadata(candidate) {
                Ok(found) if found.is_file() || found.is_dir() => {
                    self.inputs.add(path, candidate);
                    return Ok(candidate.clone());
                }
                Ok(_) => {
                    // Opening a pipe or a socket could block forever.
                    let source =
                        io::Error::other("it is neither a file nor a folder; name one of these");
                    return Err(DatasetError::Io { path: candidate.clone(), source });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(DatasetError::Io { path: candidate.clone(), source }),
            }
        }
        Err(DatasetError::NotFound { path: path.to_owned(), tried })
    }
}

impl Default for LoadContext {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_noted_once_and_by_every_clone() {
        let ctx =
            LoadContext { search: vec!["nowhere".into(), PathBuf::new()], ..LoadContext::new() };
        let manifest = Path::new("Cargo.toml");
        assert_eq!(ctx.clone().resolve(manifest).unwrap(), manifest);
        ctx.resolve(manifest).unwrap();
        ctx.resolve(Path::new("missing")).unwrap_err();
        assert_eq!(ctx.inputs.list(), [Input { asked: manifest.into(), found: manifest.into() }]);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_neither_file_nor_folder_is_refused() {
        let fault = LoadContext::new().resolve(Path::new("/dev/null")).unwrap_err().to_string();
        assert_eq!(
            fault,
            "cannot read /dev/null: it is neither a file nor a folder; name one of these"
        );
    }
}
