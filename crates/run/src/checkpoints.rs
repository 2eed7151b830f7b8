//! When a run saves its state, and what it saves.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Instant;

use batchlab_config::{Checkpointing, LoadedConfig, Saving};
use batchlab_core::Cursor;
use batchlab_core::model::TrainerState;
use batchlab_results::Publisher;

use super::folders::CONFIG;
use super::ledger::ShapeLedger;
use crate::RunError;
use crate::checkpoint::{self, Checkpoint, FORMAT, RunState, best_folder};
use crate::provenance::Provenance;
use crate::schedule::Schedule;

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
        arithmetic: &str,
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
            schedule: Schedule::default(),
            version: provenance.version.clone(),
            arithmetic: arithmetic.to_owned(),
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
            let minutes = |minutes: f64| self.last.elapsed().as_secs_f64() >= 60.0 * minutes;
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
        (ledger, schedule): (&ShapeLedger, &Schedule),
        trainer: TrainerState,
        journal_end: u64,
    ) -> Result<(), RunError> {
        let checkpoint = self.checkpoint(step, cursor, (ledger, schedule), trainer, journal_end);
        let keep: NonZeroU32 = self.when.map_or(Checkpointing::KEEP, |when| when.keep);
        checkpoint.write(&self.folder, keep).map_err(RunError::Checkpoint)?;
        self.last = Instant::now();
        self.saved = Some(step);
        Ok(())
    }

    /// Keeps the state after a step as the best one, in place of the one before.
    pub(crate) fn save_best(
        &self,
        step: u64,
        cursor: &Cursor,
        (ledger, schedule): (&ShapeLedger, &Schedule),
        trainer: TrainerState,
    ) -> Result<(), RunError> {
        let folder = best_folder(&self.folder);
        // The run does not go on from it, so it needs no rows.
        let checkpoint = self.checkpoint(step, cursor, (ledger, schedule), trainer, 0);
        checkpoint.write(&folder, NonZeroU32::MIN).map_err(RunError::Checkpoint)?;
        Ok(())
    }

    /// Forgets best states of steps that a resumed run does again.
    pub(crate) fn forget_best_after(&self, step: u64) {
        for path in checkpoint::list(&best_folder(&self.folder)) {
            if checkpoint::file::step_of(&path).is_some_and(|of| of > step) {
                // It is written again when that step is done again.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn checkpoint(
        &self,
        step: u64,
        cursor: &Cursor,
        (ledger, schedule): (&ShapeLedger, &Schedule),
        trainer: TrainerState,
        journal_end: u64,
    ) -> Checkpoint {
        let state = RunState {
            step,
            n_update: trainer.n_update,
            cursor: cursor.clone(),
            n_shape: ledger.n_shape(),
            journal_end,
            schedule: schedule.clone(),
            ..self.state.clone()
        };
        Checkpoint { state, trainer, ledger: ledger.shapes() }
    }
}
