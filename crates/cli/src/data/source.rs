//! Data sets named on the command line: configurations, names with defaults, data files.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use batchlab_core::{Dataset, LoadContext};
use batchlab_run::cache::{Keep, Loaded};
use batchlab_run::{Cache, RunError, memory, search_folders};

use crate::configuration::Configuration;
use crate::progress::{Unit, to_standard_error};

pub(crate) struct Source {
    pub(crate) name: String,
    /// The file relative to which paths are resolved.
    pub(crate) path: PathBuf,
    pub(crate) dataset: Box<dyn Dataset>,
}

pub(super) struct Read {
    pub(super) loaded: Loaded,
    pub(super) time: Duration,
}

/// All data sets of all inputs.
pub(crate) fn named(given: &Configuration) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for (name, file) in given.read_all()? {
        let datasets = file.datasets()?;
        let is_one = datasets.len() == 1;
        for dataset in datasets {
            if let Err(error) = dataset.check() {
                return Err(RunError::Dataset(error).into());
            }
            let name =
                if is_one { name.clone() } else { format!("{name}, {}", dataset.typetag_name()) };
            sources.push(Source { name, path: file.path.clone(), dataset });
        }
    }
    Ok(sources)
}

impl Source {
    pub(super) fn dataset_name(&self) -> &str {
        self.dataset.typetag_name()
    }

    pub(super) fn read(&self, cache: &Cache, keep: Keep) -> Result<Read> {
        let ctx = LoadContext {
            search: search_folders(Path::new(&self.path)),
            progress: to_standard_error(Unit::Items),
            memory: memory::budget()?,
            ..LoadContext::new()
        };
        let start = Instant::now();
        let loaded = cache.load(&*self.dataset, &ctx, keep).map_err(RunError::Dataset)?;
        Ok(Read { loaded, time: start.elapsed() })
    }
}
