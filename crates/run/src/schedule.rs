//! Decisions based on validation: learning rate, best state, and early stopping.

use batchlab_config::{Criterion, Training};
use batchlab_core::record::EvalRecord;
use serde::{Deserialize, Serialize};

/// Decisions so far. They are part of a checkpoint, so that a resumed run makes the same decisions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Product of all learning rate reductions.
    factor: f64,
    lowest_loss: Option<f64>,
    n_not_lower: u32,
    n_cooldown: u32,
    best: Option<Best>,
    n_not_better: u32,
    /// Step of the last evaluation taken into account: a run that starts from a checkpoint repeats
    /// that evaluation, which must not count twice.
    last_step: u64,
}

/// The best evaluation so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Best {
    criterion: Criterion,
    /// Higher is better.
    score: f64,
    step: u64,
}

/// Effect of an evaluation.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Decision {
    /// The learning rate before and after a reduction.
    pub(crate) reduced: Option<[f64; 2]>,
    pub(crate) is_best: bool,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            factor: 1.0,
            lowest_loss: None,
            n_not_lower: 0,
            n_cooldown: 0,
            best: None,
            n_not_better: 0,
            last_step: 0,
        }
    }
}

impl Schedule {
    /// Step of the best evaluation; `None` without early stopping.
    pub(crate) fn best_step(&self) -> Option<u64> {
        self.best.map(|best| best.step)
    }

    /// The learning rate of a step, counted from 1.
    pub(crate) fn learning_rate_at(&self, training: &Training, step: u64) -> f64 {
        let planned = training.learning_rate_at(step);
        training.plateau.map_or(planned, |plateau| plateau.reduced(planned, self.factor))
    }

    /// Takes an evaluation of the validation set into account, unless this has been done before.
    pub(crate) fn observe(&mut self, training: &Training, eval: &EvalRecord) -> Decision {
        let step = eval.step.unsigned_abs();
        let mut decision = Decision::default();
        if step <= self.last_step {
            return decision;
        }
        self.last_step = step;
        if let (Some(plateau), Some(loss)) = (training.plateau, eval.loss) {
            let threshold = 1.0 - f64::from(plateau.threshold);
            if self.lowest_loss.is_none_or(|lowest| loss < lowest * threshold) {
                self.lowest_loss = Some(loss);
                self.n_not_lower = 0;
            } else {
                self.n_not_lower += 1;
            }
            if self.n_cooldown > 0 {
                self.n_cooldown -= 1;
                self.n_not_lower = 0;
            }
            if self.n_not_lower > plateau.patience {
                let before = self.learning_rate_at(training, step);
                self.factor *= f64::from(plateau.factor);
                self.n_cooldown = plateau.cooldown;
                self.n_not_lower = 0;
                let after = self.learning_rate_at(training, step);
                decision.reduced = (after < before).then_some([before, after]);
            }
        }
        if training.early_stopping.is_none() {
            return decision;
        }
        let criterion = training.criterion();
        let score = match criterion {
            Criterion::Loss => eval.loss.map(|loss| -loss),
            Criterion::Accuracy => eval.accuracy,
            Criterion::MacroF1 => eval.macro_f1,
        };
        match score {
            Some(score) if self.best.is_none_or(|best| score > best.score) => {
                self.best = Some(Best { criterion, score, step });
                self.n_not_better = 0;
                decision.is_best = true;
            }
            _ => self.n_not_better += 1,
        }
        decision
    }

    /// Why early stopping ends training after `n_epoch` complete epochs, if it does.
    pub(crate) fn is_over(&self, training: &Training, n_epoch: u64) -> Option<String> {
        let stopping = training.early_stopping?;
        let n = self.n_not_better;
        let is_over = n >= stopping.patience.get() && n_epoch >= stopping.min_epochs;
        is_over.then(|| {
            let name = training.criterion().name();
            let best = self.best.map_or(0, |best| best.step);
            format!(
                "{n} evaluations of the validation set did not improve the {name} reached after step {best}"
            )
        })
    }

    /// Step of the best evaluation so far, for early stopping in `training`. A score by another
    /// criterion is discarded.
    pub(crate) fn step_to_compare_with(&mut self, training: &Training) -> Option<u64> {
        training.early_stopping?;
        if self.best.is_some_and(|best| best.criterion != training.criterion()) {
            self.forget_best();
        }
        self.best.map(|best| best.step)
    }

    /// Makes the next evaluation the best one.
    pub(crate) fn forget_best(&mut self) {
        (self.best, self.n_not_better) = (None, 0);
    }

    /// Contradictions in a state after `step`, if any.
    pub(crate) fn contradiction(&self, step: u64) -> Option<String> {
        let best = self.best.map_or(0, |best| best.step);
        if self.last_step > step || best > self.last_step {
            let last = self.last_step;
            return Some(format!(
                "its last evaluation was after step {last}, the best after {best}"
            ));
        }
        let is_factor = self.factor > 0.0 && self.factor <= 1.0;
        (!is_factor).then(|| format!("its factor on the learning rate is {}", self.factor))
    }
}

#[cfg(test)]
mod tests {
    use batchlab_testkit::records;

    use super::*;

    fn training(text: &str) -> Training {
        toml::from_str(&format!("epochs = 100\nlearning_rate = 0.01\n{text}")).expect("a table")
    }

    fn eval(step: i64, loss: f64, accuracy: f64) -> EvalRecord {
        EvalRecord { loss: Some(loss), accuracy: Some(accuracy), ..records::eval(step) }
    }

    /// Like `torch.optim.lr_scheduler.ReduceLROnPlateau`: reduces after patience + 1 losses that
    /// are not lower by the threshold, and not during the cooldown.
    #[test]
    fn the_learning_rate_falls_where_the_loss_no_longer_does() {
        let training = training(
            "[plateau]\nfactor = 0.5\npatience = 2\ncooldown = 1\nmin_learning_rate = 0.003",
        );
        let mut schedule = Schedule::default();
        let losses = [
            1.0, 0.999_95, 1.1, 1.2, // the first falls too little; the third reduces
            1.3, // cooldown
            1.0, 1.0, 1.0, // reduces again, to the least
            1.0, 1.0, 1.0, 1.0, 0.5, // no further
        ];
        let rates: Vec<f64> = (1..)
            .zip(losses)
            .map(|(step, loss)| {
                schedule.observe(&training, &eval(step, loss, 0.0));
                schedule.learning_rate_at(&training, 1)
            })
            .collect();
        let expected = [[0.01; 3].as_slice(), &[0.005; 4], &[0.003; 6]].concat();
        assert_eq!(rates, expected);
    }

    #[test]
    fn training_ends_when_nothing_gets_better() {
        let training =
            training("loss = \"cross-entropy\"\nearly_stopping = { patience = 2, min_epochs = 5 }");
        let mut schedule = Schedule::default();
        let accuracies = [0.2, 0.4, 0.4, 0.3, 0.4];
        let mut decisions = (1..).zip(accuracies).map(|(step, accuracy)| {
            let decision = schedule.observe(&training, &eval(step, 1.0, accuracy));
            // A run resumed here evaluates again.
            assert_eq!(schedule.observe(&training, &eval(step, 1.0, 1.0)), Decision::default());
            (decision.is_best, schedule.is_over(&training, step.unsigned_abs()).is_some())
        });
        assert_eq!(decisions.by_ref().take(2).collect::<Vec<_>>(), [(true, false); 2]);
        // The two after the best are reached at epoch 4, but `min_epochs` is 5.
        let rest: Vec<_> = decisions.collect();
        assert_eq!(rest, [(false, false), (false, false), (false, true)]);
    }

    #[test]
    fn a_state_comes_back_from_text() {
        let training =
            training("plateau = { patience = 0, factor = 0.3 }\nearly_stopping = { patience = 9 }");
        let mut schedule = Schedule::default();
        for step in 1..4 {
            schedule.observe(&training, &eval(step, 0.1 + 0.2, 0.0));
        }
        let text = serde_json::to_string(&schedule).expect("text");
        assert_eq!(serde_json::from_str::<Schedule>(&text).expect("a state"), schedule);
        assert!(schedule.learning_rate_at(&training, 1) < 0.001);
    }
}
