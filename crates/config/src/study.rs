//! The only reader of configurations: a file with lists in it, and the runs it expands to.
//!
//! A study file is a run's configuration in which data set, model and batcher may be lists, and a
//! run's configuration is a study of one run:
//!
//! ```toml
//! study = "quick"
//! batchers = ["static-64", "static-2^N", "dynamic", { name = "static", padding = { multiple = 32 } }]
//! batch_sizes = [16, 32]
//! repeats = 3
//!
//! [[datasets]]
//! name = "qm9"
//! [[datasets]]
//! name = "aflow"
//! batchers = ["dynamic"]      # instead of the study's
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

pub(crate) mod blocks;
mod forecast;
pub(crate) mod grid;
pub(crate) mod launcher;
mod lists;
mod runs;
mod strategy;
mod variants;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use batchlab_core::padding::BatchSize;
use batchlab_core::registry::conflicts;

use crate::Defaults;
use crate::load::{LoadedConfig, read_text};
use crate::text::diagnostic::Diagnostic;
use crate::text::overrides::{Overrides, line};
use crate::text::{Source, Span};
use blocks::Blocks;
pub use forecast::ToForecast;
use grid::Grid;
use launcher::Launcher;
use lists::{Lists, is_listed};

/// A parsed configuration, of one run or of many to be compared.
#[derive(Debug)]
pub struct StudyFile {
    /// Empty without a file.
    pub path: PathBuf,
    pub blocks: Blocks,
    /// How often to train every combination.
    pub repeats: NonZeroU32,
    pub launcher: Launcher,
    source: Source,
    /// Overrides of all runs.
    changes: Vec<Span>,
    /// For each varied key, one override per value, along with the typed text.
    varied: Vec<Vec<(String, Span)>>,
    defaults: Defaults,
}

/// One combination of everything but batchers, and its runs, one per batcher.
#[derive(Debug)]
pub struct Setting {
    pub dataset: String,
    pub model: String,
    /// `None` if no batcher has one, or each has its own.
    pub batch_size: Option<BatchSize>,
    /// Distinguishes it from other variants, such as `training.prefetch=0`; empty without variants.
    pub variant: String,
    pub repeat: u32,
    pub runs: Vec<LoadedConfig>,
}

impl StudyFile {
    /// Reads a study, or a run's configuration, which is a study of one run. `arguments` are
    /// overrides from the command line, `key=value` or `key=a,b,c`. Without a file, they are the
    /// whole configuration.
    ///
    /// # Errors
    /// The first error in the file as a whole; [`StudyFile::settings`] finds those of individual
    /// runs.
    pub fn read(
        path: Option<&Path>,
        arguments: &[String],
        defaults: Defaults,
    ) -> Result<Self, Diagnostic> {
        // Otherwise the linker would decide which one is used.
        if let Some(conflict) = conflicts().into_iter().next() {
            return Err(Diagnostic::new(conflict));
        }
        let content = path.map(read_text).transpose()?.unwrap_or_default();
        let file = path.map_or("the command line".to_owned(), |path| path.display().to_string());
        let mut source = Source::new(&file, &content);
        let root = source.parse()?;
        let overrides = Overrides::new(arguments, |key| is_listed(root.get_ref(), key))?;
        let changes = overrides.lines.iter().map(|line| source.add(line)).collect();
        let mut add = |change: String| {
            let place = source.add(&line(&change));
            (change, place)
        };
        let varied = overrides.variants.into_iter();
        let varied = varied.map(|values| values.into_iter().map(&mut add).collect()).collect();
        let path = path.map(Path::to_owned).unwrap_or_default();
        let (blocks, repeats) = (Blocks::default(), NonZeroU32::MIN);
        let launcher = Launcher::default();
        let file = Self { path, blocks, repeats, launcher, source, changes, varied, defaults };
        let Grid { blocks, repeats, launcher, .. } = Lists::new(&file)?.grid;
        Ok(Self { blocks, repeats, launcher, ..file })
    }

    /// Every data set with every model, batch size and variant, in this order, once per repeat.
    /// Every run has passed all checks possible without data.
    ///
    /// # Errors
    /// The first error.
    pub fn settings(&self) -> Result<Vec<Setting>, Diagnostic> {
        let lists = Lists::new(self)?;
        let settings = |repeat| {
            lists.combinations().map(move |combination| (combination, repeat)).collect::<Vec<_>>()
        };
        // Repeats of a setting are far apart, and a sweep that ends early has some of every
        // setting.
        let all = (0..self.repeats.get()).flat_map(settings);
        all.map(|(combination, repeat)| lists.setting(combination, repeat, &self.path)).collect()
    }

    /// The run, if there is only one.
    ///
    /// # Errors
    /// The first error, or if the study has several runs.
    pub fn only_run(&self) -> Result<LoadedConfig, Diagnostic> {
        let size = Lists::new(self)?.size();
        if size.n_run() > 1 {
            return Err(self
                .wrong(format!("this is a study of {size}, and one run is expected"))
                .help("`batchlab sweep`, with the same arguments, trains and compares them all")
                .help(
                    "or name one: datasets=qm9 models=schnet batchers=static-64 batch_sizes=32",
                ));
        }
        let run = self.settings()?.pop().and_then(|mut setting| setting.runs.pop());
        run.ok_or_else(|| self.wrong("there is nothing to train"))
    }

    #[must_use]
    pub fn wrong(&self, message: impl Into<String>) -> Diagnostic {
        self.source.whole(message)
    }
}

impl LoadedConfig {
    /// Reads the configuration of one run, applies overrides of the form `key=value`, and checks
    /// everything that can be checked before data are loaded.
    ///
    /// # Errors
    /// The first error, or if the study has several runs.
    pub fn read(path: &Path, overrides: &[String], defaults: Defaults) -> Result<Self, Diagnostic> {
        StudyFile::read(Some(path), overrides, defaults)?.only_run()
    }
}
