//! How well strategies have learned in the times compared.

use crate::read::Run;
use crate::setting::{Group, Setting};

/// The errors shown beside the times.
#[derive(Debug, Clone)]
pub(super) struct Error {
    subset: &'static str,
    is_accuracy: bool,
    unit: Option<String>,
    /// Whether a run kept the state of its best evaluation, so that the label has to say that the
    /// last one is shown.
    keeps_best: bool,
}

impl Error {
    /// On the test set, or else on the validation set; `None` if neither was evaluated.
    pub(super) fn of_groups(setting: &Setting, groups: &[&Group]) -> Option<Self> {
        let runs = || groups.iter().flat_map(|group| &group.runs);
        let keeps_best =
            runs().any(|run| run.options.contains_key("training.early_stopping.patience"));
        let found = ["test", "validation"].into_iter().flat_map(|subset| {
            [true, false].map(|is_accuracy| Self {
                subset,
                is_accuracy,
                unit: setting.unit.clone(),
                keeps_best,
            })
        });
        found.into_iter().find(|error| runs().any(|run| error.of(run).is_some()))
    }

    /// After the last step.
    pub(super) fn of(&self, run: &Run) -> Option<f64> {
        let eval = run.evals.iter().rev().find(|eval| eval.subset == self.subset)?;
        if self.is_accuracy { Some(100.0 * eval.accuracy?) } else { eval.rmse }
    }

    pub(super) fn name(self) -> String {
        let last = if self.keeps_best { " after the last step" } else { "" };
        match (self.is_accuracy, self.unit) {
            (true, _) => format!("{} accuracy{last}, %", self.subset),
            (false, Some(unit)) => format!("{} RMSE{last}, {unit}", self.subset),
            (false, None) => format!("{} RMSE{last}", self.subset),
        }
    }
}
