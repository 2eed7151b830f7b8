//! A trained model named on the command line, and the data to evaluate it on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use batchlab_config::{Config, Subset, batcher_of_argument};
use batchlab_core::error::nearest_path;
use batchlab_core::padding::BatchSize;
use batchlab_core::progress::Progress;
use batchlab_core::registry::suggestion;
use batchlab_core::{Batcher, Dataset};
use batchlab_results::publish;
use batchlab_run::checkpoint::{self, Checkpoint};
use batchlab_run::{
    Cache, Mismatch, ModelEvaluation, Observer, OtherData, SubsetChoice, TrainedModel,
    search_folders,
};

use crate::configuration::{Configuration, DEFAULTS, DataLike};
use crate::engine::Engine;
use crate::exit::{DataFault, Usage};
use crate::named::named_run;
use crate::progress::Notes;
use crate::say::say;

/// The model and its data.
#[derive(Debug, clap::Args)]
pub(crate) struct Choice {
    /// A run, given as `results/<study>/runs/<run_id>`, by its ID, or as `results/<study>` for the
    /// newest one there; its newest checkpoint is used. Or a checkpoint file
    /// `step-....safetensors`.
    #[arg(value_name = "RUN|CHECKPOINT")]
    trained: PathBuf,
    /// Data other than the run's: a data file, a configuration file with a [dataset], or overrides
    /// such as `path=other.extxyz`. Everything else is as in training: target, unit, edges.
    #[arg(value_name = "FILE|CONFIG|KEY=VALUE")]
    inputs: Vec<String>,
    /// The same by data set name, followed by its keys, or by data file or configuration file:
    /// `--dataset structures path=mine.extxyz`.
    #[arg(long, value_name = "NAME|FILE|CONFIG")]
    dataset: Option<String>,
    /// Accept data prepared differently from the training data (another edge rule, unit or scaling
    /// of features), with a warning. Graphs with elements unseen in training are left out.
    #[arg(long)]
    allow_mismatch: bool,
    /// Batching strategy: a label such as `static-64`, or a table such as `name = "packed",
    /// batch_size = 32`. Defaults to the batcher of the run's evaluations.
    #[arg(long, value_name = "LABEL|TOML")]
    batcher: Option<String>,
    /// `train`, `validation`, `test` or `all`. Defaults to the run's test graphs, or to all graphs
    /// of other data.
    #[arg(long)]
    subset: Option<String>,
    #[command(flatten)]
    engine: Engine,
}

pub(crate) struct Evaluated {
    pub(crate) model: TrainedModel,
    pub(crate) subset: SubsetChoice,
    pub(crate) evaluation: ModelEvaluation,
}

/// A checkpoint, and the data to use it on.
pub(crate) struct Asked<'a> {
    checkpoint: Checkpoint,
    config: Config,
    other: Option<OtherData>,
    subset: SubsetChoice,
    device: Option<&'a str>,
}

/// An opened model, and its input data.
pub(crate) struct Opened {
    pub(crate) model: TrainedModel,
    pub(crate) subset: SubsetChoice,
}

impl Choice {
    /// The batcher as given.
    pub(crate) fn batcher_text(&self) -> Option<&str> {
        self.batcher.as_deref()
    }

    /// Resolves the request, reading nothing but the checkpoint.
    pub(crate) fn asked(&self) -> Result<Asked<'_>> {
        self.engine.start()?;
        let checkpoint = read(&self.trained)?;
        let config = checkpoint.state.config()?;
        let other = self.other_data(&checkpoint, &*config.dataset)?;
        let subset = self.subset(other.is_some())?;
        let device = self.engine.device.as_deref();
        Ok(Asked { checkpoint, config, other, subset, device })
    }

    fn other_data(
        &self,
        checkpoint: &Checkpoint,
        trained: &dyn Dataset,
    ) -> Result<Option<OtherData>> {
        let state = &checkpoint.state;
        let given = Configuration::of(self.inputs.clone(), self.dataset.clone());
        let Some(DataLike { name, path, dataset }) = given.like(trained)? else {
            return Ok(None);
        };
        // Relative paths in the training configuration start at its own directory.
        let folders = [search_folders(&path), search_folders(&state.config_path)];
        let mismatch = if self.allow_mismatch { Mismatch::Allowed } else { Mismatch::Refused };
        Ok(Some(OtherData { name, dataset, search: folders.concat(), mismatch }))
    }

    pub(crate) fn evaluate(&self) -> Result<Evaluated> {
        let asked = self.asked()?;
        let batcher = self.batcher.as_ref().map(|text| asked.batcher(text)).transpose()?;
        let Opened { mut model, subset } = asked.open()?;
        let evaluation = model.evaluate(subset, batcher.as_deref())?;
        Ok(Evaluated { model, subset, evaluation })
    }

    fn subset(&self, is_other: bool) -> Result<SubsetChoice> {
        let known = ["train", "validation", "test", "all"];
        Ok(match self.subset.as_deref() {
            None if is_other => SubsetChoice::All,
            None | Some("test") => SubsetChoice::Subset(Subset::Test),
            Some("validation") => SubsetChoice::Subset(Subset::Validation),
            Some("train") => SubsetChoice::Subset(Subset::Train),
            Some("all") => SubsetChoice::All,
            Some(other) => bail!(Usage(format!(
                "unknown subset \"{other}\"{}\nknown: {}",
                suggestion(other, &known),
                known.join(", ")
            ))),
        })
    }
}

impl Asked<'_> {
    /// Parses the batcher given by an option.
    pub(crate) fn batcher(&self, text: &str) -> Result<Box<dyn Batcher>> {
        // The same batch size as in the run's own evaluations.
        let size = self.config.evaluation.batcher.batch_size().unwrap_or(64);
        let dataset = self.other.as_ref().map_or(&self.config.dataset, |other| &other.dataset);
        let size = BatchSize::try_from(size)?;
        Ok(batcher_of_argument("--batcher", text, DEFAULTS.labels, size, &**dataset)?)
    }

    pub(crate) fn open(&self) -> Result<Opened> {
        let (cache, other) = (Cache::from_environment(), self.other.as_ref());
        let model =
            TrainedModel::open(&self.checkpoint, other, self.device, &cache, &LoadingNotes)?;
        Ok(Opened { model, subset: self.subset })
    }
}

/// Prints the notes of data sets while they are loaded.
pub(crate) struct LoadingNotes;

impl Observer for LoadingNotes {
    fn progress(&self) -> Arc<dyn Progress> {
        Arc::new(Notes)
    }
}

/// Reads a checkpoint by path, or the newest one of a run.
pub(crate) fn read(trained: &Path) -> Result<Checkpoint> {
    if trained.is_file() {
        return Ok(Checkpoint::read(trained).map_err(DataFault::of)?);
    }
    if trained.extension().is_some_and(|extension| extension == "safetensors") {
        bail!(Usage(format!(
            "there is no checkpoint {}{}",
            trained.display(),
            nearest_path(trained)
        )));
    }
    let (run_id, out) = named_run(trained)?;
    let mut warn = |error: &checkpoint::CheckpointError| {
        say!("warning: {error}; an earlier one is looked for");
    };
    let newest = checkpoint::offered(&publish::checkpoints(&out, &run_id), &mut warn);
    let Some(newest) = newest.map_err(DataFault::of)? else {
        bail!(DataFault(format!(
            "run {run_id} has saved no weights: runs of a sweep, and runs with training.checkpoint=none, keep \
             none; training.checkpoint='{{ steps = 1000 }}' keeps them"
        )));
    };
    Ok(newest)
}
