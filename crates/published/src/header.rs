//! The columns of a published file, by what they hold.

use std::path::Path;

use batchlab_config::Subset;
use csv::StringRecord;

use crate::ImportError;

/// The column of each value.
pub(crate) struct Header {
    names: Vec<String>,
    pub(crate) model: usize,
    pub(crate) dataset: usize,
    pub(crate) batching_type: usize,
    pub(crate) round_to_64: usize,
    pub(crate) batch_size: usize,
    pub(crate) computing_type: usize,
    pub(crate) iteration: usize,
    pub(crate) completed: usize,
    pub(crate) path: usize,
    pub(crate) recompilations: usize,
    pub(crate) n_step: i64,
    /// Mean and median of the time of batching, then of the whole step.
    pub(crate) times: [usize; 4],
    /// Column, step and subset of every error.
    pub(crate) errors: Vec<(usize, i64, Subset)>,
}

impl Header {
    pub(crate) fn parse(path: &Path, record: &StringRecord) -> Result<Self, ImportError> {
        let names: Vec<String> = record.iter().map(str::to_owned).collect();
        let column = |name: &str| {
            let missing =
                || ImportError::MissingColumn { path: path.to_owned(), column: name.to_owned() };
            names.iter().position(|n| n == name).ok_or_else(missing)
        };
        let n_step = length(path, &names)?;
        let time = |what: &str| {
            let mut found = names.iter().enumerate().filter_map(|(place, name)| {
                let (step, rest) = split_step(name)?;
                (step == n_step && rest == what).then_some(place)
            });
            let column = || format!("step_{n_step}_{what}");
            let missing = || ImportError::MissingColumn { path: path.to_owned(), column: column() };
            found.next().ok_or_else(missing)
        };
        let times = [
            time("batching_time_mean")?,
            time("batching_time_median")?,
            time("update_time_mean")?,
            time("update_time_median")?,
        ];
        let errors = names.iter().enumerate().filter_map(|(place, name)| {
            let (step, rest) = split_step(name)?;
            let split = match rest {
                "train_rmse" => Subset::Train,
                "val_rmse" => Subset::Validation,
                "test_rmse" => Subset::Test,
                _ => return None,
            };
            Some((place, step, split))
        });
        Ok(Self {
            model: column("model")?,
            dataset: column("dataset")?,
            batching_type: column("batching_type")?,
            round_to_64: column("batching_round_to_64")?,
            batch_size: column("batch_size")?,
            computing_type: column("computing_type")?,
            iteration: column("iteration")?,
            completed: column("experiment_completed")?,
            path: column("path")?,
            recompilations: column("recompilation_counter")?,
            n_step,
            times,
            errors: errors.collect(),
            names,
        })
    }

    pub(crate) fn name(&self, column: usize) -> &str {
        &self.names[column]
    }

    /// Whether the column holds a time or an error, which have their own columns in the tables.
    pub(crate) fn has_own_column(&self, column: usize) -> bool {
        self.times.contains(&column) || self.errors.iter().any(|(place, ..)| *place == column)
    }
}

/// The steps that all times are taken after.
fn length(path: &Path, names: &[String]) -> Result<i64, ImportError> {
    let mut steps = names.iter().filter_map(|name| {
        let (step, rest) = split_step(name)?;
        rest.contains("_time_").then_some(step)
    });
    let column = "step_<N>_update_time_mean".to_owned();
    let missing = ImportError::MissingColumn { path: path.to_owned(), column };
    let first = steps.next().ok_or(missing)?;
    match steps.find(|step| *step != first) {
        Some(second) => Err(ImportError::TwoLengths { path: path.to_owned(), first, second }),
        None => Ok(first),
    }
}

/// `step_2_000_000_update_time_mean` is 2,000,000 and `update_time_mean`.
fn split_step(name: &str) -> Option<(i64, &str)> {
    let rest = name.strip_prefix("step_")?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '_')?;
    let step = rest[..end].replace('_', "").parse().ok()?;
    Some((step, &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_with_and_without_marks_between_thousands() {
        assert_eq!(split_step("step_100000_val_rmse"), Some((100_000, "val_rmse")));
        assert_eq!(split_step("step_1_500_000_test_rmse"), Some((1_500_000, "test_rmse")));
        assert_eq!(split_step("step_x"), None);
        assert_eq!(split_step("model"), None);
    }
}
