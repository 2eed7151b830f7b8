//! How training ends before its last step.

use batchlab_core::model::LossSum;
use batchlab_ranks::LostRanks;
use batchlab_results::Recorder;

use super::{StepTimes, StopContext, TrainingLoop};
use crate::replay::name_members;
use crate::{Ending, RunError, Status};

impl TrainingLoop<'_> {
    /// Saves the state so that the run can be resumed.
    pub(crate) fn interrupted(&mut self, recorder: &mut Recorder) -> Result<Ending, RunError> {
        let reason = format!("interrupted after {} steps", self.n_step);
        // A checkpoint already saved after this step does not contain the interruption.
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.saved = None;
        }
        recorder.event(Some(self.n_step), "interrupted", reason.clone(), None);
        self.save(recorder)?;
        Ok(Ending { status: Status::Interrupted, reason: Some(reason) })
    }

    /// Saves the state before the step that ranks did not come to.
    pub(crate) fn lost(&mut self, lost: LostRanks, recorder: &mut Recorder) -> RunError {
        recorder.event(Some(self.n_step), "lost_ranks", lost.to_string(), None);
        self.save(recorder).err().unwrap_or(RunError::LostRanks(lost))
    }

    /// Ends a run whose errors are complete.
    pub(crate) fn timing_ended(&self, reason: &str, recorder: &mut Recorder) -> Ending {
        let (step, asked) = (self.n_step, self.last.unwrap_or(self.n_step));
        let message = format!(
            "steps for timing only ended after step {step}, because {reason}; all {asked} requested \
             steps are done"
        );
        recorder.event(Some(step), "timing_ended", message, None);
        Ending { status: Status::Completed, reason: Some(reason.to_owned()) }
    }

    pub(super) fn not_finite(
        &self,
        step: u64,
        loss: LossSum,
        times: &StepTimes,
        stop: &StopContext<'_>,
        recorder: &mut Recorder,
    ) -> Result<Ending, RunError> {
        let plan = &self.prepared.plan;
        let learning_rate = self.learning_rate_at(step);
        let changed = if self.trainer.is_one_call() && self.ranks.is_none() {
            "the engine does a step in one call, so the parameters may have changed"
        } else {
            "this step did not change the parameters"
        };
        let own = name_members(stop.graphs, &plan.members);
        let holds = match (&self.ranks, &times.shared) {
            (Some(ranks), Some(shared)) => ranks.name_not_finite(shared, &own)?,
            _ => format!("Its batch holds {own}"),
        };
        let reason = format!(
            "the loss of step {step} is {}; {changed}. {holds}. {} To reproduce it: {}",
            loss.mean(),
            remedy(self.n_step, learning_rate),
            stop.replay.command(step),
        );
        let payload = stop.replay.of_step(step, learning_rate, plan, &self.before, stop.graphs);
        recorder.event(Some(self.n_step), "nan", reason.clone(), Some(payload));
        Ok(Ending { status: Status::NotFinite, reason: Some(reason) })
    }
}

/// Remedies for a non-finite loss after this many steps.
pub(crate) fn remedy(n_step: u64, learning_rate: f64) -> String {
    if n_step == 0 {
        return "The parameters are still the initial ones, so the learning rate is not the cause: check \
                the values of the data, and training.precision."
            .to_owned();
    }
    format!("The learning rate is {learning_rate:e}: try a lower training.learning_rate.")
}
