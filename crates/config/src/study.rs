//! A study file and the configurations that it makes.
//!
//! A study file is a run's configuration in which data set, model and batcher may be lists:
//!
//! ```toml
//! study = "quick"
//! batchers = ["static-64", "static-2^N", "dynamic", { name = "static", padding = { multiple = 32 } }]
//! batch_sizes = [16, 32]
//! repeats = 3
//!
//! [[datasets]]
//! name = "qm9"
//!
//! [[models]]
//! name = "schnet"
//! [[models]]
//! name = "painn"
//! with = { training.learning_rate_decay = 0.98 }   # for this model's runs only
//!
//! [training]
//! steps = 2000
//!
//! [[variants]]                # every combination once for each of these
//! training.prefetch = 0
//! [[variants]]
//! training.prefetch = 1
//! ```

mod blocks;
mod grid;
mod overrides;
mod read;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use batchlab_core::padding::BatchSize;
use toml::{Table, Value};

use crate::load::parse;
use crate::strategy::{self, Presets};
use crate::{Diagnostic, LoadedConfig};
pub use blocks::Blocks;
use grid::SeedName;
pub(crate) use grid::{Grid, STUDY_KEYS};

#[derive(Debug)]
pub struct StudyFile {
    pub path: PathBuf,
    pub blocks: Blocks,
    /// How often every combination is trained.
    pub repeats: NonZeroU32,
    vary_seeds: Vec<SeedName>,
    /// All tables of a run except those of the components.
    rest: Table,
    datasets: Vec<Choice>,
    models: Vec<Choice>,
    batchers: Vec<Table>,
    batch_sizes: Vec<Option<BatchSize>>,
    variants: Vec<Variant>,
    defaults: String,
}

#[derive(Debug)]
struct Choice {
    table: Table,
    with: Table,
}

#[derive(Debug)]
struct Variant {
    label: String,
    table: Table,
    overrides: Vec<String>,
}

/// One combination of everything but batchers and repeats.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    dataset: &'a Choice,
    model: &'a Choice,
    /// `None` if no batcher has one, or each has its own.
    pub batch_size: Option<BatchSize>,
    variant: &'a Variant,
}

impl Choice {
    fn name(&self) -> &str {
        self.table.get("name").and_then(Value::as_str).unwrap_or_default()
    }
}

impl Setting<'_> {
    #[must_use]
    pub fn dataset(&self) -> &str {
        self.dataset.name()
    }

    #[must_use]
    pub fn model(&self) -> &str {
        self.model.name()
    }

    /// What differs from other variants, such as `training.prefetch=0`; empty without variants.
    #[must_use]
    pub fn variant(&self) -> &str {
        &self.variant.label
    }
}

impl StudyFile {
    /// Reads a study, or a run's configuration, which is a study of one cell. `arguments` are changes
    /// from the command line, `key=value` or `key=a,b,c`; `defaults` is as for
    /// [`LoadedConfig::read`], `presets` are labels of strategies.
    ///
    /// # Errors
    /// The first error in the file as a whole; [`StudyFile::runs`] finds those of single runs.
    pub fn read(
        path: &Path,
        arguments: &[String],
        defaults: &str,
        presets: Presets<'_>,
    ) -> Result<Self, Diagnostic> {
        read::read(path, arguments, defaults, presets)
    }

    /// Every data set with every model, batch size and variant, in this order.
    pub fn settings(&self) -> impl Iterator<Item = Setting<'_>> {
        self.datasets.iter().flat_map(move |dataset| {
            self.models.iter().flat_map(move |model| {
                self.batch_sizes.iter().flat_map(move |&batch_size| {
                    let setting = move |variant| Setting { dataset, model, batch_size, variant };
                    self.variants.iter().map(setting)
                })
            })
        })
    }

    /// One run per batcher, each checked like a run in its own file.
    ///
    /// # Errors
    /// The first error.
    pub fn runs(&self, setting: Setting<'_>, repeat: u32) -> Result<Vec<LoadedConfig>, Diagnostic> {
        self.batchers.iter().map(|batcher| self.run(setting, repeat, batcher)).collect()
    }

    fn run(
        &self,
        place: Setting<'_>,
        repeat: u32,
        batcher: &Table,
    ) -> Result<LoadedConfig, Diagnostic> {
        let batcher = match place.batch_size {
            None => batcher.clone(),
            Some(size) => strategy::with_batch_size(batcher.clone(), size)?,
        };
        let mut run = self.rest.clone();
        run.insert("dataset".into(), place.dataset.table.clone().into());
        run.insert("model".into(), place.model.table.clone().into());
        run.insert("batcher".into(), batcher.clone().into());
        for changes in [&place.dataset.with, &place.model.with, &place.variant.table] {
            merge(&mut run, changes);
        }
        let text = toml::to_string(&run).map_err(|error| self.wrong(error.to_string()))?;
        let of = |table: &Table, key: &str| {
            table.get(key).map(|value| value.to_string().replace('"', "")).unwrap_or_default()
        };
        let size = place.batch_size.map(|size| format!(" B={}", size.get())).unwrap_or_default();
        let name = format!(
            "{}, the run of {} with {} in batches of {}{size}",
            self.path.display(),
            of(&place.dataset.table, "name"),
            of(&place.model.table, "name"),
            of(&batcher, "name"),
        );
        let mut config = parse(&name, &text, &place.variant.overrides, &self.defaults)?;
        let seeds = &mut config.training.seeds;
        for name in &self.vary_seeds {
            let seed = match name {
                SeedName::Split => &mut seeds.split,
                SeedName::Order => &mut seeds.order,
                SeedName::Init => &mut seeds.init,
            };
            let of_repeat =
                seed.checked_add(repeat.into()).filter(|&seed| i64::try_from(seed).is_ok());
            let too_large = || {
                let most = i64::MAX;
                self.wrong(format!(
                    "the seed {seed} of repeat {repeat}, to which the number of the repeat is added, is \
                     more than results can hold; give one that stays below {most}"
                ))
            };
            *seed = of_repeat.ok_or_else(too_large)?;
        }
        Ok(LoadedConfig { config, path: self.path.clone() })
    }

    #[must_use]
    pub fn wrong(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(message).within(&self.path.display().to_string())
    }
}

fn merge(table: &mut Table, changes: &Table) {
    for (key, value) in changes {
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(changes)) => merge(inner, changes),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}
