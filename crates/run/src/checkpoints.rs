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
use crate::training_data::TrainingData;

/// Shapes so far, decisions, and whether the warm-up is over.
type Progress<'a> = (&'a ShapeLedger, &'a Schedule, bool);

pub(crate) struct Checkpoints {
    folder: PathBuf,
    when: Option<Checkpointing>,
    /// The part that is the same in all checkpoints.
    state: RunState,
    last: Instant,
    /// Step of the newest checkpoint.
    pub(crate) saved: Option<u64>,
}

impl Checkpoints {
    pub(crate) fn new(
        loaded: &LoadedConfig,
        publisher: &Publisher,
        provenance: &Provenance,
        (data, dataset_hash): (TrainingData, String),
        arithmetic: &str,
    ) -> Self {
        // Without a file, the recorded configuration lists the folders for relative paths.
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
            data,
            schedule: Schedule::default(),
            is_warm: false,
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

    /// Whether the configuration requires a checkpoint after this step.
    pub(crate) fn is_due(&self, step: u64) -> bool {
        self.when.is_some_and(|when| {
            let minutes = |minutes: f64| self.last.elapsed().as_secs_f64() >= 60.0 * minutes;
            when.steps.is_some_and(|steps| step.is_multiple_of(steps.get()))
                || when.minutes.is_some_and(|m| minutes(m.into()))
        })
    }

    /// Saves the state after a step. `cursor` belongs to the last trained batch, not to prefetched
    /// ones.
    pub(crate) fn save(
        &mut self,
        step: u64,
        cursor: &Cursor,
        progress: Progress<'_>,
        trainer: TrainerState,
        journal_end: u64,
    ) -> Result<(), RunError> {
        let checkpoint = self.checkpoint(step, cursor, progress, trainer, journal_end);
        let keep: NonZeroU32 = self.when.map_or(Checkpointing::KEEP, |when| when.keep);
        checkpoint.write(&self.folder, keep).map_err(RunError::Checkpoint)?;
        self.last = Instant::now();
        self.saved = Some(step);
        Ok(())
    }

    /// Saves the state after a step as the best one, and keeps the newest `keep` of them.
    pub(crate) fn save_best(
        &self,
        step: u64,
        cursor: &Cursor,
        progress: Progress<'_>,
        trainer: TrainerState,
        keep: NonZeroU32,
    ) -> Result<(), RunError> {
        // The run is not resumed from it, so it needs no rows.
        self.write_best(&self.checkpoint(step, cursor, progress, trainer, 0), keep)
    }

    /// Copies the best state of the run that this one extends.
    pub(crate) fn inherit_best(&self, best: Checkpoint) -> Result<(), RunError> {
        let (run_id, config) = (self.state.run_id.clone(), self.state.config.clone());
        let state = RunState { run_id, config, ..best.state };
        self.write_best(&Checkpoint { state, ..best }, NonZeroU32::MIN)
    }

    fn write_best(&self, best: &Checkpoint, keep: NonZeroU32) -> Result<(), RunError> {
        let folder = best_folder(&self.folder);
        best.write(&folder, keep).map_err(RunError::Checkpoint)?;
        Ok(())
    }

    /// Removes best states of steps that a resumed run repeats.
    pub(crate) fn forget_best_after(&self, step: u64) {
        for path in checkpoint::list(&best_folder(&self.folder)) {
            if checkpoint::file::step_of(&path).is_some_and(|of| of > step) {
                // It is written again when that step is repeated.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn checkpoint(
        &self,
        step: u64,
        cursor: &Cursor,
        (ledger, schedule, is_warm): Progress<'_>,
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
            is_warm,
            ..self.state.clone()
        };
        Checkpoint { state, trainer, ledger: ledger.shapes() }
    }
}
