//! Cache of loaded graphs.
//!
//! Reading a data set can take minutes: text is parsed, archives are unpacked, neighbours are
//! searched. The result is a few arrays, which are cached in one file per data set description, in
//! the safetensors format, which `NumPy`, `PyTorch` and JAX can read as well:
//!
//! ```text
//! <folder>/<data set>-<hash of the description>.safetensors
//! ```
//!
//! A cached file is used only if it was written by the same program for the same description, if
//! all sources are unchanged (see `fingerprint`), and if its checksums match. Otherwise the data
//! are read again, with a note that gives the reason.
//!
//! The cache works for every data set that locates its files with [`LoadContext::resolve`].

mod columns;
mod file;
mod fingerprint;
mod prepared;
mod store;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use batchlab_core::hash::sha256;
use batchlab_core::progress::Progress;
use batchlab_core::{Dataset, DatasetError, Graphs, LoadContext};
use serde::{Deserialize, Serialize};

use columns::Attributes;
use fingerprint::{InputFingerprint, program};

pub use file::CacheError;
pub use fingerprint::CLOCK_STEP;
pub use store::Kept;

/// Environment variable that sets the folder, or `off`.
pub const VARIABLE: &str = "BATCHLAB_CACHE";

/// Minimum loading time for data to be cached.
const WORTH_KEEPING: Duration = Duration::from_millis(200);

/// Maximum total size of the folder in bytes; beyond it, the least recently used files are removed.
const MAX_BYTE: u64 = 16 << 30;

#[derive(Debug, Clone, Default)]
pub struct Cache {
    folder: Option<PathBuf>,
}

#[derive(Debug)]
pub struct Loaded {
    pub graphs: Graphs,
    /// The cached file, if there is one.
    pub kept: Option<PathBuf>,
    pub from_cache: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Description {
    /// The program that wrote it; another program may read the same sources differently.
    program: String,
    /// Table of the data set, as JSON.
    dataset: String,
    inputs: Vec<InputFingerprint>,
    /// Notes from loading the data set, repeated when the graphs come from the cache.
    notes: Vec<String>,
    attributes: Attributes,
}

/// When to cache loaded data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// If loading took long enough.
    WhenSlow,
    /// Always. Files written just before require waiting for [`CLOCK_STEP`] first.
    Always,
}

impl Cache {
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Caches files in this folder, which is created on demand.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()) }
    }

    /// Uses the folder in `BATCHLAB_CACHE` (`off`: no cache), or else `batchlab` in the user's
    /// cache folder (`XDG_CACHE_HOME`, or `~/.cache`).
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let folder = match variable(VARIABLE) {
            Some(value) if value == "off" => None,
            Some(value) => Some(PathBuf::from(value)),
            None => variable("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")))
                .map(|folder| folder.join("batchlab")),
        };
        Self { folder }
    }

    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Returns the cached graphs of a data set, or loads and caches them.
    ///
    /// A failing cache never makes loading fail: the failure is noted through `ctx.progress`, and
    /// the data are read again.
    ///
    /// # Errors
    /// Errors from [`Dataset::load`] and [`Graphs::check`].
    pub fn load(
        &self,
        dataset: &dyn Dataset,
        ctx: &LoadContext,
        keep: Keep,
    ) -> Result<Loaded, DatasetError> {
        let Some(place) = self.place(dataset, ctx) else {
            let graphs = checked(dataset, ctx)?;
            return Ok(Loaded { graphs, kept: None, from_cache: false });
        };
        match place.take(ctx) {
            Ok(Some(graphs)) => {
                return Ok(Loaded { graphs, kept: Some(place.path), from_cache: true });
            }
            Ok(None) => {}
            Err(reason) => {
                let path = place.path.display();
                ctx.progress
                    .note(&format!("{path} is not used ({reason}); reading the data again"));
            }
        }
        let (start, started) = (Instant::now(), SystemTime::now());
        let recording =
            Arc::new(RecordingProgress { to: Arc::clone(&ctx.progress), notes: Mutex::default() });
        let progress = Arc::clone(&recording) as Arc<dyn Progress>;
        let graphs = checked(dataset, &LoadContext { progress, ..ctx.clone() })?;
        if keep == Keep::WhenSlow && start.elapsed() < WORTH_KEEPING {
            return Ok(Loaded { graphs, kept: None, from_cache: false });
        }
        let notes = recording.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let kept = match place.keep(&graphs, notes, ctx, started) {
            Ok(()) => Some(place.path),
            Err(reason) => {
                ctx.progress.note(&format!("the graphs are not cached: {reason}"));
                None
            }
        };
        Ok(Loaded { graphs, kept, from_cache: false })
    }

    fn place(&self, dataset: &dyn Dataset, ctx: &LoadContext) -> Option<Entry> {
        let folder = self.folder.clone()?;
        let name = dataset.typetag_name();
        let table = serde_json::to_string(dataset).ok()?;
        // A relative path means a different file in another folder.
        let search: Vec<PathBuf> = ctx
            .search
            .iter()
            .map(|folder| std::path::absolute(folder.join(".")))
            .collect::<Result<_, _>>()
            .ok()?;
        let needs = if ctx.needs_target { "" } else { "\0without target" };
        let hash = sha256(format!("{table}\0{search:?}{needs}").as_bytes());
        let path = folder.join(format!("{name}-{}.safetensors", &hash[..16]));
        Some(Entry { folder, path, table })
    }
}

fn checked(dataset: &dyn Dataset, ctx: &LoadContext) -> Result<Graphs, DatasetError> {
    let graphs = dataset.load(ctx)?;
    graphs.check()?;
    Ok(graphs)
}

struct Entry {
    folder: PathBuf,
    path: PathBuf,
    table: String,
}

impl Entry {
    /// The cached graphs; `None` if missing or out of date.
    fn take(&self, ctx: &LoadContext) -> Result<Option<Graphs>, CacheError> {
        let Some((mut columns, description)) = file::open::<Description>(&self.path)? else {
            return Ok(None);
        };
        if description.dataset != self.table || description.program != program() {
            return Ok(None);
        }
        for input in &description.inputs {
            if !input.is_unchanged(ctx) {
                return Ok(None);
            }
        }
        let graphs = description.attributes.graphs(&mut columns)?;
        store::touch(&self.path);
        for note in &description.notes {
            ctx.progress.note(note);
        }
        Ok(Some(graphs))
    }

    fn keep(
        &self,
        graphs: &Graphs,
        notes: Vec<String>,
        ctx: &LoadContext,
        started: SystemTime,
    ) -> Result<(), CacheError> {
        let inputs = ctx.inputs.list();
        let inputs = inputs
            .iter()
            .map(|input| InputFingerprint::of(input, started))
            .collect::<Result<Vec<_>, _>>()?;
        let (attributes, columns) = columns::of(graphs);
        let (program, dataset) = (program(), self.table.clone());
        let description = Description { program, dataset, inputs, notes, attributes };
        file::write(&self.path, &description, columns)?;
        store::shrink(&self.folder, &self.path, MAX_BYTE);
        Ok(())
    }
}

struct RecordingProgress {
    to: Arc<dyn Progress>,
    notes: Mutex<Vec<String>>,
}

impl Progress for RecordingProgress {
    fn start(&self, what: &str, total: Option<u64>) {
        self.to.start(what, total);
    }
    fn advance(&self, n: u64) {
        self.to.advance(n);
    }
    fn finish(&self) {
        self.to.finish();
    }
    fn note(&self, text: &str) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        self.to.note(text);
    }
    fn warn(&self, text: &str) {
        self.to.warn(text);
    }
}

#[cfg(test)]
mod tests;
