//! When a run saves its state, and what it saves.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use batchlab_config::{Checkpointing, LoadedConfig, Saving};
use batchlab_core::Cursor;
use batchlab_core::model::TrainerState;
use batchlab_results::Publisher;

use super::folders::CONFIG;
use super::ledger::ShapeLedger;
use crate::RunError;
use crate::checkpoint::{Checkpoint, FORMAT, RunState};
use crate::provenance::Provenance;

pub(crate) struct Checkpoints {
    folder: PathBuf,
    when: Option<Checkpointing>,
    /// What is the same in all of them.
    state: RunState,
    last: Instant,
    /// The step after which the newest one was saved.
    pub(crate) saved: Option<u64>,
}

impl Checkpoints {
    pub(crate) fn new(
        loaded: &LoadedConfig,
        publisher: &Publisher,
        provenance: &Provenance,
        dataset_hash: String,
    ) -> Self {
        // Without a file, the recorded configuration names the folders in which paths start.
        let recorded = publisher.run_folder().join(CONFIG);
        let path = if loaded.path.as_os_str().is_empty() { &recorded } else { &loaded.path };
        let config_path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let state = RunState {
            format: FORMAT,
            run_id: publisher.run_id().to_owned(),
            step: 0,
            n_update: 0,
            cursor: Cursor::default(),
            n_shape: 0,
            journal_end: 0,
            config: serde_json::from_str(&loaded.to_json()).unwrap_or_default(),
            config_path,
            dataset_hash,
            version: provenance.version.clone(),
        };
        Self {
            folder: publisher.checkpoints(),
            when: loaded.config.training.checkpoint.and_then(Saving::at),
            state,
            last: Instant::now(),
            saved: None,
        }
    }

    /// Whether the configuration asks for a checkpoint after this step.
    pub(crate) fn is_due(&self, step: u64) -> bool {
        self.when.is_some_and(|when| {
            let minutes =
                |minutes: f64| self.last.elapsed() >= Duration::from_secs_f64(60.0 * minutes);
            when.steps.is_some_and(|steps| step.is_multiple_of(steps.get()))
                || when.minutes.is_some_and(|m| minutes(m.into()))
        })
    }

    /// Saves the state after a step. `cursor` is that of the batch that was trained last, not of
    /// those that were prepared ahead.
    pub(crate) fn save(
        &mut self,
        step: u64,
        cursor: &Cursor,
        ledger: &ShapeLedger,
        trainer: TrainerState,
        journal_end: u64,
    ) -> Result<(), RunError> {
        let state = RunState {
            step,
            n_update: trainer.n_update,
            cursor: cursor.clone(),
            n_shape: ledger.n_shape(),
            journal_end,
            ..self.state.clone()
        };
        let checkpoint = Checkpoint { state, trainer, ledger: ledger.shapes() };
        let keep: NonZeroU32 = self.when.map_or(Checkpointing::KEEP, |when| when.keep);
        checkpoint.write(&self.folder, keep).map_err(RunError::Checkpoint)?;
        self.last = Instant::now();
        self.saved = Some(step);
        Ok(())
    }
}
