//! What a run saves and continues from.

use std::num::NonZeroU32;
use std::path::Path;

use batchlab_core::record::StepRecord;
use batchlab_results::Recorder;

use super::TrainingLoop;
use crate::RunError;
use crate::checkpoint::{self, Checkpoint};
use crate::ledger::ShapeLedger;

impl TrainingLoop<'_> {
    /// Continues after the last of these steps, in the state of a checkpoint.
    pub(crate) fn restore(
        &mut self,
        checkpoint: &Checkpoint,
        steps: &[StepRecord],
    ) -> Result<(), RunError> {
        let state = &checkpoint.state;
        self.trainer.restore(&checkpoint.trainer)?;
        self.ledger = ShapeLedger::restore(&checkpoint.ledger, state.n_shape);
        self.n_step = state.step;
        self.prepared.plan.cursor.clone_from(&state.cursor);
        self.schedule.clone_from(&state.schedule);
        // Determined again when the next batch is fetched.
        self.n_epoch = self.n_epoch.filter(|_| self.n_step == 0);
        for step in steps {
            self.sums.add(step);
        }
        self.is_warm = state.is_warm;
        Ok(())
    }

    /// Takes over the best state of a run that this one extends, from its checkpoint folder.
    /// Returns the reason if it cannot be read; the next evaluation is then the best so far.
    pub(crate) fn inherit_best(&mut self, folder: &Path) -> Result<Option<String>, RunError> {
        let Some(step) = self.schedule.step_to_compare_with(self.training) else { return Ok(None) };
        match checkpoint::best_after(folder, step) {
            // Every rank reads it, so that all decide alike; the first one keeps it.
            Ok(best) => match &self.checkpoints {
                Some(own) => own.inherit_best(best).map(|()| None),
                None => Ok(None),
            },
            Err(error) => {
                self.schedule.forget_best();
                Ok(Some(error.to_string()))
            }
        }
    }

    /// Saves the state after the last step.
    pub(crate) fn save(&mut self, recorder: &mut Recorder) -> Result<(), RunError> {
        let step = self.n_step;
        let Some(checkpoints) = self.checkpoints.as_mut().filter(|c| c.saved != Some(step)) else {
            return Ok(());
        };
        recorder.event(
            Some(step),
            checkpoint::SAVED,
            format!("saved the state after step {step}"),
            None,
        );
        // Rows first: a checkpoint without its rows would leave a gap.
        let journal_end = recorder.sync()?;
        // A batch that was fetched but not trained is fetched again.
        let cursor = match self.pending {
            Some(_) => &self.before,
            None => &self.prepared.plan.cursor,
        };
        let decided = (&self.ledger, &self.schedule, self.is_warm);
        checkpoints.save(step, cursor, decided, self.trainer.state()?, journal_end)
    }

    /// Saves the state after the last step as the best one, replacing that of `schedule` unless it
    /// must be kept for runs that extend this one.
    pub(crate) fn save_best(&mut self, keeps_other: bool) -> Result<(), RunError> {
        let Some(checkpoints) = &self.checkpoints else { return Ok(()) };
        self.kept_best = Some(self.n_step);
        let cursor = match self.pending {
            Some(_) => &self.before,
            None => &self.prepared.plan.cursor,
        };
        let decided = (&self.ledger, &self.schedule, self.is_warm);
        let keep = NonZeroU32::MIN.saturating_add(keeps_other.into());
        checkpoints.save_best(self.n_step, cursor, decided, self.trainer.state()?, keep)
    }

    /// Step of the saved best state; `None` without early stopping.
    pub(crate) fn best_step(&self) -> Option<u64> {
        self.kept_best.or_else(|| self.schedule.best_step())
    }
}
