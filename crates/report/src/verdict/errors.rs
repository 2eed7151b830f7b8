//! What strategies have learned in the times that are compared.

use crate::read::Run;
use crate::setting::{Group, Setting};

/// The errors that stand beside the times.
#[derive(Debug, Clone)]
pub(super) struct Error {
    subset: &'static str,
    is_accuracy: bool,
    unit: Option<String>,
}

impl Error {
    /// On the test set, or else on the validation set; `None` where neither was evaluated.
    pub(super) fn of_groups(setting: &Setting, groups: &[&Group]) -> Option<Self> {
        let found = ["test", "validation"].into_iter().flat_map(|subset| {
            let unit = || setting.unit.clone();
            [true, false].map(|is_accuracy| Self { subset, is_accuracy, unit: unit() })
        });
        let runs = || groups.iter().flat_map(|group| &group.runs);
        found.into_iter().find(|error| runs().any(|run| error.of(run).is_some()))
    }

    /// After the last step.
    pub(super) fn of(&self, run: &Run) -> Option<f64> {
        let eval = run.evals.iter().rev().find(|eval| eval.subset == self.subset)?;
        if self.is_accuracy { Some(100.0 * eval.accuracy?) } else { eval.rmse }
    }

    pub(super) fn name(self) -> String {
        match (self.is_accuracy, self.unit) {
            (true, _) => format!("{} accuracy, %", self.subset),
            (false, Some(unit)) => format!("{} RMSE, {unit}", self.subset),
            (false, None) => format!("{} RMSE", self.subset),
        }
    }
}
