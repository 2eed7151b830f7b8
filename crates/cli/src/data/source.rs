//! Data sets named on the command line: configuration files, or names with their defaults.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use batchlab_config::{parts_of_text, read_parts};
use batchlab_core::registry::{Kind, components, suggestion};
use batchlab_core::{Dataset, LoadContext};
use batchlab_run::cache::{Keep, Loaded};
use batchlab_run::{Cache, RunError, memory, search_folders};
use serde::de::IgnoredAny;

use crate::exit::Usage;
use crate::progress::{Unit, to_standard_error};

pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) dataset: Box<dyn Dataset>,
}

pub(super) struct Read {
    pub(super) loaded: Loaded,
    pub(super) time: Duration,
}

/// Configuration files, names, and changes such as `dataset.target=gap` that hold for all of them.
pub(crate) fn named(inputs: &[String]) -> Result<Vec<Source>> {
    let (changes, names): (Vec<String>, Vec<String>) =
        inputs.iter().cloned().partition(|input| input.contains('='));
    if names.is_empty() {
        bail!(Usage("name a configuration file or a data set, for example qm9".into()));
    }
    names.into_iter().map(|name| source(name, &changes)).collect()
}

fn source(name: String, changes: &[String]) -> Result<Source> {
    let known: Vec<&str> = components(Kind::Dataset).into_keys().collect();
    // Everything else in a configuration is only checked.
    let (parts, IgnoredAny) = if known.contains(&name.as_str()) {
        let text = format!("[dataset]\nname = \"{name}\"\n");
        parts_of_text(&name, &text, changes)?
    } else if Path::new(&name).exists() {
        read_parts(Path::new(&name), changes)?
    } else {
        bail!(Usage(format!(
            "\"{name}\" is neither a file nor a data set{}\nknown data sets: {}",
            suggestion(&name, &known),
            known.join(", ")
        )))
    };
    if let Err(error) = parts.dataset.check() {
        return Err(RunError::Dataset(error).into());
    }
    Ok(Source { name, dataset: parts.dataset })
}

impl Source {
    pub(super) fn dataset_name(&self) -> &str {
        self.dataset.typetag_name()
    }

    pub(super) fn read(&self, cache: &Cache, keep: Keep) -> Result<Read> {
        let ctx = LoadContext {
            search: search_folders(Path::new(&self.name)),
            progress: to_standard_error(Unit::Items),
            memory: memory::budget()?,
            ..LoadContext::new()
        };
        let start = Instant::now();
        let loaded = cache.load(&*self.dataset, &ctx, keep).map_err(RunError::Dataset)?;
        Ok(Read { loaded, time: start.elapsed() })
    }
}
